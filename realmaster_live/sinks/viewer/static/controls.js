// What people change: the look with its cross-fade, the adapter, the noise, recordings.

import { post } from "./streams.js";

const WEATHERS = new Set(
  ["as simulated", "clear", "rain", "snow", "fog", "night", "overcast", "cloudy", "wet", "low sun"]);
const find = id => document.getElementById(id);

/** Show `values` as buttons of which some are pressed; keeps those that are there already. */
export function chips(root, values, pressed, onPress) {
  const key = JSON.stringify(values);
  if (root.dataset.key !== key) {
    root.dataset.key = key;
    root.replaceChildren(...values.map(value => {
      const button = document.createElement("button");
      button.textContent = value.text ?? value;
      button.dataset.value = value.value ?? value;
      button.addEventListener("click", () => onPress(button.dataset.value));
      return button;
    }));
  }
  for (const button of root.children) {
    button.setAttribute("aria-pressed", pressed(button.dataset.value));
  }
}

export class Controls {
  constructor(fail) {
    this.fail = fail;
    this.held = { strength: 0, seed: 0 }; // until when what is typed stays
    const fade = find("fade");
    fade.value = localStorage.getItem("fade") ?? fade.value;
    fade.addEventListener("input", () => {
      localStorage.setItem("fade", fade.value);
      this.sayFade();
    });
    this.sayFade();
    find("strength").addEventListener("input", event => this.onStrength(event.target));
    find("seed").addEventListener("change", event => this.setSeed(Number(event.target.value)));
    find("seed").addEventListener("input", () => this.hold("seed"));
    find("dice").addEventListener("click", () => this.setSeed(Math.floor(Math.random() * 1e6)));
    find("record").addEventListener("click", () => this.record());
  }

  show({ controls, shows, recording }) {
    this.showLook(controls, shows);
    const strength = controls?.strength ?? null, seed = controls?.seed ?? null;
    find("adapter").hidden = find("noise").hidden = !controls; // it is said once, below the look
    find("strength-row").hidden = strength === null;
    find("seed-row").hidden = seed === null;
    if (strength !== null && this.mayChange("strength")) {
      find("strength").value = strength;
      find("strength-row").querySelector("output").textContent = strength.toFixed(2);
    }
    if (seed !== null && this.mayChange("seed")) find("seed").value = seed;
    for (const note of document.querySelectorAll("[data-lacks]")) {
      const why = controls ? controls.lacks[note.dataset.lacks] : "This run has no controls yet.";
      note.textContent = why ? why[0].toUpperCase() + why.slice(1) : "";
    }
    this.showRecording(recording);
  }

  showLook(controls, shows) {
    const lacks = !controls || "prompt" in controls.lacks;
    const prompts = controls?.prompts ?? [];
    find("fade-row").hidden = lacks;
    const root = find("prompts");
    const key = JSON.stringify([lacks, prompts]);
    if (root.dataset.key !== key) {
      root.dataset.key = key;
      root.replaceChildren();
      const groups = [
        ["Weather", prompts.filter(name => WEATHERS.has(name))],
        ["Style", prompts.filter(name => !WEATHERS.has(name))]];
      for (const [name, values] of groups.filter(([, values]) => values.length)) {
        if (groups.every(([, values]) => values.length)) {
          const heading = document.createElement("p");
          heading.className = "chips-name";
          heading.textContent = name;
          root.append(heading);
        }
        const group = document.createElement("div");
        group.className = "chips";
        group.setAttribute("role", "group");
        group.setAttribute("aria-label", name);
        root.append(group);
        group.values = values;
      }
      if (!lacks && !prompts.length) root.append(this.freePrompt());
    }
    const wanted = this.wanted ?? shows.prompt;
    for (const group of root.querySelectorAll(".chips")) {
      chips(group, group.values, value => value === wanted, value => this.setPrompt(value));
    }
    if (shows.prompt === this.wanted) this.wanted = null;
    const share = Math.round(100 * (shows.weight ?? 1));
    const fading = !lacks && share < 100;
    find("fading").textContent = fading ? `Fading to ${shows.prompt}: ${share} %` : "";
  }

  freePrompt() {
    const input = document.createElement("input");
    input.type = "text";
    input.placeholder = "a weather or look";
    input.setAttribute("aria-label", "Prompt");
    input.addEventListener("change", () => this.setPrompt(input.value));
    return input;
  }

  showRecording(recording) {
    const button = find("record");
    this.isRecording = recording.is_on;
    button.disabled = Boolean(recording.why_not);
    button.title = recording.why_not ? `To record here, ${recording.why_not}`
      : "Record pictures and labels";
    button.setAttribute("aria-pressed", recording.is_on);
    button.querySelector("b").textContent = recording.is_on ? "Stop" : "Record";
    let text = "";
    if (recording.error) text = recording.error;
    else if (recording.folder) {
      const seconds = Math.floor(recording.seconds);
      const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
      const name = recording.folder.split(/[\\/]/).slice(-2).join("/");
      text = `${recording.is_on ? "" : "Saved "}${name}: ${time}, ${recording.frames} frames`;
      if (recording.left_out) text += `, ${recording.left_out} left out`;
    }
    find("recording").textContent = text;
    find("recording").title = recording.folder;
  }

  async send(path, values) {
    try {
      return await post(path, values);
    } catch (error) {
      this.fail(error.message);
      return null;
    }
  }

  async setPrompt(prompt) {
    this.wanted = prompt;
    const answer = await this.send("prompt", { prompt, fade_s: Number(find("fade").value) });
    if (!answer) this.wanted = null;
  }

  onStrength(slider) {
    this.hold("strength");
    find("strength-row").querySelector("output").textContent = Number(slider.value).toFixed(2);
    clearTimeout(this.later);
    this.later = setTimeout(
      () => this.send("strength", { strength: Number(slider.value) }), 150);
  }

  setSeed(seed) {
    this.hold("seed");
    find("seed").value = seed;
    this.send("seed", { seed });
  }

  async record() {
    const state = await this.send("recording", { on: !this.isRecording });
    if (state) this.showRecording(state);
  }

  sayFade() {
    const seconds = Number(find("fade").value);
    find("fade-row").querySelector("output").textContent = seconds ? `${seconds} s` : "none";
  }

  hold(name) {
    this.held[name] = performance.now() + 2500;
  }

  mayChange(name) {
    return performance.now() > this.held[name];
  }
}
