// The page's second view: subscribe to a camera, and follow one subscription live. Shown where the service has streams.

import { getJson, Problem, send } from "./api.js";
import { h, problemCard } from "./dom.js";

const RELIST_MS = 5000;
const LIST = "v1/streams";

const at = (id) => document.getElementById(id);
let followed = null;
let wanted = null; // the id of the stream that is about to be followed
let refused = false; // a key was asked for and not given: the list by itself asks no more

/** Whether there is anything to show here. */
export async function start() {
  try {
    await relist();
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return false;
    if (!(error instanceof Problem)) throw error;
  }
  at("subscribe").addEventListener("submit", onSubscribe);
  addEventListener("fovea-key", () => { refused = false; });
  setInterval(() => {
    if (!refused && !at("view-cameras").hidden && !document.hidden) relist().catch(() => {}); // what is followed tells of failures
  }, RELIST_MS);
  return true;
}

async function onSubscribe(event) {
  event.preventDefault();
  await guarded(async () => {
    const given = [...new FormData(event.target)].filter(([, value]) => value.trim());
    // numbers go as numbers where they are some; what is none, the service refuses in its own words
    const asked = given.map(([name, value]) => [name, name === "url" || Number.isNaN(Number(value)) ? value : Number(value)]);
    const stream = await send("POST", LIST, Object.fromEntries(asked));
    at("camera-url").value = ""; // it may hold a password
    follow(stream);
    await relist();
  });
}

async function relist() {
  const { streams } = await getJson(LIST).catch((error) => {
    refused = error.status === 401;
    throw error;
  });
  refused = false;
  at("streams-told").textContent = streams.length ? "" : "None yet.";
  const held = document.activeElement?.dataset?.stream;
  at("streams").replaceChildren(...streams.map((stream) => h(
    "li", {},
    h("button", {
      type: "button", "data-stream": stream.id, "aria-pressed": String(stream.id === wanted),
      onclick: () => { follow(stream); relist().catch(() => {}); },
    }, h("span", { class: "url" }, stream.url), h("span", { class: `state ${stream.status.state}` }, stream.status.state)),
  )));
  if (held) at("streams").querySelector(`[data-stream="${held}"]`)?.focus(); // the list was drawn anew under it
}

async function follow(stream) {
  if (followed?.stream.id === stream.id) return;
  wanted = stream.id;
  const { Followed } = await import("./followed.js");
  if (wanted !== stream.id || followed?.stream.id === stream.id) return; // another was chosen meanwhile
  followed?.close();
  followed = new Followed(stream, { say: (text) => { at("camera-spoken").textContent = text; }, remove });
  at("followed").replaceChildren(followed.element);
  at("no-camera").hidden = true;
}

async function remove(stream) {
  await guarded(async () => {
    await send("DELETE", `${LIST}/${encodeURIComponent(stream.id)}`);
    await relist();
  });
}

async function guarded(work) {
  at("camera-problem").replaceChildren();
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    at("camera-problem").replaceChildren(problemCard(error));
  }
}
