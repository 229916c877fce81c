// One timeline as it unfolds: the video, its segments under it, a list to jump by. Knows segments, and no request.

import { codeDetails } from "./code.js";
import { colourOf } from "./colours.js";
import { h, percent, short } from "./dom.js";
import { Player } from "./player.js";
import { clock, nameOf } from "./words.js";

const ENDED = { deadline: "Out of time", broken: "The file cannot be read on", quota: "The key's limit is used up" };

export class Timeline {
  /** `asked`: {budget, ceiling, word}; `request`: {file, options}; `url`: where the video plays from. */
  constructor(model, asked, request, url) {
    Object.assign(this, { model, request });
    this.segments = [];
    this.colours = new Map();
    this.player = new Player(url, model.num_frames);
    this.title = h("h2", { class: "said" }, "Looking …");
    this.told = h("p", { class: "effort" });
    this.list = h("ol", { class: "segments", "aria-label": "Segments" });
    this.more = h("div");
    this.element = h(
      "article", { class: "run timeline" },
      h("header", {}, h("span", { class: "asked" }, `${asked.word}${short(asked.budget)} GFLOPs a second`),
        h("span", { class: "model" }, model.name)),
      this.title, this.told,
      model.trained ? null : h("p", { class: "notice" }, "This model is untrained: its labels and scores mean nothing."),
      this.player.element, this.list, this.more,
    );
    this.player.video.addEventListener("timeupdate", () => this.#showNow());
  }

  /** How far it is; nothing to say. */
  progress({ done_s, duration_s, spent_gflops }) {
    this.player.learn({ duration_s });
    this.told.textContent = `${clock(done_s)} of ${clock(duration_s)}, spent ${short(spent_gflops)} GFLOPs so far.`;
    this.#draw();
  }

  /** One more segment; returns it as a sentence. */
  add(segment) {
    this.segments.push(segment);
    if (segment.label === null) return "";
    if (!this.colours.has(segment.label)) this.colours.set(segment.label, colourOf(1 + this.colours.size));
    const score = segment.predictions.find((one) => one.label === segment.label)?.score;
    const swatch = h("i", { class: "swatch" });
    swatch.style.background = this.colours.get(segment.label);
    const times = `${clock(segment.start_s, true)} – ${clock(segment.end_s, true)}`;
    this.list.append(h("li", {}, h("button", {
      type: "button", "data-start": segment.start_s, "data-end": segment.end_s,
      onclick: () => this.player.seek(segment.start_s),
    }, swatch, h("span", { class: "times" }, times), h("strong", {}, nameOf(segment)),
      h("span", { class: "told" }, score == null ? "" : percent(score)))));
    this.#draw();
    return `${times}: ${nameOf(segment)}.`;
  }

  /** The answer; returns it as a sentence. */
  finish(answer) {
    this.answer = answer;
    this.player.learn(answer.video);
    const { windows, spent_gflops: spent } = answer.compute;
    const named = answer.segments.filter((one) => one.label !== null);
    const kinds = new Set(named.map(nameOf)).size;
    this.title.textContent = named.length === 0
      ? "Nothing that I know happens"
      : kinds === 1 ? `${nameOf(named[0])}, ${times(named.length)}` : `${named.length} moments of ${kinds} kinds`;
    const early = ENDED[answer.end.reason] ? ` ${ENDED[answer.end.reason]} after ${clock(answer.end.at_s)}. ${answer.end.detail ?? ""}` : "";
    this.told.textContent = `${clock(answer.video.duration_s)} of video, ${windows.full} of ${windows.count} windows looked at ` +
      `closely, spent ${short(spent)} GFLOPs.${early}`;
    this.more.replaceChildren(codeDetails({ kind: "timelines", ...this.request, answer }));
    this.#draw();
    return `${this.title.textContent}. ${this.told.textContent}`;
  }

  fail() {
    if (!this.answer) this.title.textContent = "Broken off.";
  }

  /** Bars under the player, as long as the segments. */
  #draw() {
    this.player.mark(this.segments.filter((one) => one.label !== null).map(({ start_s, end_s, label }) =>
      ({ from_s: start_s, to_s: end_s, colour: this.colours.get(label) })));
  }

  #showNow() {
    const now_s = this.player.video.currentTime;
    for (const button of this.list.querySelectorAll("button")) {
      const isNow = Number(button.dataset.start) <= now_s && now_s < Number(button.dataset.end);
      if (isNow) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
  }
}

const times = (count) => (count === 1 ? "once" : count === 2 ? "twice" : `${count} times`);
