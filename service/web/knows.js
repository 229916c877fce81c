// What a model knows: its labels, in words. Knows a model's detail, and no video.

import { h, percent } from "./dom.js";
import { nameOf } from "./words.js";

export function showKnown(model) {
  const section = document.getElementById("knows");
  const details = model.label_details;
  section.hidden = false;
  section.querySelector("dl").replaceChildren(...details.map((one) =>
    h("div", {}, h("dt", {}, nameOf(one)), h("dd", {}, one.description ?? one.label))));
  document.getElementById("knows-told").textContent = told(model, details.length);
}

function told(model, count) {
  if (!model.trained) return `${count} labels of an untrained model: its answers mean nothing.`;
  const right = model.accuracies?.on_new_places;
  const often = right == null ? "" : ` In places that it has never seen, about ${percent(right)} of its answers are right.`;
  const unknown = model.open_set
    ? " Of anything else it should say that it does not know it, and often does."
    : " It cannot say that it does not know: any video gets one of these labels.";
  return `${model.name} tells ${count} things apart.${often}${unknown}`;
}
