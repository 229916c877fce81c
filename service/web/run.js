// One answer as it unfolds: what is thought after each step, why it stopped, what it cost.

import { codeDetails } from "./code.js";
import { colourOf } from "./colours.js";
import { entropyChart, spending } from "./charts.js";
import { h, percent, short } from "./dom.js";
import { Player } from "./player.js";
import { effort, headline, nameOf } from "./words.js";

const MOST_LABELS = 3;

const STOPPED = {
  budget: () => "As far as the thresholds of this budget go: they stop every video here.",
  confident: (run) =>
    `Sure enough: entropy ${short(run.last.entropy_nats)} is at or below its threshold ${short(run.thresholdAt(run.last))}.`,
  ceiling: (run) => `At the ceiling: one more step would pass ${short(run.ceiling)} GFLOPs.`,
  deadline: () => "Out of time: this is the best answer so far.",
  exhausted: () => "Every step was taken; there is none left.",
  undecoded: ({ answer }) => `The frames of the next step could not be decoded: ${answer.exit.detail}`,
};

export class Run {
  /** `model`: its detail at `asked.budget`; `asked`: {budget, ceiling: GFLOPs or null, word}; `request`: {file, options};
   * `url`: where the video plays from. */
  constructor(model, asked, request, url) {
    Object.assign(this, { model, request, budget: asked.budget, ceiling: asked.ceiling });
    this.steps = [];
    this.player = new Player(url, model.num_frames);
    this.title = h("h2", { class: "said" }, "Looking …");
    this.effort = h("p", { class: "effort" });
    this.verdict = h("p", { class: "verdict" }, "Looking …");
    this.more = h("div");
    this.labels = h("ol", { class: "labels", "aria-label": "Likeliest labels" });
    this.chart = h("div", { class: "chart" });
    this.cost = h("div");
    this.rows = h("tbody");
    this.times = h("p", { class: "told" });
    this.element = h(
      "article", { class: "run" },
      h("header", {}, h("span", { class: "asked" }, `${asked.word}${short(asked.budget)} GFLOPs`),
        h("span", { class: "model" }, model.name)),
      this.title, this.effort,
      model.trained ? null : h("p", { class: "notice" }, "This model is untrained: its labels and scores mean nothing."),
      this.player.element,
      this.labels,
      h("details", { class: "how" }, h("summary", {}, "How it got there"),
        this.verdict,
        h("h3", {}, "Uncertainty ", h("span", { class: "hint" }, "entropy in nats; dashes are the thresholds")),
        this.chart,
        h("h3", {}, "Spent"),
        this.cost,
        h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Steps" },
          h("table", {},
            h("thead", {}, h("tr", {}, ...["Step", "Looked at", "Thinks", "Entropy", "GFLOPs"].map((name) =>
              h("th", { scope: "col" }, name)))),
            this.rows)),
        this.times),
      this.more,
    );
    this.#show();
  }

  get last() {
    return this.steps[this.steps.length - 1];
  }

  /** Of a step that was taken, with its likeliest label; undefined after the last one there is. */
  thresholdAt({ step, top }) {
    const { entropy_nats, label_offsets_nats } = this.model.thresholds;
    const offsets = label_offsets_nats[step];
    return offsets ? entropy_nats[step] + offsets[this.model.labels.indexOf(top.label)] : entropy_nats[step];
  }

  /** Whether no entropy lies above it, whatever the label: the least sure there is has ln of the labels. */
  stopsEvery(step) {
    const { entropy_nats, label_offsets_nats } = this.model.thresholds;
    const offsets = label_offsets_nats[step];
    return entropy_nats[step] + (offsets ? Math.min(...offsets) : 0) >= Math.log(this.model.labels.length);
  }

  /** One more step has come; returns it as a sentence. */
  add(step) {
    this.steps.push(step);
    if (step.cube) this.player.add(step.step, step.cube);
    this.rows.append(this.#row(step));
    this.#show();
    const what = step.kind === "cube" ? `Cube ${step.step}` : step.step === 0 ? "Glance" : "Rest of the glance";
    this.title.textContent = `${nameOf(step.top)} …`;
    return `${what}: ${nameOf(step.top)}, ${percent(step.top.score)}; entropy ${short(step.entropy_nats)}.`;
  }

  /** The answer; returns it as a sentence. `model`: its detail at the budget that was granted. */
  finish(answer, model) {
    this.answer = answer;
    if (model !== this.model) {
      this.model = model;
      this.rows.replaceChildren(...this.steps.map((step) => this.#row(step))); // beside the thresholds that held
    }
    this.player.learn(answer.video);
    if (answer.picture) this.player.show(answer.picture);
    const why = (STOPPED[answer.exit.reason] ?? (() => answer.exit.reason))(this);
    const share = percent(answer.compute.total_gflops / this.model.full_gflops);
    this.title.textContent = headline(answer);
    this.title.classList.toggle("abstained", Boolean(answer.reason));
    this.effort.textContent = effort(answer);
    this.more.replaceChildren(codeDetails({ kind: "recognitions", ...this.request, answer: { ...answer, picture: undefined } }));
    this.verdict.replaceChildren(
      h("strong", { class: "reason" }, answer.exit.reason),
      ` ${why} ${share} of the full price.`,
    );
    const { timing_ms: ms, video } = answer;
    this.times.textContent =
      `Answered in ${Math.round(ms.total)} ms (upload ${Math.round(ms.upload)}, decode ${Math.round(ms.decode)}, ` +
      `queue ${Math.round(ms.queue)}, inference ${Math.round(ms.inference)}) from ${video.frames_sampled} frames of ` +
      `${short(video.duration_s)} s ${video.codec}, ${video.width} × ${video.height}.`;
    this.#show();
    return `${this.title.textContent}. ${why} Spent ${short(answer.compute.spent_gflops)} GFLOPs.`;
  }

  /** No answer will come any more; what came stands. */
  fail() {
    this.title.textContent = this.verdict.textContent = "Broken off.";
  }

  /** The answer as it stood after `chosen`, by default the last step. */
  #show(chosen = this.last) {
    const { model } = this;
    const numSteps = model.step_gflops.length;
    const past = this.steps.filter((step) => step.step <= (chosen?.step ?? 0));
    const thresholds = model.thresholds.entropy_nats.slice(0, numSteps - 1)
      .map((threshold, step) => (step < this.steps.length ? this.thresholdAt(this.steps[step]) : threshold));
    this.chart.replaceChildren(entropyChart(past, thresholds, numSteps, model.labels.length));
    this.cost.replaceChildren(...spending(past, model.full_gflops, this.budget, this.ceiling));
    this.#showLabels(chosen?.predictions ?? []);
    for (const row of this.rows.children) {
      row.querySelector("button").setAttribute("aria-pressed", String(Number(row.dataset.step) === chosen?.step));
    }
  }

  /** Bars keep their element while their place holds, so that they move rather than blink. */
  #showLabels(all) {
    const predictions = all.slice(0, MOST_LABELS);
    while (this.labels.children.length > predictions.length) this.labels.lastChild.remove();
    predictions.forEach((one, place) => {
      const row = this.labels.children[place] ?? this.labels.appendChild(h("li", {}, h("span"), h("b"), h("i")));
      const [name, share, bar] = row.children;
      name.textContent = nameOf(one);
      share.textContent = percent(one.score);
      bar.style.width = `${one.score * 100}%`;
    });
  }

  #row(step) {
    const swatch = h("i", { class: "swatch" });
    swatch.style.background = colourOf(step.step);
    const choose = () => {
      if (step.cube) this.player.seek((step.cube.pts_s[0] + step.cube.pts_s[1]) / 2);
      this.#show(step);
    };
    const threshold = this.thresholdAt(step);
    const isLast = step.step === this.model.step_gflops.length - 1;
    return h(
      "tr", { "data-step": step.step },
      h("td", {}, h("button", { type: "button", class: "step", "aria-pressed": "false", onclick: choose,
        "aria-label": `Show step ${step.step}` }, swatch, String(step.step))),
      h("td", {}, ...(step.cube ? whereabouts(step.cube) : ["the whole clip"])),
      h("td", {}, nameOf(step.top), h("small", {}, percent(step.top.score))),
      h("td", {}, short(step.entropy_nats), isLast || threshold < 0 || this.stopsEvery(step.step)
        ? null : h("small", {}, `${step.entropy_nats <= threshold ? "≤" : ">"} ${short(threshold)}`)),
      h("td", {}, short(step.gflops)),
    );
  }
}

function whereabouts({ pts_s: [first, last], box }) {
  const time = first === last ? `${first.toFixed(2)} s` : `${first.toFixed(2)}–${last.toFixed(2)} s`;
  const [x, y, w, h_] = [box.x, box.y, box.w, box.h].map((share) => Math.round(share * 100));
  return [time, h("small", {}, `${w} × ${h_} % at ${x}, ${y} %`)];
}
