// One subscription, live: its state, its last results, and how old the newest picture is.

import { h, percent, short } from "./dom.js";
import { nameOf } from "./words.js";

const MAX_RESULTS = 12;
const TICK_MS = 250;

export class Followed {
  /** `say`: tells a screen reader; `remove`: unsubscribes. */
  constructor(stream, { say, remove }) {
    this.stream = stream;
    this.say = say;
    this.state = h("span", { class: "state" });
    this.why = h("p", { class: "told" });
    this.age = h("p", { class: "age" }, "No result yet.");
    this.labels = h("ol", { class: "labels", "aria-label": "Likeliest labels in the last window" });
    this.rows = h("tbody");
    this.element = h(
      "article", { class: "camera run" },
      h("header", {}, h("h2", { class: "url" }, stream.url), this.state),
      this.why, this.age, this.labels,
      h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Last results" },
        h("table", {},
          h("thead", {}, h("tr", {}, ...["Captured", "Thinks", "Stopped", "GFLOPs", "Frame age"].map((name) =>
            h("th", { scope: "col" }, name)))),
          this.rows)),
      h("p", { class: "told" },
        `${stream.model}, budget ${short(stream.budget_gflops)} GFLOPs a window; windows of ${short(stream.window_s)} s ` +
        `every ${short(stream.stride_s)} s`),
      h("div", {}, h("button", { type: "button", onclick: () => remove(stream) }, "Unsubscribe")),
    );
    this.#showState(stream.status);
    // EventSource resumes after the last event by itself, also when the service was away
    this.source = new EventSource(`v1/streams/${encodeURIComponent(stream.id)}/events`);
    this.source.addEventListener("state", (event) => this.#onState(JSON.parse(event.data)));
    this.source.addEventListener("result", (event) => this.#onResult(JSON.parse(event.data)));
    this.source.addEventListener("error", () => this.#onBreak());
    this.timer = setInterval(() => this.#showAge(), TICK_MS);
  }

  close() {
    this.source.close();
    clearInterval(this.timer);
  }

  #onState(status) {
    this.#showState(status);
    this.say(`The camera is ${status.state}. ${status.error?.detail ?? ""}`);
    if (status.state === "deleted") this.close();
  }

  #showState({ state, error, video }) {
    this.state.textContent = state;
    this.state.className = `state ${state}`;
    const again = error?.retry_at ? `; tried again at ${clock(error.retry_at)}` : "";
    this.why.textContent = error
      ? `${error.error_class}: ${error.detail} (${error.attempts} in a row${again})`
      : video ? `${video.codec}, ${video.width} × ${video.height}` : "";
  }

  #onBreak() {
    if (this.source.readyState === EventSource.CLOSED) {
      this.#showState({ state: "gone" });
      this.why.textContent = "The service knows this subscription no more, or cannot be followed now; choose it again.";
      this.close();
    } else this.why.textContent = "The service went away; its events go on where they were once it is back.";
  }

  #onResult({ recognition, captured_at, frame_age_s }) {
    this.result = { frame_age_s, at: performance.now() };
    this.#showAge();
    const top = recognition.predictions[0];
    const unknown = recognition.reason === "not_known";
    const told = unknown ? "Not one of the things I know" : top && `${nameOf(top)} ${percent(top.score)}`;
    const label = told ?? "nothing sure enough";
    const heard = unknown ? "unknown" : top?.label;
    if (heard !== this.label) this.say(label); // not every second anew
    this.label = heard;
    this.labels.replaceChildren(...recognition.predictions.map((one) => {
      const bar = h("i");
      bar.style.width = `${one.score * 100}%`;
      return h("li", {}, h("span", {}, nameOf(one)), h("b", {}, percent(one.score)), bar);
    }));
    const { exit, compute } = recognition;
    this.rows.prepend(h("tr", {},
      ...[clock(captured_at), label, `${exit.reason}, step ${exit.step}`, short(compute.spent_gflops), `${frame_age_s.toFixed(2)} s`]
        .map((text) => h("td", {}, text))));
    while (this.rows.children.length > MAX_RESULTS) this.rows.lastChild.remove();
  }

  /** By this machine's clock since the result came, so that two clocks need not agree. */
  #showAge() {
    if (!this.result) return;
    const age_s = this.result.frame_age_s + (performance.now() - this.result.at) / 1000;
    this.age.textContent = `Newest recognised picture: ${age_s.toFixed(1)} s old`;
  }
}

const clock = (when) => new Date(when).toLocaleTimeString();
