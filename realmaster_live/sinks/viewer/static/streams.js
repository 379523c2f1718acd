// How the pictures and the news come: MJPEG at once, WebRTC in its place where it works.

import { readStrip, stampOf } from "./strip.js";

const NO_PICTURE_MS = 8000; // after which WebRTC has failed
const RETRY_MS = 4000; // where WebRTC was asked for
const GATHERING_MS = 1500;

export async function post(path, values) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(values),
  });
  const content = await answer.json().catch(() => ({ error: `the view answered ${answer.status}` }));
  if (!answer.ok) throw new Error(content.error);
  return content;
}

function query(watch) {
  const values = new URLSearchParams(watch.cameras.map(name => ["camera", name]));
  if (watch.layer) values.set("layer", watch.layer);
  return values;
}

export function snapshotAddress(watch) {
  return `snapshot.png?${query({ ...watch, layer: "" })}`;
}

/** The mosaics of a watch; calls `onPicture(source, width, height, number)` for each new one. */
export class Pictures {
  constructor(video, onPicture, onChange) {
    this.video = video;
    this.onPicture = onPicture;
    this.onChange = onChange;
    this.image = new Image();
    this.image.addEventListener("error", () => this.retryLater());
    this.watch = null;
    this.mode = "auto";
    this.kind = ""; // what the pictures come by
    this.note = "";
    this.last = { number: null, at: performance.now() };
    const look = () => {
      requestAnimationFrame(look);
      this.look();
    };
    requestAnimationFrame(look);
  }

  setMode(mode) {
    this.mode = mode;
    this.note = "";
    clearTimeout(this.anew);
    if (mode === "mjpeg") this.endPeer();
    if (!this.watch) return;
    if (mode !== "mjpeg" && !this.peer) this.startPeer();
    this.startImage();
  }

  setWatch(watch) {
    const first = !this.watch;
    this.watch = watch;
    this.stamp = stampOf(watch);
    if (this.channel?.readyState === "open") this.channel.send(JSON.stringify(this.asked()));
    if (first && this.mode !== "mjpeg") this.startPeer();
    if (this.kind !== "WebRTC") this.startImage();
  }

  asked() {
    return { ...this.watch, strip: true };
  }

  startImage() {
    if (this.kind === "WebRTC") return;
    clearTimeout(this.retry);
    const values = query(this.watch);
    values.set("strip", "1");
    values.set("t", Date.now()); // or a browser shows what it has
    this.image.src = `live.mjpg?${values}`;
  }

  retryLater() {
    clearTimeout(this.retry);
    if (this.kind !== "WebRTC") this.retry = setTimeout(() => this.startImage(), 2000);
  }

  /** Begin anew, after the server was away. */
  restart() {
    this.endPeer();
    if (this.mode !== "mjpeg" && this.watch) this.startPeer();
    if (this.watch) this.startImage();
  }

  async startPeer() {
    if (!window.RTCPeerConnection) {
      this.note = "This browser has no WebRTC: MJPEG it is.";
      return;
    }
    const peer = this.peer = new RTCPeerConnection();
    this.peerBegan = performance.now();
    try {
      peer.addTransceiver("video", { direction: "recvonly" });
      this.channel = peer.createDataChannel("watch");
      this.channel.onopen = () => this.channel.send(JSON.stringify(this.asked()));
      peer.ontrack = event => {
        if ("jitterBufferTarget" in event.receiver) event.receiver.jitterBufferTarget = 0;
        this.video.srcObject = new MediaStream([event.track]);
        this.video.play().catch(() => {});
      };
      await peer.setLocalDescription(await peer.createOffer());
      await gathered(peer);
      const { sdp, type } = peer.localDescription;
      const answer = await post("offer", { sdp, type, watch: this.asked() });
      if (peer === this.peer) await peer.setRemoteDescription(answer);
    } catch (error) {
      if (peer === this.peer) this.fail(error.message);
    }
  }

  endPeer() {
    this.peer?.close();
    this.peer = this.channel = null;
    this.video.srcObject = null;
    if (this.kind === "WebRTC") {
      this.kind = "";
      this.onChange();
    }
  }

  fail(why) {
    this.note = `WebRTC: ${why}`;
    this.endPeer();
    this.startImage();
    this.onChange();
    clearTimeout(this.anew);
    if (this.mode === "webrtc") this.anew = setTimeout(() => this.peer || this.startPeer(), RETRY_MS);
  }

  /** Take the next picture, if there is one; called for every frame of the screen. */
  look() {
    if (!this.watch) return;
    const video = this.video;
    if (this.peer && video.readyState >= 2 && video.videoWidth) {
      if (this.take(video, video.videoWidth, video.videoHeight, "WebRTC")) {
        this.peerBegan = performance.now();
      }
    }
    if (this.peer && performance.now() - this.peerBegan > NO_PICTURE_MS) {
      if (this.kind !== "WebRTC") this.fail("no picture came this way, as through a tunnel: MJPEG it is.");
      else if (this.isBehind?.()) this.fail("the pictures stopped: MJPEG it is.");
      else this.peerBegan = performance.now();
    }
    if (this.kind !== "WebRTC" && this.image.naturalWidth) {
      this.take(this.image, this.image.naturalWidth, this.image.naturalHeight, "MJPEG");
    }
  }

  take(source, width, height, kind) {
    let strip = null;
    try {
      strip = readStrip(source, width, height);
    } catch { // a picture that is broken off
      return false;
    }
    if (!strip || strip.stamp !== this.stamp) return false;
    if (kind === this.kind && strip.number === this.last.number) return false;
    if (kind !== this.kind) {
      this.kind = kind;
      if (kind === "WebRTC") this.image.src = "data:,";
      this.onChange();
    }
    this.last = { number: strip.number, at: performance.now() };
    this.onPicture(source, width, height, strip.number);
    return true;
  }
}

function gathered(peer) {
  return new Promise(resolve => {
    const end = () => peer.iceGatheringState === "complete" && resolve();
    peer.addEventListener("icegatheringstatechange", end);
    setTimeout(resolve, GATHERING_MS);
    end();
  });
}

/** The run's news; falls back to asking now and then where nothing comes. */
export class News {
  constructor(handlers, onEnd) {
    this.handlers = handlers;
    this.onEnd = onEnd;
    this.cameras = [];
  }

  watch(cameras) {
    this.cameras = cameras;
    this.source?.close();
    const values = new URLSearchParams(cameras.map(name => ["boxes", name]));
    const source = this.source = new EventSource(`events?${values}`);
    for (const [name, handler] of Object.entries(this.handlers)) {
      source.addEventListener(name, event => {
        this.heard = performance.now();
        handler(JSON.parse(event.data));
      });
    }
    source.onerror = () => {
      source.close();
      if (source === this.source) this.poll();
    };
  }

  /** Ask for the state alone, and listen again when it answers. */
  async poll() {
    clearTimeout(this.again);
    try {
      const answer = await fetch("state.json");
      if (answer.status === 401) return location.reload();
      this.handlers.state(await answer.json());
      this.again = setTimeout(() => this.watch(this.cameras), 1000);
    } catch {
      this.onEnd();
      this.again = setTimeout(() => this.poll(), 2000);
    }
  }
}
