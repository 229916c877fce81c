// Settings in the address, after the #: "#video&mode=when&budget=1.2". A fragment is not sent to any server.

const NAMES = ["mode", "model", "budget", "ceiling"];

/** The settings that the address holds, as text by name. */
export function settingsOf(hash) {
  const said = new URLSearchParams(hash.replace(/^#[^&]*&?/, ""));
  return Object.fromEntries(NAMES.filter((name) => said.has(name)).map((name) => [name, said.get(name)]));
}

/** The view that the address names: the word before the first &. */
export const viewOf = (hash) => hash.slice(1).split("&")[0];

/** The address of this page with `settings`; empty ones are left out. */
export function linkTo(settings) {
  const given = NAMES.filter((name) => settings[name]).map((name) => [name, settings[name]]);
  return `${location.href.split("#")[0]}#video${given.length ? `&${new URLSearchParams(given)}` : ""}`;
}
