// The budget's own axis: what accuracy a budget buys, or, where none was measured, what the steps cost.

import { percent, short, svg } from "./dom.js";
import { colourOf } from "./colours.js";

const WIDTH = 320;
const HEIGHT = 120;
const EDGE = 8; // half a slider's thumb: the axis and the slider under it agree
const TOP = 14;
const BOTTOM = 100;

/** The measured point that a budget buys: the most accurate whose mean cost it pays for; undefined where there is none. */
export function pointAt(model, budget) {
  return model.frontier
    .filter((point) => point.gflops <= budget)
    .reduce((best, point) => (best && best.accuracy >= point.accuracy ? best : point), undefined);
}

/** An SVG of the model's frontier (or its prices) with the budget marked on it. */
export function curve(model, budget) {
  const { least_gflops: least, full_gflops: full } = model;
  const x = (gflops) => EDGE + ((gflops - least) / (full - least || 1)) * (WIDTH - 2 * EDGE);
  const isMeasured = model.frontier.length > 0;
  const body = isMeasured ? frontier(model, x) : prices(model, x);
  const mark = Math.min(Math.max(budget, least), full);
  const children = [
    svg("line", { class: "mark", x1: x(mark), x2: x(mark), y1: TOP - 8, y2: BOTTOM }), // under the numbers
    ...body,
    ...axis([least, full], x),
  ];
  const point = isMeasured ? pointAt(model, budget) : undefined;
  if (point) children.push(svg("circle", { class: "here", cx: x(point.gflops), cy: yOf(model)(point.accuracy), r: 5 }));
  const told = isMeasured
    ? `Accuracy from ${percent(Math.min(...accuracies(model)))} to ${percent(Math.max(...accuracies(model)))} ` +
      `between ${short(least)} and ${short(full)} GFLOPs`
    : `Prices of ${model.step_gflops.length} steps, from ${short(least)} to ${short(full)} GFLOPs`;
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": told }, ...children);
}

const accuracies = (model) => model.frontier.map((point) => point.accuracy);

function yOf(model) {
  const [low, high] = [Math.min(...accuracies(model)), Math.max(...accuracies(model))];
  const pad = Math.max((high - low) * 0.15, 0.01);
  return (accuracy) => BOTTOM - ((accuracy - low + pad) / (high - low + 2 * pad)) * (BOTTOM - TOP);
}

function frontier(model, x) {
  const y = yOf(model);
  const points = [...model.frontier].sort((one, other) => one.gflops - other.gflops);
  const path = points.map((point, i) => `${i ? "L" : "M"}${x(point.gflops)} ${y(point.accuracy)}`).join("");
  const [low, high] = [Math.min(...accuracies(model)), Math.max(...accuracies(model))];
  return [
    ...(low === high ? [low] : [low, high]).map((accuracy) =>
      svg("g", { class: "grid" },
        svg("line", { x1: EDGE, x2: WIDTH - EDGE, y1: y(accuracy), y2: y(accuracy) }),
        svg("text", accuracy === high // where a rising curve is not
          ? { x: EDGE, y: y(accuracy) - 4 }
          : { x: WIDTH - EDGE, y: y(accuracy) - 4, "text-anchor": "end" }, `${percent(accuracy)} right`)),
    ),
    svg("path", { class: "frontier", d: path }),
    ...points.map((point) => svg("circle", { class: "dot", cx: x(point.gflops), cy: y(point.accuracy), r: 2.5 })),
  ];
}

/** Each step's price lies between what all before it cost and what they cost with it; the glance is where it begins. */
function prices(model, x) {
  let spent = 0;
  return model.step_gflops.flatMap((price, step) => {
    const from = step === 0 ? EDGE - 6 : x(spent);
    spent += price;
    const box = { x: from, width: Math.max(x(spent) - from - 1, 2), y: 60, height: BOTTOM - 60 };
    const name = svg("text", { x: from + box.width / 2, y: 84, "text-anchor": "middle" }, String(step));
    return [svg("rect", { class: "price", ...box, fill: colourOf(step) }), ...(box.width > 12 ? [name] : [])];
  });
}

function axis([least, full], x) {
  return [
    svg("line", { class: "base", x1: EDGE - 6, x2: WIDTH - EDGE + 6, y1: BOTTOM, y2: BOTTOM }),
    svg("text", { x: x(least) - 6, y: BOTTOM + 15 }, short(least)),
    svg("text", { x: WIDTH / 2, y: BOTTOM + 15, "text-anchor": "middle" }, "GFLOPs"),
    svg("text", { x: x(full) + 6, y: BOTTOM + 15, "text-anchor": "end" }, short(full)),
  ];
}
