// Fetches the pictures of ticks, ahead of the one that is shown, and plays them at their own pace.

const KEPT = 40, AHEAD = 4;
const LONGEST_STEP = 1; // seconds between two ticks that are played at their own pace

export class Player {
  /**
   * `addressOf(tick)` gives the addresses of a tick's picture and facts, `show(tick, picture, facts)`
   * draws it, `timeOf(tick)` are its simulated seconds, `fail(tick, sentence)` is told what is broken
   * and gives the tick with which to go on, or null.
   */
  constructor({ total, addressOf, show, timeOf, fail, onChange }) {
    Object.assign(this, { total, addressOf, show, timeOf, fail, onChange });
    this.kept = new Map();
    this.generation = 0; // of what is fetched: it changes with what is shown of a tick
    this.tick = null;
    this.wanted = 0;
    this.speed = 1;
    this.isPlaying = false;
    this.isBusy = false;
  }

  /** Forget what was fetched, and show the present tick anew. */
  refresh() {
    this.kept.clear();
    this.generation += 1;
    this.tick = null;
    return this.seek(this.wanted);
  }

  fetched(tick) {
    let item = this.kept.get(tick);
    if (!item) {
      item = this.fetch(tick);
      item.catch(() => {
        if (this.kept.get(tick) === item) this.kept.delete(tick);
      });
      this.kept.set(tick, item);
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    }
    return item;
  }

  async fetch(tick) {
    const { picture, facts } = this.addressOf(tick);
    const [image, found] = await Promise.all([
      this.answer(picture).then(answer => answer.blob()).then(createImageBitmap),
      this.answer(facts).then(answer => answer.json()),
    ]);
    return { image, found };
  }

  async answer(address) {
    const answer = await fetch(address);
    if (answer.ok) return answer;
    const content = await answer.json().catch(() => ({ error: `the page was answered ${answer.status}` }));
    throw new Error(content.error);
  }

  /** Show a tick; while one is fetched, only the last one that was asked for is fetched next. */
  async seek(tick) {
    this.wanted = Math.max(0, Math.min(this.total - 1, tick));
    if (this.isBusy) return;
    this.isBusy = true;
    while (this.tick !== this.wanted) await this.bring(this.wanted);
    this.isBusy = false;
  }

  async bring(tick) {
    const { generation } = this;
    const item = await this.fetched(tick).catch(error => ({ error }));
    if (generation !== this.generation) return false;
    this.tick = tick;
    if (item.error) this.after = this.fail(tick, item.error.message);
    else this.show(tick, item.image, item.found);
    return !item.error;
  }

  async play() {
    if (this.isPlaying) return;
    this.setPlaying(true);
    if (this.wanted >= this.total - 1) this.wanted = 0;
    let began = 0, from = 0, last = null, paced = 0;
    while (this.isPlaying) {
      const tick = this.wanted;
      for (let next = tick + 1; next <= Math.min(tick + AHEAD, this.total - 1); next += 1) {
        if (this.kept.has(tick)) this.fetched(next);
      }
      this.after = null;
      const ready = this.fetched(tick);
      await ready.catch(() => {});
      const time = this.timeOf(tick), now = performance.now();
      const step = last === null ? -1 : time - this.timeOf(last);
      if (tick !== last + 1 || step < 0 || step > LONGEST_STEP || paced !== this.speed) {
        began = now;
        from = time;
        paced = this.speed;
      }
      const due = began + (time - from) * 1000 / this.speed;
      if (due > now) await new Promise(resolve => setTimeout(resolve, due - now));
      else if (now - due > 500) { // decoding is slower: go on from here
        began = now;
        from = time;
      }
      if (!this.isPlaying) break;
      if (this.wanted !== tick) { // somebody moved on
        last = null;
        continue;
      }
      const isShown = await this.bring(tick);
      last = tick;
      const next = isShown || this.after === null ? tick + 1 : this.after;
      if (this.wanted !== tick) continue;
      if (next >= this.total) break;
      this.wanted = next;
    }
    this.setPlaying(false);
  }

  pause() {
    if (this.isPlaying && this.tick !== null) this.wanted = this.tick;
    this.setPlaying(false);
  }

  setPlaying(isPlaying) {
    this.isPlaying = isPlaying;
    this.onChange(isPlaying);
  }
}
