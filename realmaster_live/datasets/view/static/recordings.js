// The page: reads the recordings, and connects the pictures, the timeline, the search and the map.

import { chips } from "./controls.js";
import { Player } from "./player.js";
import { RouteMap } from "./route.js";
import { Search } from "./search.js";
import { Stage } from "./stage.js";
import { post } from "./streams.js";
import { Timeline } from "./timeline.js";

const find = id => document.getElementById(id);
const store = (name, fallback) => localStorage.getItem(`recordings-${name}`) ?? fallback;
const keep = (name, value) => localStorage.setItem(`recordings-${name}`, value);
const KINDS = ["boxes", "space", "lanes"]; // of marks
const CHECK_MS = 2000;

if (location.search.includes("token=")) history.replaceState(null, "", location.pathname);

const watch = { cameras: [], layer: store("layer", "") };
const stage = new Stage(find("stage"), wipe => keep("wipe", wipe));
stage.setWipe(Number(store("wipe", 50)));
stage.setBoxes(true);
const timeline = new Timeline(find("timeline"), find("thumbs"), seek, onHover);
const route = new RouteMap(find("map"), find("map-note"), seek);
let drives = [], search = null, player = null, current = null, facts = null;

async function read(address) {
  const answer = await fetch(address);
  const content = await answer.json().catch(() => ({ error: `the page was answered ${answer.status}` }));
  if (!answer.ok) throw new Error(content.error);
  return content;
}

async function begin() {
  const { drives: listed, formats } = await read("drives.json");
  let offset = 0;
  for (const [number, drive] of listed.entries()) {
    find("state").textContent = `reading ${number + 1} of ${listed.length}`;
    const facts = await read(`drives/${number}/timeline.json`);
    drives.push({ ...drive, ...facts, number, offset, damaged: new Map() });
    offset += facts.ticks;
  }
  search = new Search(drives);
  player = new Player({
    total: search.total,
    addressOf, show, fail: onBroken, onChange: onPlaying,
    timeOf: tick => driveOf(tick).times[tick - driveOf(tick).offset],
  });
  timeline.take(drives, search);
  await readDamage();
  showSearch();
  fillExport(formats);
  find("state").hidden = true;
  if (search.total) {
    await seek(0);
  } else {
    find("empty").textContent = "No frame of these recordings can be read.";
  }
}

const driveOf = tick => drives.findLast(one => one.offset <= tick && one.ticks) ?? drives[0];

function addressOf(tick) {
  const drive = driveOf(tick), place = tick - drive.offset;
  const cameras = camerasOf(drive);
  const picture = new URLSearchParams(cameras.map(name => ["camera", name]));
  const marks = new URLSearchParams(picture);
  if (watch.layer && layersOf(drive, cameras).includes(watch.layer)) picture.set("layer", watch.layer);
  for (const kind of KINDS) if (find(kind).checked) marks.append("kind", kind);
  const base = `drives/${drive.number}/ticks/${place}`;
  return { picture: `${base}.jpg?${picture}`, facts: `${base}.json?${marks}` };
}

function camerasOf(drive) {
  const names = drive.cameras.map(camera => camera.name);
  const kept = watch.cameras.filter(name => names.includes(name));
  return kept.length ? kept : names.slice(0, 1);
}

function layersOf(drive, cameras) {
  const shown = drive.cameras.filter(camera => cameras.includes(camera.name));
  return [...new Set(shown.flatMap(camera => camera.layers))];
}

function seek(tick) {
  if (!player || !search.total) return null;
  const wanted = Math.max(0, Math.min(search.total - 1, tick));
  timeline.show(wanted);
  return player.seek(wanted);
}

function show(tick, picture, found) {
  const drive = driveOf(tick);
  if (drive !== current) enter(drive);
  facts = found;
  find("broken").hidden = true;
  const marks = Object.fromEntries(Object.entries(found).map(([name, one]) => [name, one.marks]));
  stage.takeBoxes(tick, marks);
  stage.draw(picture, picture.width, picture.height, tick);
  find("stage").dataset.tick = tick;
  say(tick, drive);
}

/** Lay out the pictures of a drive's cameras. */
function enter(drive) {
  current = drive;
  const cameras = camerasOf(drive), layers = layersOf(drive, cameras);
  const layer = layers.includes(watch.layer) ? watch.layer : "";
  stage.show({ cameras, layer }, drive.cameras);
  const shown = drive.cameras.filter(camera => cameras.includes(camera.name));
  find("stage").classList.toggle("plain", !shown.some(camera => camera.realized));
  chips(find("drives"), drives.map(one => ({ text: one.name, value: one.number })),
    value => Number(value) === drive.number, value => seek(drives[value].offset));
  const names = drive.cameras.map(camera => camera.name), all = "\n"; // no camera's name
  find("cameras-panel").hidden = names.length < 2;
  chips(find("cameras"), [...names, { text: "All", value: all }],
    value => (value === all ? cameras.length === names.length : cameras.length === 1 && cameras[0] === value),
    value => look({ cameras: value === all ? names : [value] }));
  chips(find("layers"), [{ text: "None", value: "" }, ...layers],
    value => value === layer, value => look({ layer: value }));
  find("lanes").disabled = !shown.some(camera => camera.lanes);
}

/** Show something else of every tick. */
function look(change) {
  Object.assign(watch, change);
  keep("layer", watch.layer);
  if (current) enter(current);
  return player?.refresh();
}

function say(tick, drive = driveOf(tick)) {
  const place = tick - drive.offset;
  timeline.show(tick);
  route.show(drive, place);
  const word = spans => Object.keys(spans).find(name => spans[name].some(([a, b]) => a <= place && place < b));
  const weather = word(drive.weathers);
  find("where").textContent = [drive.name, word(drive.towns) || drive.town, weather, drive.engine].filter(Boolean).join(" · ");
  find("now").textContent = `frame ${drive.numbers[place]} · ${(drive.times[place] - drive.times[0]).toFixed(2)} s`
    + ` · ${place + 1} of ${drive.ticks}`;
  const rows = { Frame: drive.numbers[place], Time: `${drive.times[place].toFixed(2)} s` };
  if (drive.speeds[place] !== null) rows.Speed = `${drive.speeds[place].toFixed(1)} m/s`;
  if (weather) rows.Weather = weather;
  for (const [name, one] of Object.entries(facts ?? {})) {
    const of = Object.keys(facts).length > 1 ? ` (${name})` : "";
    rows[`Things${of}`] = one.facts.things;
    if (one.facts.prompt) rows[`Prompt${of}`] = one.facts.prompt;
    for (const [score, value] of Object.entries(one.facts.trust)) {
      if (score !== "attempts") rows[`${score === "score" ? "Trust" : score.replace("_", " ")}${of}`] = value;
    }
  }
  find("facts").replaceChildren(...Object.entries(rows).flatMap(([name, value]) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    text.textContent = value;
    return [term, text];
  }));
}

/** Say what is broken; returns the tick after its segment. */
function onBroken(tick, sentence) {
  const drive = driveOf(tick), place = tick - drive.offset;
  if (drive !== current) enter(drive);
  facts = null;
  find("broken").hidden = false;
  find("broken").textContent = sentence;
  find("stage").dataset.tick = "";
  for (const { rendered, realized, layer, boxes } of stage.cells) {
    for (const canvas of [rendered, realized, layer, boxes]) canvas.width = canvas.width; // clears it
  }
  say(tick, drive);
  readDamage();
  const segment = drive.segments.find(one => place < one.first + one.count);
  return segment ? drive.offset + segment.first + segment.count : null;
}

/** Name the damaged segments; asks again until all files were compared. */
async function readDamage() {
  clearTimeout(readDamage.later);
  const { checked, damaged } = await read("damaged.json").catch(() => ({ checked: false, damaged: [] }));
  for (const { drive, segment, reason } of damaged) drives[drive].damaged.set(segment, reason);
  find("damaged").replaceChildren(...drives.flatMap(drive => [...drive.damaged].map(([segment, reason]) => {
    const item = document.createElement("li");
    item.textContent = `${drive.name}, segment ${segment}: ${reason}`;
    return item;
  })));
  timeline.draw();
  if (!checked) readDamage.later = setTimeout(readDamage, CHECK_MS);
}

function showSearch() {
  const many = (id, what, chosen) => chips(find(id), search.names(what), name => chosen.has(name), name => {
    chosen[chosen.has(name) ? "delete" : "add"](name);
    changeSearch();
  });
  many("classes", "classes", search.classes);
  many("weathers", "weathers", search.weathers);
  chips(find("trust-side"), [{ text: "Any", value: "" }, { text: "Below", value: "below" }, { text: "At least", value: "above" }],
    side => side === search.side, side => {
      search.side = side;
      changeSearch();
    });
  find("trust").value = search.score;
  find("trust").nextElementSibling.textContent = search.score.toFixed(2);
  const part = search.isActive ? `${search.count} of ${search.total} frames found` : `${search.total} frames`;
  find("found").textContent = part;
  find("clear").disabled = !search.isActive;
  for (const id of ["before", "next"]) find(id).disabled = !search.count;
}

function changeSearch() {
  search.update();
  showSearch();
  timeline.draw();
}

function onHover(tick) {
  if (tick === null || !search) {
    find("hover").textContent = "";
    return;
  }
  const drive = driveOf(tick), place = tick - drive.offset, score = drive.trust[place];
  find("hover").textContent = `${drive.name}, frame ${drive.numbers[place]}`
    + (score === null ? "" : `, trust ${score.toFixed(2)}`);
}

function onPlaying(isPlaying) {
  find("play").setAttribute("aria-pressed", isPlaying);
  find("play").querySelector("b").textContent = isPlaying ? "Pause" : "Play";
}

function fillExport(formats) {
  find("format").replaceChildren(...Object.entries(formats).map(([name, contents]) => new Option(`${name}: ${contents}`, name)));
  find("variant").replaceChildren(...[["real", "realized"], ["sim", "rendered"], ["paired", "both"]].map(
    ([value, text]) => new Option(text, value)));
}

async function fillCommand() {
  const asked = { format: find("format").value, variant: find("variant").value, spans: search.spans() };
  try {
    const { text, file, frames } = await post("export", asked);
    find("command").textContent = text;
    find("file").textContent = file;
    find("file-part").hidden = !file;
    find("exported").textContent = `${frames} of ${search.total} frames, of all cameras.`;
  } catch (error) {
    find("command").textContent = "";
    find("file-part").hidden = true;
    find("exported").textContent = error.message;
  }
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([find("file").textContent], { type: "application/toml" }));
  link.download = "frames.toml";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function toast(sentence) {
  find("toast").textContent = sentence;
  find("toast").hidden = false;
  clearTimeout(toast.later);
  toast.later = setTimeout(() => { find("toast").hidden = true; }, 5000);
}

function setOpacity(value) {
  const style = document.documentElement.style;
  style.setProperty("--opacity", value / 100);
  style.setProperty("--boxes", 1);
  find("opacity").nextElementSibling.textContent = `${value} %`;
  keep("opacity", value);
}

const step = by => { player?.pause(); seek((player?.wanted ?? 0) + by); };
const jump = by => {
  const tick = search?.nearest(player.wanted, by);
  if (tick !== null && tick !== undefined) {
    player.pause();
    seek(tick);
  }
};
const toggle = () => (player?.isPlaying ? player.pause() : player?.play());
const setBegin = () => { search.begin = player.wanted; search.end = Math.max(search.end, search.begin + 1); changeSearch(); };
const setEnd = () => { search.end = player.wanted + 1; search.begin = Math.min(search.begin, search.end - 1); changeSearch(); };

const speeds = [0.25, 1, 2, 4].map(value => ({ text: `${value}×`, value }));
const showSpeeds = () => chips(find("speeds"), speeds, value => Number(value) === (player?.speed ?? 1), value => {
  if (player) player.speed = Number(value);
  showSpeeds();
});
showSpeeds();
find("opacity").value = store("opacity", 55);
setOpacity(find("opacity").value);
find("opacity").addEventListener("input", event => setOpacity(event.target.value));
for (const kind of KINDS) {
  find(kind).checked = store(kind, "") === "true";
  find(kind).addEventListener("change", event => {
    keep(kind, event.target.checked);
    player?.refresh();
  });
}
find("play").addEventListener("click", toggle);
find("back").addEventListener("click", () => step(-1));
find("on").addEventListener("click", () => step(1));
find("begin").addEventListener("click", setBegin);
find("end").addEventListener("click", setEnd);
find("before").addEventListener("click", () => jump(-1));
find("next").addEventListener("click", () => jump(1));
find("clear").addEventListener("click", () => { search.clear(); showSearch(); timeline.draw(); });
find("trust").addEventListener("input", event => {
  search.score = Number(event.target.value);
  if (!search.side) search.side = "below";
  changeSearch();
});
find("export").addEventListener("click", () => { find("export-dialog").showModal(); fillCommand(); });
find("format").addEventListener("change", fillCommand);
find("variant").addEventListener("change", fillCommand);
find("save").addEventListener("click", save);
find("copy").addEventListener("click", async () => {
  await navigator.clipboard?.writeText(find("command").textContent).catch(() => {});
  toast("Copied.");
});
document.addEventListener("keydown", event => {
  if (!player || event.target.closest("input, button, select, dialog, .divider") || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = {
    " ": toggle, arrowleft: () => step(-1), arrowright: () => step(1), i: setBegin, o: setEnd,
    n: () => jump(1), p: () => jump(-1),
  };
  const action = actions[event.key.toLowerCase()];
  if (action) {
    event.preventDefault();
    action();
  }
});
begin().catch(error => {
  find("state").hidden = true;
  find("empty").textContent = error.message;
});
