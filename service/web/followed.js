// One subscription, live: its state, its last results, and how old the newest picture is.

import { Problem, streamed } from "./api.js";
import { h, percent, short } from "./dom.js";
import { nameOf } from "./words.js";

const MAX_RESULTS = 12;
const TICK_MS = 250;
const AGAIN_MS = 1000; // before a service that went away is asked again

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
    this.stopping = new AbortController();
    this.#follow(this.stopping.signal);
    this.timer = setInterval(() => this.#showAge(), TICK_MS);
  }

  close() {
    this.stopping.abort();
    clearInterval(this.timer);
  }

  /** Not by EventSource, which sends no key. Goes on after the last event, also where the service was away. */
  async #follow(signal) {
    const path = `v1/streams/${encodeURIComponent(this.stream.id)}/events`;
    for (let last = "", isBroken = false; !signal.aborted; isBroken = true) {
      try {
        for await (const { event, id, data } of streamed(path, last, signal)) {
          if (isBroken) this.#showState(this.status);
          isBroken = false;
          last = id || last;
          if (event === "state") this.#onState(JSON.parse(data));
          else if (event === "result") this.#onResult(JSON.parse(data));
        }
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        if (error.status < 500) return this.#onGone();
      }
      if (signal.aborted) return;
      this.why.textContent = "The service went away; its events go on where they were once it is back.";
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  #onState(status) {
    this.#showState(status);
    this.say(`The camera is ${status.state}. ${status.error?.detail ?? ""}`);
    if (status.state === "deleted") this.close();
  }

  #showState(status) {
    this.status = status;
    const { state, error, video } = status;
    this.state.textContent = state;
    this.state.className = `state ${state}`;
    const again = error?.retry_at ? `; tried again at ${clock(error.retry_at)}` : "";
    this.why.textContent = error
      ? `${error.error_class}: ${error.detail} (${error.attempts} in a row${again})`
      : video ? `${video.codec}, ${video.width} × ${video.height}` : "";
  }

  #onGone() {
    this.#showState({ state: "gone" });
    this.why.textContent = "The service knows this subscription no more, or cannot be followed now; choose it again.";
    this.close();
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
