// The charts of the last minutes, on canvases: a point for each second.

const SPAN = 300; // seconds
const PAD = { left: 48, right: 6, top: 6, bottom: 17 };
const STAGES = { // of the loop: colour, and the word for it
  capture: ["blue", "capture"], queue: ["red", "queue"],
  engine: ["amber", "engine"], deliver: ["teal", "delivery"],
};
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

/** Return a round number at or above `value`: 1, 2 or 5 times a power of ten. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 5, 10].map(step => step * power).find(step => step >= value * 0.999);
}

export class Charts {
  constructor(latency, drops, stages) {
    this.seconds = [];
    this.charts = [
      { canvas: latency, draw: (...all) => this.drawLatency(...all), say: saidLatency, has: isShown },
      { canvas: drops, draw: (...all) => this.drawDrops(...all), say: saidDrops, has: isShown },
      { canvas: stages, draw: (...all) => this.drawStages(...all), say: saidStages, has: isMeasured },
    ];
    for (const chart of this.charts) {
      chart.output = chart.canvas.closest("figure").querySelector("output");
      chart.canvas.addEventListener("pointermove", event => this.point(event, chart));
      chart.canvas.addEventListener("pointerleave", () => this.point(null, chart));
      new ResizeObserver(() => this.draw()).observe(chart.canvas);
    }
  }

  add(seconds) {
    const last = this.seconds.at(-1)?.number ?? -1;
    if (seconds.length && seconds[0].number <= last) this.seconds = []; // another view began
    this.seconds = [...this.seconds, ...seconds].slice(-SPAN);
    this.draw();
  }

  point(event, chart) {
    chart.at = event ? event.offsetX : null;
    this.draw();
  }

  draw() {
    if (!this.seconds.length) return;
    for (const chart of this.charts) {
      const canvas = chart.canvas, ratio = window.devicePixelRatio || 1;
      const width = canvas.clientWidth, height = canvas.clientHeight;
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      context.font = "10.5px system-ui, sans-serif";
      const newest = this.seconds.at(-1).number;
      const span = Math.max(60, Math.min(SPAN, Math.ceil(this.seconds.length / 60) * 60));
      const inner = width - PAD.left - PAD.right;
      const x = number => PAD.left + inner * (1 - (newest - number) / (span - 1));
      chart.draw(context, { width, height, x, span, step: inner / (span - 1) });
      this.drawMinutes(context, { height, x, newest, span });
      const latest = this.seconds.findLast(chart.has) ?? this.seconds.at(-1);
      const shown = chart.at === null || chart.at === undefined ? latest
        : this.seconds.reduce((best, one) =>
          Math.abs(x(one.number) - chart.at) < Math.abs(x(best.number) - chart.at) ? one : best);
      chart.output.textContent = chart.say(shown, newest);
      if (chart.at !== null && chart.at !== undefined) {
        context.fillStyle = "#ffffff50";
        context.fillRect(x(shown.number), PAD.top, 1, height - PAD.top - PAD.bottom);
      }
    }
  }

  drawLatency(context, area) {
    const highest = Math.max(10, ...this.seconds.map(one => one.worst_ms ?? 0));
    const y = axis(context, area, roundUp(highest), length);
    line(context, this.seconds, area.x, y, one => one.worst_ms, colour("pale"), 1);
    line(context, this.seconds, area.x, y, one => one.realized_ms, colour("blue"), 1.5);
    line(context, this.seconds, area.x, y, one => one.shown_ms, colour("teal"), 1.8);
  }

  drawDrops(context, area) {
    const most = one => Math.max(one.shown, one.lost + one.dropped);
    const y = axis(context, area, roundUp(Math.max(5, ...this.seconds.map(most))));
    const wide = Math.max(1.5, area.step * 0.8);
    for (const one of this.seconds) {
      const bar = (from, to, name) => {
        if (to <= from) return;
        context.fillStyle = colour(name);
        context.fillRect(area.x(one.number) - wide / 2, y(to), wide, Math.max(1, y(from) - y(to)));
      };
      bar(0, one.lost, "red");
      bar(one.lost, one.lost + one.dropped, "amber");
    }
    line(context, this.seconds, area.x, y, one => one.shown, colour("teal"), 1.8);
  }

  drawStages(context, area) {
    const names = Object.keys(STAGES);
    const times = this.seconds.flatMap(one => names.map(name => one.stages_ms[name] ?? 0));
    const y = axis(context, area, roundUp(Math.max(10, ...times)), length);
    for (const [name, [of]] of Object.entries(STAGES)) {
      line(context, this.seconds, area.x, y, one => one.stages_ms[name] ?? null, colour(of), 1.6);
    }
  }

  drawMinutes(context, { height, x, newest, span }) {
    context.fillStyle = colour("soft");
    context.textAlign = "center";
    for (let ago = 0; ago < span; ago += span > 120 ? 60 : 30) {
      const text = ago === 0 ? "now" : ago % 60 ? `−${ago} s` : `−${ago / 60} min`;
      const place = Math.min(x(newest - ago), x(newest) - 8);
      context.fillText(text, place, height - 4);
    }
  }
}

function axis(context, { width, height }, top, unit) {
  const y = value => height - PAD.bottom - (height - PAD.top - PAD.bottom) * value / top;
  context.textAlign = "right";
  for (const share of [0, 0.5, 1]) {
    context.fillStyle = colour("line");
    context.fillRect(PAD.left, Math.round(y(share * top)), width - PAD.left - PAD.right, 1);
    context.fillStyle = colour("soft");
    const text = share * top;
    context.fillText(unit ? unit(text) : text, PAD.left - 5, y(share * top) + 3.5);
  }
  return y;
}

function line(context, seconds, x, y, value, stroke, width) {
  context.strokeStyle = stroke;
  context.lineWidth = width;
  context.lineJoin = "round";
  context.beginPath();
  let isDown = false;
  for (const one of seconds) {
    const found = value(one);
    if (found === null) continue; // a chunk may take longer than a second
    context[isDown ? "lineTo" : "moveTo"](x(one.number), y(found));
    isDown = true;
  }
  context.stroke();
}

const isShown = one => one.shown > 0;
const isMeasured = one => Object.keys(one.stages_ms).length > 0;
const ago = (one, newest) => (one.number === newest ? "" : `${newest - one.number} s ago: `);
const length = value => (value >= 1000 ? `${+(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`);
const ms = value => (value === null ? "–" : length(value));

function saidLatency(one, newest) {
  return `${ago(one, newest)}${ms(one.shown_ms)}, at most ${ms(one.worst_ms)}`;
}

function saidDrops(one, newest) {
  return `${ago(one, newest)}${one.shown} shown, ${one.lost + one.dropped} gone`;
}

function saidStages(one, newest) {
  const parts = Object.entries(STAGES).filter(([name]) => name in one.stages_ms)
    .map(([name, [, word]]) => `${word} ${ms(one.stages_ms[name])}`);
  return ago(one, newest) + (parts.join(", ") || "–");
}
