// The route from above: roads where they were recorded, the vehicle's track, and where it is.

const PAVED = new Set(["driving", "parking", "bidirectional", "stop", "shoulder", "biking"]);
const MARGIN_M = 25, CLOSEST_M = 30;

export class RouteMap {
  constructor(canvas, note, onSeek) {
    Object.assign(this, { canvas, note, onSeek });
    this.roads = new Map();
    this.zoom = 1;
    canvas.addEventListener("wheel", event => {
      event.preventDefault();
      this.zoom = Math.min(40, Math.max(1, this.zoom * Math.exp(-event.deltaY / 400)));
      this.draw();
    }, { passive: false });
    canvas.addEventListener("click", event => this.jump(event));
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** Show a place of a drive's track. */
  async show(drive, place) {
    const isOther = drive !== this.drive;
    this.drive = drive;
    this.place = place;
    if (isOther && !this.roads.has(drive.number)) {
      this.roads.set(drive.number, { lanes: [], note: "" });
      const answer = await fetch(`drives/${drive.number}/roads.json`).catch(() => null);
      if (answer?.ok) this.roads.set(drive.number, await answer.json());
    }
    this.draw();
  }

  /** How metres become pixels: the whole track fits, or the vehicle is in the middle. */
  fit(width, height) {
    const { track } = this.drive;
    const xs = track.map(one => one[0]), ys = track.map(one => one[1]);
    const [left, right] = [Math.min(...xs), Math.max(...xs)], [low, high] = [Math.min(...ys), Math.max(...ys)];
    const wide = Math.max(CLOSEST_M, right - left + 2 * MARGIN_M), tall = Math.max(CLOSEST_M, high - low + 2 * MARGIN_M);
    const scale = Math.min(width / wide, height / tall) * this.zoom;
    const [x, y] = this.zoom > 1 ? track[this.place] : [(left + right) / 2, (low + high) / 2];
    return { scale, to: ([px, py]) => [width / 2 + (px - x) * scale, height / 2 - (py - y) * scale] };
  }

  draw() {
    const { canvas, drive } = this;
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    if (!drive?.track.length || !width) return;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const { scale, to } = this.view = this.fit(width, height);
    const { lanes, note } = this.roads.get(drive.number) ?? { lanes: [], note: "" };
    this.note.textContent = note;
    for (const { kind, outline } of lanes) {
      context.fillStyle = PAVED.has(kind) ? "#3a434f" : kind === "sidewalk" ? "#2a313a" : "#20272f";
      context.strokeStyle = PAVED.has(kind) ? "#596574" : context.fillStyle;
      context.lineWidth = 0.7;
      context.beginPath();
      outline.forEach((point, number) => context[number ? "lineTo" : "moveTo"](...to(point)));
      context.closePath();
      context.fill();
      context.stroke();
    }
    this.line(context, drive.track, "#45cfae70", 2.4);
    this.line(context, drive.track.slice(0, this.place + 1), "#45cfae", 2.4);
    const [x, y, yaw] = drive.track[this.place];
    const [px, py] = to([x, y]), size = Math.max(7, 2.4 * scale);
    context.save();
    context.translate(px, py);
    context.rotate(-yaw);
    context.beginPath();
    context.moveTo(size, 0);
    context.lineTo(-size * 0.7, size * 0.6);
    context.lineTo(-size * 0.7, -size * 0.6);
    context.closePath();
    context.fillStyle = "#fff";
    context.fill();
    context.restore();
    this.drawScale(context, scale, height);
  }

  line(context, track, stroke, width) {
    context.strokeStyle = stroke;
    context.lineWidth = width;
    context.lineJoin = "round";
    context.beginPath();
    track.forEach((point, number) => context[number ? "lineTo" : "moveTo"](...this.view.to(point)));
    context.stroke();
  }

  drawScale(context, scale, height) {
    const metres = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find(one => one * scale > 50) ?? 1000;
    context.fillStyle = "#9aa5b2";
    context.fillRect(10, height - 12, metres * scale, 2);
    context.font = "10.5px system-ui, sans-serif";
    context.fillText(`${metres} m`, 10, height - 17);
  }

  /** Go to the place of the track that is nearest to a click. */
  jump(event) {
    if (!this.view || !this.drive?.track.length) return;
    let best = 0, least = Infinity;
    this.drive.track.forEach((point, number) => {
      const [x, y] = this.view.to(point);
      const far = Math.hypot(x - event.offsetX, y - event.offsetY);
      if (far < least) [best, least] = [number, far];
    });
    this.onSeek(this.drive.offset + best);
  }
}
