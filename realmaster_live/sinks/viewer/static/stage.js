// The pictures: a cell for each watched camera, its wipe, its layer of labels and its boxes.

import { STRIP_PX } from "./strip.js";

const BOXES_KEPT = 240, BOXES_LATE = 12; // moments

function element(name, className, parent) {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

export class Stage {
  constructor(root, onWipe) {
    this.root = root;
    this.onWipe = onWipe;
    this.cells = [];
    this.watch = { cameras: [], layer: "" };
    this.boxes = new Map();
    this.showsBoxes = false;
    this.number = null;
    this.setWipe(50);
    new ResizeObserver(() => this.drawBoxes()).observe(root);
  }

  /** Lay out one cell for each camera of a watch; `cameras` are the server's facts of all. */
  show(watch, cameras) {
    const known = new Map(cameras.map(camera => [camera.name, camera]));
    const key = JSON.stringify([watch.cameras, watch.cameras.map(name => known.get(name)?.size)]);
    this.watch = watch;
    if (key !== this.key) {
      this.key = key;
      this.cells = [];
      this.root.replaceChildren();
      for (const name of watch.cameras) this.cells.push(this.makeCell(known.get(name), watch));
      const count = watch.cameras.length;
      const columns = count <= 1 ? 1 : count <= 4 ? 2 : 3;
      this.root.style.setProperty("--columns", columns);
      this.root.style.setProperty("--rows", Math.ceil(count / columns));
      this.root.classList.toggle("several", count > 1);
      this.setWipe(this.wipe);
    }
    for (const cell of this.cells) cell.layer.hidden = !watch.layer;
  }

  makeCell(camera, watch) {
    const [width, height] = camera.size;
    const root = element("div", "camera", this.root);
    root.style.setProperty("--aspect", width / height);
    const cell = { name: camera.name, root, size: camera.size };
    for (const part of ["rendered", "realized", "layer", "boxes"]) {
      cell[part] = element("canvas", part, root);
    }
    element("span", "tag left", root).textContent = "simulator";
    element("span", "tag right", root).textContent = "realized";
    if (watch.cameras.length > 1) element("span", "tag name", root).textContent = camera.name;
    cell.divider = element("div", "divider", root);
    cell.divider.tabIndex = 0;
    cell.divider.setAttribute("role", "slider");
    cell.divider.setAttribute("aria-label", "Between the simulator's and the realized picture");
    cell.divider.addEventListener("keydown", event => this.onKey(event));
    root.addEventListener("pointerdown", event => this.onPointer(event, root));
    root.addEventListener("pointermove", event => this.onPointer(event, root));
    return cell;
  }

  onPointer(event, root) {
    if (!(event.buttons & 1)) return;
    if (event.type === "pointerdown") root.setPointerCapture(event.pointerId);
    const place = root.getBoundingClientRect();
    this.setWipe(100 * (event.clientX - place.left) / place.width);
    this.onWipe(this.wipe);
  }

  onKey(event) {
    const steps = { ArrowLeft: -2, ArrowRight: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
    if (!(event.key in steps)) return;
    event.preventDefault();
    this.setWipe(this.wipe + steps[event.key]);
    this.onWipe(this.wipe);
  }

  setWipe(share) {
    this.wipe = Math.min(100, Math.max(0, share));
    document.documentElement.style.setProperty("--wipe", this.wipe.toFixed(2));
    for (const { divider } of this.cells) {
      divider.setAttribute("aria-valuenow", Math.round(this.wipe));
    }
  }

  /** Draw a mosaic: a row for each camera, a column for each kind of picture. */
  draw(source, width, height, number) {
    const columns = this.watch.layer ? 3 : 2;
    const cellWidth = width / columns;
    const cellHeight = (height - STRIP_PX) / Math.max(1, this.cells.length);
    this.cells.forEach((cell, row) => {
      const parts = [cell.rendered, cell.realized, cell.layer].slice(0, columns);
      parts.forEach((canvas, column) => {
        if (canvas.width !== cellWidth || canvas.height !== cellHeight) {
          canvas.width = cellWidth;
          canvas.height = cellHeight;
        }
        canvas.getContext("2d").drawImage(source, column * cellWidth, row * cellHeight,
          cellWidth, cellHeight, 0, 0, canvas.width, canvas.height);
      });
    });
    this.number = number;
    if (this.showsBoxes) this.drawBoxes();
  }

  /** Keep the boxes of a moment; they are drawn with its picture, whichever comes first. */
  takeBoxes(number, cameras) {
    this.boxes.set(number, cameras);
    if (this.boxes.size > BOXES_KEPT) this.boxes.delete(this.boxes.keys().next().value);
    if (number === this.number) this.drawBoxes();
  }

  setBoxes(shown) {
    this.showsBoxes = shown;
    if (!shown) this.boxes.clear();
    this.drawBoxes();
  }

  drawBoxes() {
    let found = null;
    for (let late = 0; this.number !== null && late < BOXES_LATE && !found; late += 1) {
      found = this.boxes.get(this.number - late) ?? null;
    }
    for (const cell of this.cells) {
      const ratio = window.devicePixelRatio || 1;
      const width = Math.round(cell.root.clientWidth * ratio);
      const height = Math.round(cell.root.clientHeight * ratio);
      if (cell.boxes.width !== width || cell.boxes.height !== height) {
        cell.boxes.width = width;
        cell.boxes.height = height;
      }
      const context = cell.boxes.getContext("2d");
      context.clearRect(0, 0, width, height);
      if (this.showsBoxes && found) drawAll(context, found[cell.name] ?? [], width, height, ratio);
    }
  }

  /** Return one canvas with both pictures of every camera side by side, as they are shown. */
  picture() {
    const canvas = document.createElement("canvas");
    const [first] = this.cells;
    canvas.width = 2 * first.rendered.width;
    canvas.height = this.cells.length * first.rendered.height;
    const context = canvas.getContext("2d");
    this.cells.forEach((cell, row) => {
      context.drawImage(cell.rendered, 0, row * first.rendered.height);
      context.drawImage(cell.realized, first.rendered.width, row * first.rendered.height);
    });
    return canvas;
  }
}

/** Draw boxes with their texts, and lines such as those of a recording's boxes in space. */
function drawAll(context, boxes, width, height, ratio) {
  context.font = `500 ${11 * ratio}px system-ui, sans-serif`;
  context.textBaseline = "top";
  for (const { box, text, colour, line, bold } of boxes) {
    if (line) {
      context.strokeStyle = colour;
      context.lineWidth = (bold ? 2.4 : 1.2) * ratio;
      context.beginPath();
      line.forEach(([x, y], place) => context[place ? "lineTo" : "moveTo"](x * width, y * height));
      context.stroke();
      continue;
    }
    context.lineWidth = 1.6 * ratio;
    const [left, top, right, bottom] = [
      box[0] * width, box[1] * height, box[2] * width, box[3] * height];
    context.strokeStyle = colour;
    context.strokeRect(left, top, right - left, bottom - top);
    if (right - left < 22 * ratio && bottom - top < 22 * ratio) continue;
    const long = context.measureText(text).width + 8 * ratio, tall = 15 * ratio;
    const x = Math.max(0, Math.min(left, width - long)), y = top >= tall ? top - tall : top;
    context.fillStyle = colour;
    context.fillRect(x, y, long, tall);
    context.fillStyle = "#10141a";
    context.fillText(text, x + 4 * ratio, y + 2 * ratio);
  }
}
