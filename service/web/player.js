// A video with the cubes drawn on it, each at its time. Knows cubes and steps, and no answer.

import { h } from "./dom.js";
import { colourOf } from "./colours.js";

const PATIENCE_MS = 2000;
const CANNOT = "This browser cannot play the file (its codec or container). The service reads more kinds, so the answer still comes.";

/** A stage for one run: the video, a canvas over it, and a line of time under it. */
export class Player {
  /** `numFrames`: how many frames the model samples; each stands for that part of the video. */
  constructor(url, numFrames) {
    this.numFrames = numFrames;
    this.frame = null; // of the answer, where the video does not play
    this.cubes = []; // {step, pts_s, box}
    this.isPlayable = true;
    this.video = h("video", { src: url, loop: true, playsinline: true, preload: "auto", "aria-label": "The video" });
    this.video.muted = true;
    this.toggle = h("button", { type: "button", onclick: () => (this.video.paused ? this.play() : this.video.pause()) });
    this.time = h("input", { type: "range", min: 0, max: 1, step: "any", value: 0, "aria-label": "Time in the video" });
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.marks = h("div", { class: "marks", "aria-hidden": "true" });
    this.controls = h("div", { class: "controls" }, this.toggle, h("div", { class: "line" }, this.marks, this.time));
    this.note = h("p", { class: "told", hidden: true });
    this.stage = h("div", { class: "stage" }, this.video, this.canvas);
    this.element = h("div", { class: "player" }, this.stage, this.controls, this.note);
    this.video.addEventListener("loadedmetadata", () => {
      if (this.video.videoWidth) this.#onSize(this.video.videoWidth, this.video.videoHeight);
      else this.#cannotPlay(); // it plays the sound alone
    });
    this.video.addEventListener("error", () => this.#cannotPlay());
    this.video.addEventListener("click", () => this.toggle.click());
    for (const event of ["play", "pause"]) this.video.addEventListener(event, () => this.#showState());
    this.time.addEventListener("input", () => this.seek(Number(this.time.value)));
    this.#showState();
    const redraw = () => {
      if (!this.element.isConnected) return;
      this.#draw();
      requestAnimationFrame(redraw);
    };
    requestAnimationFrame(redraw);
  }

  play() {
    this.video.play().catch(() => {}); // a browser may refuse: the button is still there
  }

  /** Stretches of the video in place of cubes: [{from_s, to_s, colour}]. */
  mark(stretches) {
    this.stretches = stretches;
    if (!this.isPlayable) this.#showStretchesAlone();
    this.#drawLine();
  }

  add(step, cube) {
    this.cubes.push({ step, ...cube });
    this.#drawLine();
  }

  seek(seconds) {
    this.video.pause();
    this.video.currentTime = seconds;
  }

  /** What the answer knows of the video, for one that does not play here. */
  learn({ width, height, duration_s }) {
    Object.assign(this, { duration_s, size: [width, height] });
    if (!this.isPlayable) this.#onSize(width, height);
    this.#drawLine();
  }

  /** A frame of the video, for one that does not play here: {jpeg_base64, pts_s, box}. */
  show(frame) {
    this.frame = frame; // the browser may not have said yet that it does not play the file
    if (!this.isPlayable) this.#showFrame(frame);
  }

  #showFrame({ jpeg_base64, pts_s, box }) {
    const bytes = Uint8Array.from(atob(jpeg_base64), (letter) => letter.charCodeAt(0));
    const url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    const picture = h("img", {
      src: url, alt: `A frame of the video, at ${pts_s.toFixed(1)} s`, onload: () => URL.revokeObjectURL(url),
    });
    for (const [side, share] of Object.entries({ left: box.x, top: box.y, width: box.w, height: box.h })) {
      picture.style[side] = `${share * 100}%`;
    }
    this.video.before(picture);
    this.note.textContent = `This browser cannot play the file, so this is one frame of it, at ${pts_s.toFixed(1)} s. ` +
      "All cubes are drawn on it, whatever their time.";
  }

  get length_s() {
    return Number.isFinite(this.video.duration) ? this.video.duration : (this.duration_s ?? 0);
  }

  /** Cubes to be seen now: a sampled frame stands for the part of the video around it. */
  shown() {
    if (!this.isPlayable) return this.cubes;
    const half_s = this.length_s / this.numFrames / 2;
    const now_s = this.video.currentTime;
    return this.cubes.filter(({ pts_s: [first, last] }) => first - half_s <= now_s && now_s <= last + half_s);
  }

  #draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const drawn = [width, height, ratio, this.video.currentTime, this.cubes.length, this.length_s].join();
    if (drawn === this.drawn) return; // nothing has moved
    this.drawn = drawn;
    canvas.width = Math.round(width * ratio); // which clears it, too
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const { step, box } of this.shown()) {
      const [x, y, w, h] = [box.x * width, box.y * height, box.w * width, box.h * height];
      pen.strokeStyle = "#0009"; // a dark rim keeps the colour apart from any picture
      pen.lineWidth = 5;
      pen.strokeRect(x + 2.5, y + 2.5, w - 5, h - 5);
      pen.strokeStyle = colourOf(step);
      pen.lineWidth = 3;
      pen.strokeRect(x + 2.5, y + 2.5, w - 5, h - 5);
      pen.fillStyle = colourOf(step);
      pen.fillRect(x + 1, y + 1, 22, 20);
      pen.fillStyle = "#000";
      pen.font = "600 13px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.fillText(String(step), x + 12, y + 16);
    }
    this.time.max = this.length_s;
    this.time.value = this.video.currentTime;
    this.time.setAttribute("aria-valuetext", `${this.video.currentTime.toFixed(1)} s`);
  }

  #showState() {
    this.toggle.textContent = this.video.paused ? "Play" : "Pause";
  }

  #drawLine() {
    const length_s = this.length_s;
    if (!length_s) return;
    const half_s = length_s / this.numFrames / 2;
    const stretches = this.stretches ?? this.cubes.map(({ step, pts_s: [first, last] }) =>
      ({ from_s: Math.max(0, first - half_s), to_s: last + half_s, colour: colourOf(step) }));
    const lanes = this.stretches || !overlap(stretches, half_s / 2) ? 1 : stretches.length;
    this.marks.replaceChildren(
      ...stretches.map(({ from_s, to_s, colour }, place) => {
        const mark = h("i");
        mark.style.top = `${((lanes > 1 ? place : 0) / lanes) * 100}%`;
        mark.style.height = `${100 / lanes}%`;
        mark.style.left = `${(from_s / length_s) * 100}%`;
        mark.style.width = `${((to_s - from_s) / length_s) * 100}%`;
        mark.style.background = colour;
        return mark;
      }),
    );
  }

  #showStretchesAlone() {
    this.stage.hidden = true;
    this.controls.hidden = false;
    this.note.textContent = CANNOT;
  }

  #onSize(width, height) {
    if (width && height) this.stage.style.setProperty("--ratio", width / height);
    this.#drawLine();
  }

  #cannotPlay() {
    if (!this.isPlayable) return;
    this.isPlayable = false;
    for (const part of [this.video, this.controls, this.toggle, this.time]) part.hidden = true;
    this.stage.classList.add("blank");
    this.note.hidden = false;
    this.note.textContent = `${CANNOT} Its cubes are drawn on an empty frame, whatever their time.`;
    if (this.stretches) this.#showStretchesAlone();
    if (this.size) this.#onSize(...this.size);
    if (this.frame) this.#showFrame(this.frame);
  }
}

/** Whether this browser shows pictures of the file; null where it does not say so in time. */
export function plays(url) {
  const video = h("video", { preload: "metadata" });
  video.muted = true;
  return new Promise((resolve) => {
    const told = (whether) => {
      clearTimeout(timer);
      resolve(whether);
      video.removeAttribute("src");
      video.load(); // what it has read of the file is let go
    };
    const timer = setTimeout(() => told(null), PATIENCE_MS);
    video.addEventListener("loadedmetadata", () => told(video.videoWidth > 0), { once: true });
    video.addEventListener("error", () => told(false), { once: true });
    video.src = url;
  });
}

/** Whether any two cubes share more time than that: then each has a lane of its own, so that none hides another. */
function overlap(stretches, least_s) {
  const inTime = stretches.toSorted((one, other) => one.from_s - other.from_s);
  return inTime.some(({ from_s }, place) => place > 0 && inTime[place - 1].to_s - from_s > least_s);
}
