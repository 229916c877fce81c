// The form's budget: words, number, slider and curve agree, and the service judges what is typed.

import { getJson, Problem } from "./api.js";
import { curve, pointAt } from "./curve.js";
import { h, percent, short } from "./dom.js";

const WAIT_MS = 150; // after the last movement, before the service is asked
const HINTS = { what: "what an answer may cost in the mean", when: "what a second of video may cost" };

/** To a thousandth, rounded up, so that it buys what the exact price does. */
const buys = (gflops) => String(Math.ceil(gflops * 1000 - 1e-6) / 1000);

export class Budget {
  /** `onModel` is told of each model that is chosen. */
  constructor(onModel) {
    this.onModel = onModel;
    for (const [name, id] of [["slider", "budget-slider"], ["number", "budget"], ["told", "budget-told"], ["curve", "curve"],
      ["field", "budget-field"], ["effort", "effort"], ["hint", "budget-hint"]]) this[name] = document.getElementById(id);
    this.slider.addEventListener("input", () => this.#set(short(this.slider.value)));
    this.number.addEventListener("input", () => this.#set(this.number.value));
    this.effort.addEventListener("change", (event) => this.#set(event.target.value));
    this.ask("what");
  }

  /** Another model: its own prices, and its own default. */
  async choose(name) {
    this.name = name;
    this.model = await getJson(`v1/models/${encodeURIComponent(name)}`);
    const { least_gflops: least, full_gflops: full, default_budget_gflops: usual } = this.model;
    // Without calibration there are no thresholds that could keep a mean below all steps.
    const from = this.model.thresholds.accuracy !== null ? least : full;
    this.slider.min = from;
    this.slider.max = full;
    const isFixed = from >= full;
    this.field.hidden = this.effort.hidden = isFixed; // nothing to choose
    this.words = new Map(isFixed ? [] : [[buys(from), "Quick"], [buys(full), "Thorough"]]);
    if (!isFixed && !this.words.has(buys(usual))) this.words.set(buys(usual), "Balanced");
    this.#offer();
    this.#set(buys(usual));
    this.onModel(this.model);
  }

  /** The question: "what" happens, or "when". */
  ask(question) {
    this.hint.textContent = HINTS[question];
  }

  get text() {
    return this.number.value.trim();
  }

  set text(text) {
    this.#set(text);
  }

  /** "Quick, " where the number is that; "" where it is the user's own. */
  get word() {
    const word = this.words.get(this.text);
    return word ? `${word}, ` : "";
  }

  /** The model at this budget: thresholds and all. Throws Problem where the budget cannot be, and says so at the field. */
  async settled() {
    clearTimeout(this.timer);
    return this.#ask();
  }

  /** A radio for each word, cheapest first, its number beside it. */
  #offer() {
    const legend = this.effort.querySelector("legend");
    const words = [...this.words].sort(([one], [other]) => Number(one) - Number(other));
    this.effort.replaceChildren(legend, ...words.map(([number, word]) => h("label", {},
      h("input", { type: "radio", name: "effort", value: number }),
      h("span", {}, word, " ", h("small", {}, `${short(number)} GFLOPs`)))));
  }

  #set(text) {
    if (this.number.value !== text) this.number.value = text;
    for (const radio of this.effort.querySelectorAll("input")) radio.checked = radio.value === text.trim();
    const value = Number(text);
    if (text.trim() && Number.isFinite(value)) {
      this.slider.value = value;
      if (!this.field.hidden) this.curve.replaceChildren(curve(this.model, value));
    }
    this.slider.setAttribute("aria-valuetext", `${text} GFLOPs`);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#ask().catch(() => {}), WAIT_MS);
  }

  async #ask() {
    const text = this.text;
    try {
      const model = await getJson(`v1/models/${encodeURIComponent(this.name)}`, { budget_gflops: text });
      if (text === this.text) this.#tell(model);
      return model;
    } catch (error) {
      if (error instanceof Problem && text === this.text) {
        this.told.textContent = error.detail;
        this.number.setAttribute("aria-invalid", "true");
        this.told.classList.add("wrong");
      }
      throw error;
    }
  }

  #tell(model) {
    this.number.removeAttribute("aria-invalid");
    this.told.classList.remove("wrong");
    const { thresholds, full_gflops: full } = model;
    const point = pointAt(model, thresholds.budget_gflops);
    const price = this.field.hidden ? `One price: ${short(full)} GFLOPs for every video. ` : "";
    if (thresholds.accuracy === null) {
      this.told.textContent = `${price}Not calibrated: all ${model.step_gflops.length} steps are taken, and no accuracy is known.`;
      return;
    }
    this.told.textContent = price + (point
      ? `${percent(thresholds.accuracy)} right in places that it never saw, at ${short(thresholds.mean_gflops)} GFLOPs in the mean. ` +
        `The curve shows validation videos: ${percent(point.accuracy)} right at ${short(point.gflops)} GFLOPs.`
      : model.trained
        ? `${short(thresholds.mean_gflops)} GFLOPs in the mean on its calibration videos; no accuracy was measured.`
        : `Untrained, so there is no accuracy to show: these are its prices, from a glance to all ${model.step_gflops.length} steps.`);
  }
}
