// The page: what is watched, and which part shows what.

import { Charts } from "./charts.js";
import { Controls, chips } from "./controls.js";
import { Stage } from "./stage.js";
import { News, Pictures, snapshotAddress } from "./streams.js";

const find = id => document.getElementById(id);
const store = (name, fallback) => localStorage.getItem(name) ?? fallback;

const watch = { cameras: [], layer: "" };
let cameras = [], isPaused = false, hasEnded = false, newest = 0;

if (location.search.includes("token=")) history.replaceState(null, "", location.pathname);

const stage = new Stage(find("stage"), wipe => localStorage.setItem("wipe", wipe));
stage.setWipe(Number(store("wipe", 50)));
const pictures = new Pictures(find("peer"), onPicture, showTransport);
pictures.isBehind = () => newest !== pictures.last.number;
pictures.setMode(store("video", "auto"));
const charts = new Charts(find("latency"), find("drops"), find("stages"));
const controls = new Controls(fail);
const news = new News({
  state: onState,
  seconds: seconds => charts.add(seconds),
  boxes: ({ number, cameras: found }) => stage.takeBoxes(number, found),
}, onEnd);

function onPicture(source, width, height, number) {
  if (!isPaused) stage.draw(source, width, height, number);
}

function onState(state) {
  if (hasEnded) {
    hasEnded = false;
    pictures.restart();
  }
  newest = state.number;
  const facts = JSON.stringify(state.cameras);
  if (facts !== JSON.stringify(cameras)) {
    cameras = state.cameras;
    const names = cameras.map(camera => camera.name);
    const kept = watch.cameras.filter(name => names.includes(name));
    const asked = JSON.parse(store("cameras", "[]")).filter(name => names.includes(name));
    const chosen = kept.length ? kept : asked.length ? asked : names.slice(0, 1);
    if (chosen.length) look({ cameras: chosen });
  }
  const { stats, run, shows } = state;
  const live = find("live");
  const isOn = stats.shown > 0;
  live.className = `pill ${isOn ? "live" : "waiting"}`;
  live.textContent = isOn ? "live" : "waiting";
  find("run").textContent = run ? [run.engine, run.source, run.town,
    shows.weather && `simulates ${shows.weather}`].filter(Boolean).join(" · ") : "";
  const shown = {
    fps: stats.fps.toFixed(1), latency_ms: Math.round(stats.latency_ms).toLocaleString("en"), frame_id: stats.frame_id,
    lost: stats.lost, dropped: stats.dropped };
  for (const place of document.querySelectorAll("[data-figure]")) {
    const name = place.dataset.figure;
    place.textContent = isOn ? shown[name] : "–";
    if (isOn && name === "latency_ms") place.insertAdjacentHTML("beforeend", " <small>ms</small>");
  }
  controls.show(state);
}

function onEnd() {
  hasEnded = true;
  const live = find("live");
  live.className = "pill ended";
  live.textContent = "the run has ended";
}

/** Watch something else: `change` holds new cameras or another layer. */
function look(change) {
  Object.assign(watch, change);
  const there = new Set(shownCameras().flatMap(camera => camera.layers));
  if (watch.layer && !there.has(watch.layer)) watch.layer = "";
  stage.show({ ...watch }, cameras);
  pictures.setWatch({ ...watch });
  showChoices();
  setPaused(false);
}

function shownCameras() {
  return cameras.filter(camera => watch.cameras.includes(camera.name));
}

function showChoices() {
  const names = cameras.map(camera => camera.name);
  find("cameras-panel").hidden = names.length < 2;
  const all = "\n"; // no camera's name
  chips(find("cameras"), [...names, { text: "All", value: all }],
    value => value === all ? watch.cameras.length === names.length
      : watch.cameras.length === 1 && watch.cameras[0] === value,
    value => {
      const chosen = value === all ? names : [value];
      localStorage.setItem("cameras", JSON.stringify(chosen));
      look({ cameras: chosen });
    });
  const layers = [...new Set(shownCameras().flatMap(camera => camera.layers))];
  chips(find("layers"), layers.length ? [{ text: "None", value: "" }, ...layers] : [],
    value => value === watch.layer, value => look({ layer: value }));
  const hasBoxes = shownCameras().some(camera => camera.boxes);
  find("boxes").disabled = !hasBoxes;
  find("no-labels").hidden = layers.length > 0 || hasBoxes;
  listen();
}

function listen() {
  const shown = find("boxes").checked && !find("boxes").disabled;
  stage.setBoxes(shown);
  const wanted = shown ? watch.cameras : [];
  if (JSON.stringify(wanted) !== JSON.stringify(news.cameras) || !news.source) news.watch(wanted);
}

function showTransport() {
  const pill = find("transport");
  pill.hidden = !pictures.kind;
  pill.textContent = pictures.kind;
  chips(find("video"), [{ text: "Auto", value: "auto" }, { text: "WebRTC", value: "webrtc" },
    { text: "MJPEG", value: "mjpeg" }], value => value === pictures.mode, value => {
    localStorage.setItem("video", value);
    pictures.setMode(value);
    showTransport();
  });
  find("video-note").textContent = pictures.note
    || (pictures.kind === "WebRTC" ? "A few Mbit/s, softer detail." : "Every picture as JPEG: sharp, tens of Mbit/s.");
}

function setPaused(paused) {
  isPaused = paused;
  find("pause").setAttribute("aria-pressed", paused);
  find("pause").querySelector("b").textContent = paused ? "Go on" : "Pause";
}

async function snapshot() {
  if (!stage.cells.length) return fail("There is no picture yet.");
  const link = document.createElement("a");
  if (isPaused) { // the server has moved on
    const blob = await new Promise(resolve => stage.picture().toBlob(resolve));
    link.href = URL.createObjectURL(blob);
    link.download = `${watch.cameras.join("-")}-paused.png`;
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  } else {
    link.href = snapshotAddress(watch);
    link.download = "";
  }
  link.click();
}

function fullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else find("stage").requestFullscreen?.().catch(error => fail(error.message));
}

function fail(sentence) {
  const toast = find("toast");
  toast.textContent = sentence;
  toast.hidden = false;
  clearTimeout(fail.later);
  fail.later = setTimeout(() => { toast.hidden = true; }, 7000);
}

function setOpacity(value) {
  const style = document.documentElement.style;
  style.setProperty("--opacity", value / 100);
  style.setProperty("--boxes", Math.min(1, value / 55)); // thin lines need more
  find("opacity").closest(".row").querySelector("output").textContent = `${value} %`;
  localStorage.setItem("opacity", value);
}

find("opacity").value = store("opacity", 55);
setOpacity(find("opacity").value);
find("opacity").addEventListener("input", event => setOpacity(event.target.value));
find("boxes").addEventListener("change", listen);
find("pause").addEventListener("click", () => setPaused(!isPaused));
find("snapshot").addEventListener("click", snapshot);
find("fullscreen").addEventListener("click", fullscreen);
find("fullscreen").hidden = !document.fullscreenEnabled;
document.addEventListener("keydown", event => {
  if (event.target.closest("input, button") || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = { " ": () => setPaused(!isPaused), s: snapshot, f: fullscreen };
  const action = actions[event.key.toLowerCase()];
  if (action) {
    event.preventDefault();
    action();
  }
});
showTransport();
news.watch([]);
