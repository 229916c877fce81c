// Two pictures of one run: the uncertainty after each step against its threshold, and the money spent.

import { h, short, svg } from "./dom.js";
import { colourOf } from "./colours.js";

const WIDTH = 320;
const HEIGHT = 110;
const TOP = 10;
const BOTTOM = 88;
const LEFT = 26;

/** Entropy of the steps taken, thresholds of all steps, on an axis from certain (0) to no idea (ln of the labels). */
export function entropyChart(steps, thresholds, numSteps, numLabels) {
  const most = Math.max(Math.log(numLabels), ...steps.map((step) => step.entropy_nats), 0.1);
  const width = (WIDTH - LEFT - 8) / numSteps;
  const x = (step) => LEFT + (step + 0.5) * width;
  const y = (nats) => BOTTOM - (Math.min(nats, most) / most) * (BOTTOM - TOP);
  const told = steps.map((step) => `${short(step.entropy_nats)} after step ${step.step}`).join(", ");
  return svg(
    "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Entropy in nats: ${told || "none yet"}` },
    svg("line", { class: "base", x1: LEFT, x2: WIDTH - 8, y1: BOTTOM, y2: BOTTOM }),
    svg("text", { x: LEFT - 4, y: TOP + 5, "text-anchor": "end" }, short(most)),
    svg("text", { x: LEFT - 4, y: BOTTOM + 4, "text-anchor": "end" }, "0"),
    ...Array.from({ length: numSteps }, (_, step) =>
      svg("text", { x: x(step), y: BOTTOM + 15, "text-anchor": "middle" }, String(step))),
    ...thresholds.map((eta, step) => (eta < 0 ? null : // never met
      svg("line", { class: "threshold", x1: x(step) - width * 0.4, x2: x(step) + width * 0.4, y1: y(eta), y2: y(eta) }))),
    svg("polyline", { class: "entropy", points: steps.map((step) => `${x(step.step)},${y(step.entropy_nats)}`).join(" ") }),
    ...steps.map((step) =>
      svg("circle", { cx: x(step.step), cy: y(step.entropy_nats), r: 5, fill: colourOf(step.step), class: "taken" })),
  );
}

/** What was spent, step by step, on an axis up to the price of all steps; the budget and the ceiling marked on it. */
export function spending(steps, full, budget, ceiling) {
  const spent = steps.reduce((sum, step) => sum + step.gflops, 0); // those that an earlier request paid for, too
  const most = Math.max(full, spent);
  const share = (gflops) => `${Math.min(gflops / most, 1) * 100}%`;
  const bar = h("div", { class: "spent", "aria-hidden": "true" });
  for (const step of steps) {
    const part = h("i");
    part.style.width = share(step.gflops);
    part.style.background = colourOf(step.step);
    bar.append(part);
  }
  for (const [name, gflops] of [["budget", budget], ["ceiling", ceiling]]) {
    if (gflops == null) continue;
    const mark = h("b", { class: name });
    mark.style.left = share(gflops);
    bar.append(mark);
  }
  return [
    bar,
    h("p", { class: "told" },
      `${short(spent)} of the ${short(full)} GFLOPs that all steps cost; `,
      h("span", { class: "key budget" }, `budget ${short(budget)} in the mean`),
      ...(ceiling == null ? [] : [", ", h("span", { class: "key ceiling" }, `ceiling ${short(ceiling)}`)])),
  ];
}
