// Which ticks are found: by class, weather, trust, and between two places in time.

/** Set the places of spans [[first, after], ...] in `mask`, which begin at `offset`. */
function mark(mask, spans, offset) {
  for (const [first, after] of spans) mask.fill(1, offset + first, offset + after);
}

export class Search {
  /** `drives` are the timelines, each with `offset`, its first tick among all. */
  constructor(drives) {
    this.drives = drives;
    this.total = drives.reduce((sum, drive) => sum + drive.ticks, 0);
    this.classes = new Set();
    this.weathers = new Set();
    this.clear();
  }

  clear() {
    this.classes.clear();
    this.weathers.clear();
    this.side = ""; // "below" or "above" the score, or any trust
    this.score = 0.5;
    this.begin = 0;
    this.end = this.total; // after the last one
    this.update();
  }

  /** Names of all drives' classes or weathers. */
  names(what) {
    return [...new Set(this.drives.flatMap(drive => Object.keys(drive[what])))].sort();
  }

  get isActive() {
    return this.classes.size > 0 || this.weathers.size > 0 || this.side !== ""
      || this.begin > 0 || this.end < this.total;
  }

  update() {
    const found = new Uint8Array(this.total);
    found.fill(1, this.begin, this.end);
    this.keep(found, "classes", this.classes);
    this.keep(found, "weathers", this.weathers);
    if (this.side) {
      for (const { offset, trust } of this.drives) {
        trust.forEach((score, place) => {
          const fits = score !== null && (this.side === "below" ? score < this.score : score >= this.score);
          if (!fits) found[offset + place] = 0;
        });
      }
    }
    this.found = found;
    this.count = found.reduce((sum, one) => sum + one, 0);
  }

  keep(found, what, chosen) {
    if (!chosen.size) return;
    const shown = new Uint8Array(this.total);
    for (const drive of this.drives) {
      for (const name of chosen) mark(shown, drive[what][name] ?? [], drive.offset);
    }
    shown.forEach((one, tick) => { if (!one) found[tick] = 0; });
  }

  /** The nearest found tick after (step 1) or before (step -1) a tick, or null. */
  nearest(tick, step) {
    for (let at = tick + step; at >= 0 && at < this.total; at += step) if (this.found[at]) return at;
    return null;
  }

  /** Stretches of found ticks: [number of the drive, first tick, tick after the last one]. */
  spans() {
    const spans = [];
    this.drives.forEach(({ offset, ticks }, number) => {
      let first = null;
      for (let tick = 0; tick <= ticks; tick += 1) {
        const isFound = tick < ticks && this.found[offset + tick];
        if (isFound && first === null) first = tick;
        if (!isFound && first !== null) {
          spans.push([number, first, tick]);
          first = null;
        }
      }
    });
    return spans;
  }
}
