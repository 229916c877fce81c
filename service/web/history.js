// What was asked in this browser: results, never footage. Kept in localStorage until it is cleared.

import { h } from "./dom.js";

const PLACE = "fovea.history";
const MOST = 20;

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(PLACE) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => one && typeof one === "object") : [];
  } catch {
    return []; // a browser that keeps nothing, or something else under our name
  }
}

export function clearHistory() {
  try {
    localStorage.removeItem(PLACE);
  } catch {
    // nothing was kept
  }
  showHistory();
}

/** One more answer: {file, said, effort}. */
export function remember(entry) {
  try {
    localStorage.setItem(PLACE, JSON.stringify([{ ...entry, at: Date.now() }, ...kept()].slice(0, MOST)));
  } catch {
    // full, or not allowed: the page works without
  }
  showHistory();
}

export function showHistory() {
  const entries = kept();
  const section = document.getElementById("history");
  section.hidden = entries.length === 0;
  section.querySelector("ul").replaceChildren(...entries.map(({ at, file, said, effort }) => h(
    "li", {}, h("strong", {}, String(said)),
    h("span", { class: "told" }, `${file} · ${new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })} · ${effort}`))));
}
