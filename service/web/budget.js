// The form's budget: slider, number and curve agree, and the service judges what is typed.

import { getJson, Problem } from "./api.js";
import { curve, pointAt } from "./curve.js";
import { percent, short } from "./dom.js";

const WAIT_MS = 150; // after the last movement, before the service is asked

export class Budget {
  constructor() {
    this.slider = document.getElementById("budget-slider");
    this.number = document.getElementById("budget");
    this.told = document.getElementById("budget-told");
    this.curve = document.getElementById("curve");
    this.slider.addEventListener("input", () => this.#set(short(this.slider.value)));
    this.number.addEventListener("input", () => this.#set(this.number.value));
  }

  /** Another model: its own prices, and its own default. */
  async choose(name) {
    this.name = name;
    this.model = await getJson(`v1/models/${encodeURIComponent(name)}`);
    // Without calibration there are no thresholds that could keep a mean below all steps.
    const calibrated = this.model.thresholds.accuracy !== null;
    this.slider.min = calibrated ? this.model.least_gflops : this.model.full_gflops;
    this.slider.max = this.model.full_gflops;
    // Rounded up, so that it buys what the default does.
    this.#set(String(Math.ceil(this.model.default_budget_gflops * 1000 - 1e-6) / 1000));
  }

  get text() {
    return this.number.value.trim();
  }

  /** The model at this budget: thresholds and all. Throws Problem where the budget cannot be, and says so at the field. */
  async settled() {
    clearTimeout(this.timer);
    return this.#ask();
  }

  #set(text) {
    if (this.number.value !== text) this.number.value = text;
    const value = Number(text);
    if (text.trim() && Number.isFinite(value)) {
      this.slider.value = value;
      this.curve.replaceChildren(curve(this.model, value));
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
      }
      throw error;
    }
  }

  #tell(model) {
    this.number.removeAttribute("aria-invalid");
    const { thresholds } = model;
    const point = pointAt(model, thresholds.budget_gflops);
    if (thresholds.accuracy === null) {
      this.told.textContent = `Not calibrated: all ${model.step_gflops.length} steps are taken, and no accuracy is known.`;
      return;
    }
    this.told.textContent = point
      ? `${percent(point.accuracy)} right at ${short(point.gflops)} GFLOPs in the mean, measured on videos it had not seen.`
      : model.trained
        ? `${short(thresholds.mean_gflops)} GFLOPs in the mean on its calibration videos; no accuracy was measured.`
        : `Untrained, so there is no accuracy to show: these are its prices, from a glance to all ${model.step_gflops.length} steps.`;
  }
}
