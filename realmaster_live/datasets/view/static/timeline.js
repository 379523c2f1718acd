// The timeline over all recordings: trust, what was found, what is damaged; drag to scrub.

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
const THUMB_PX = 96;

export class Timeline {
  constructor(canvas, thumbs, onSeek, onHover) {
    Object.assign(this, { canvas, thumbs, onSeek, onHover });
    this.drives = [];
    this.total = 0;
    this.tick = 0;
    canvas.addEventListener("pointerdown", event => {
      canvas.setPointerCapture(event.pointerId);
      this.seek(event);
    });
    canvas.addEventListener("pointermove", event => {
      if (event.buttons & 1) this.seek(event);
      this.onHover(this.at(event.offsetX));
    });
    canvas.addEventListener("pointerleave", () => this.onHover(null));
    canvas.addEventListener("keydown", event => this.onKey(event));
    new ResizeObserver(() => {
      this.draw();
      this.fillThumbs();
    }).observe(canvas);
  }

  take(drives, search) {
    this.drives = drives;
    this.search = search;
    this.total = search.total;
    this.canvas.setAttribute("aria-valuemax", Math.max(0, this.total - 1));
    this.draw();
    this.fillThumbs();
  }

  at(x) {
    const tick = Math.floor(this.total * x / Math.max(1, this.canvas.clientWidth));
    return Math.max(0, Math.min(this.total - 1, tick));
  }

  seek(event) {
    if (this.total) this.onSeek(this.at(event.clientX - this.canvas.getBoundingClientRect().left));
  }

  onKey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageDown: -20, PageUp: 20, Home: -this.total, End: this.total };
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    this.onSeek(this.tick + steps[event.key]);
  }

  show(tick) {
    this.tick = tick;
    this.canvas.setAttribute("aria-valuenow", tick);
    this.draw();
  }

  /** Draw all; damaged segments are those whose names `drive.damaged` holds. */
  draw() {
    const { canvas, total } = this;
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    if (!total || !width) return;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const x = tick => width * tick / total;
    const strip = 9, top = 16, bottom = height - strip - 2;
    context.font = "10.5px system-ui, sans-serif";
    this.drives.forEach((drive, number) => {
      const left = x(drive.offset), right = x(drive.offset + drive.ticks);
      context.fillStyle = number % 2 ? "#1e242c" : "#232a33";
      context.fillRect(left, 0, right - left, height);
      context.save();
      context.beginPath();
      context.rect(left, 0, Math.max(0, right - left - 3), top);
      context.clip();
      context.fillStyle = colour("soft");
      context.fillText(drive.name, left + 4, 11);
      context.restore();
      for (const [first, after] of drive.quarantined) {
        context.fillStyle = "#f2b45755";
        context.fillRect(x(drive.offset + first), top, Math.max(1, x(after) - x(first)), bottom - top);
      }
      for (const segment of drive.segments) {
        if (!drive.damaged.has(segment.name)) continue;
        context.fillStyle = "#f2706b66";
        context.fillRect(x(drive.offset + segment.first), top, Math.max(1, x(segment.count)), bottom - top);
      }
      this.drawTrust(context, drive, x, score => bottom - (bottom - top) * score);
    });
    const { search } = this;
    if (search.side) {
      context.fillStyle = "#ffffff70";
      context.fillRect(0, bottom - (bottom - top) * search.score, width, 1);
    }
    if (search.isActive) {
      context.fillStyle = colour("teal");
      const columns = Math.min(total, Math.ceil(width * ratio));
      for (let column = 0; column < columns; column += 1) {
        const first = Math.floor(column * total / columns), after = Math.max(first + 1, Math.floor((column + 1) * total / columns));
        if (search.found.subarray(first, after).includes(1)) {
          context.fillRect(x(first), bottom + 2, x(after) - x(first) + 0.5, strip);
        }
      }
      context.fillStyle = "#0e1115a0";
      context.fillRect(0, 0, x(search.begin), height);
      context.fillRect(x(search.end), 0, width - x(search.end), height);
    }
    context.fillStyle = "#fff";
    context.fillRect(Math.min(width - 2, x(this.tick + 0.5) - 1), 0, 2, height);
  }

  drawTrust(context, drive, x, y) {
    context.strokeStyle = colour("blue");
    context.lineWidth = 1.4;
    context.beginPath();
    let isDown = false;
    drive.trust.forEach((score, place) => {
      if (score === null) {
        isDown = false;
        return;
      }
      const across = x(drive.offset + place + 0.5);
      if (!isDown) context.moveTo(across - 0.5, y(score));
      context.lineTo(across, y(score));
      isDown = true;
    });
    context.stroke();
  }

  fillThumbs() {
    const count = Math.max(1, Math.min(this.total, Math.floor(this.canvas.clientWidth / THUMB_PX)));
    const key = `${count} ${this.total}`;
    if (!this.total || key === this.key) return;
    this.key = key;
    this.thumbs.replaceChildren(...Array.from({ length: count }, (_, number) => {
      const tick = Math.floor((number + 0.5) * this.total / count);
      const drive = this.drives.findLast(one => one.offset <= tick && one.ticks);
      const image = new Image();
      image.alt = "";
      image.draggable = false;
      image.addEventListener("error", () => image.classList.add("broken"));
      image.addEventListener("click", () => this.onSeek(tick));
      image.src = `drives/${drive.number}/thumbs/${tick - drive.offset}.jpg`;
      return image;
    }));
  }
}
