// The key that this browser asks with: asked for once, kept in localStorage until it is forgotten. Knows no path.

import { h } from "./dom.js";

const PLACE = "fovea.key";
let asking = null; // the question that stands on the page already

const stored = () => {
  try {
    return localStorage.getItem(PLACE);
  } catch {
    return null; // a browser that keeps nothing
  }
};

/** The header of the key, where there is one. */
export function keyHeaders() {
  const key = stored();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Drops the key from this browser. */
export function forgetKey() {
  try {
    localStorage.removeItem(PLACE);
  } catch {
    // nothing was kept
  }
}

export const hasKey = () => Boolean(stored());

/** Asks the user for a key, saying why; whether one was given. However many need it at once, it is asked for once. */
export function askForKey(why) {
  asking ??= answered(why).finally(() => { asking = null; });
  return asking;
}

function answered(why) {
  const input = h("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const dialog = h(
    "dialog",
    { class: "key", "aria-labelledby": "key-title" },
    h(
      "form",
      { novalidate: true },
      h("h2", { id: "key-title" }, "This service asks for a key"),
      h("p", {}, why),
      h("label", { for: "key" }, "Key"),
      input,
      h("p", { class: "told" }, "It is kept in this browser until you forget it, and sent to this service alone."),
      h("div", { class: "row" }, h("button", { type: "submit", class: "go" }, "Use it"),
        h("button", { type: "button", class: "cancel", onclick: () => dialog.close() }, "Not now")),
    ),
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    let given = false;
    dialog.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!input.value.trim()) return input.focus();
      try {
        localStorage.setItem(PLACE, input.value.trim());
        given = true;
      } catch {
        // it cannot be kept: as if none were given
      }
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      dispatchEvent(new Event("fovea-key"));
      resolve(given);
    });
    dialog.showModal();
  });
}
