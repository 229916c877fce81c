// An answer in words. Knows answers, and no element.

import { percent, short } from "./dom.js";

/** What people read in place of a label: its name, or the label with spaces where nobody named it. */
export const nameOf = ({ display_name: name, label }) => name ?? label.replaceAll("_", " ");

/** How likely a score makes its label, in words. */
export function sureness(score) {
  if (score >= 0.9) return "almost certain";
  if (score >= 0.7) return "fairly sure";
  return score >= 0.5 ? "more likely than not" : "only a guess";
}

export const looks = (count) => ["Not looked", "Looked once", "Looked twice"][count] ?? `Looked ${count} times`;

/** Why an answer has no label. */
export const ABSTAINED = {
  not_known: "Not one of the things I know",
  below_min_score: "No label is likely enough",
};

/** The answer in one line: "Handshake, fairly sure". */
export function headline(answer) {
  const [top] = answer.predictions;
  if (answer.reason || !top) return ABSTAINED[answer.reason] ?? "Nothing to tell";
  return `${nameOf(top)}, ${answer.trained && answer.calibrated ? sureness(top.score) : "only a guess"}`;
}

/** Whether a busy service granted a smaller budget than was asked for. */
export const hadLess = ({ compute: { budget_gflops: asked, budget_granted_gflops: granted } }) => granted != null && granted < asked;

/** What it took and what was asked: "Looked once, spent 0.6 GFLOPs; asked for 1.2 in the mean." And what is closest where it
 * does not know. */
export function effort(answer) {
  const { steps, spent_gflops: now, total_gflops: spent, budget_gflops: budget, max_gflops: most } = answer.compute;
  const asked = `asked for ${short(budget)} in the mean${most == null ? "" : `, ${short(most)} at most`}`;
  const [top] = answer.predictions;
  const closest = answer.reason && top ? ` Closest: ${nameOf(top)}, ${percent(top.score)}.` : "";
  const before = answer.cached ? " It was answered before: nothing was spent now."
    : now < spent ? ` ${short(now)} of it now, the rest before.` : "";
  const busy = hadLess(answer) ? ` The service was busy: the budget was ${short(answer.compute.budget_granted_gflops)} GFLOPs.` : "";
  return `${looks(steps.length)}, spent ${short(spent)} GFLOPs; ${asked}.${before}${busy}${closest}`;
}

/** 1:02 or 1:02:03; with tenths where `fine`. */
export function clock(seconds, fine = false) {
  const tenths = Math.round(seconds * 10);
  const whole = Math.floor(tenths / 10);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return (hours ? `${hours}:${two(minutes)}` : `${minutes}`) + `:${two(rest)}` + (fine ? `.${tenths % 10}` : "");
}
