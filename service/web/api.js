// Asks the service this page came from. Paths are relative, so that it may live under any prefix.

import { askForKey, keyHeaders } from "./key.js";
import { events } from "./sse.js";

/** A refusal in the service's own words (RFC 9457), or the connection's failure in ours. */
export class Problem extends Error {
  constructor({ title, detail, type, status }) {
    super(detail);
    Object.assign(this, { title, detail, type, status });
  }
}

const lost = (detail) => new Problem({ title: "The service did not answer", detail });

async function asked(path, init = {}) {
  let response;
  try {
    response = await fetch(path, { ...init, headers: { ...init.headers, ...keyHeaders() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw lost("The connection failed before an answer came. See whether the service is running, then try again.");
  }
  if (response.ok) return response;
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // not from the service itself: a proxy, perhaps
  }
  if (response.status === 401 && problem.type === "/problems/unauthenticated" && await askForKey(problem.detail)) {
    return asked(path, init);
  }
  throw new Problem({
    title: problem.title ?? `Status ${response.status}`,
    detail: problem.detail ?? "Something between this page and the service answered, without saying why.",
    type: problem.type,
    status: response.status,
  });
}

/** The JSON at `path`; `options` go into the query, empty ones left out. */
export async function getJson(path, options = {}) {
  return (await asked(path + query(options))).json();
}

/** The bytes at `path`, as a Blob. */
export async function getBlob(path) {
  return (await asked(path)).blob();
}

/** Sends other methods; the answer's JSON, or null where it has none. */
export async function send(method, path, value) {
  const body = value === undefined ? {} : { body: JSON.stringify(value), headers: { "Content-Type": "application/json" } };
  const response = await asked(path, { method, ...body });
  return response.status === 204 ? null : response.json();
}

/** Posts a video to v1/recognitions or v1/timelines; yields {kind, value} as they come, "result" last. Throws Problem. */
export async function* posted(path, video, options, signal) {
  const form = new FormData();
  form.append("video", video);
  const response = await asked(`v1/${path}` + query(options), {
    method: "POST",
    body: form,
    headers: { Accept: "text/event-stream" },
    signal,
  });
  let count = 0;
  try {
    for await (const { event, data } of events(response.body)) {
      const value = JSON.parse(data);
      if (event === "problem") throw new Problem(value);
      yield { kind: event, value };
      if (event === "result") return;
      if (event !== "progress") count += 1;
    }
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
  }
  const parts = path === "timelines" ? "segments" : "steps";
  throw lost(`The service went away in mid-answer, after ${count} of its ${parts}. What came stands below; try again.`);
}

/** Events at `path` as sse.js has them, after `lastId` or from now on, until the connection ends. Throws Problem. */
export async function* streamed(path, lastId, signal) {
  const headers = { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) };
  const response = await asked(path, { headers, cache: "no-store", signal });
  try {
    yield* events(response.body);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw lost("The connection broke.");
  }
}

function query(options) {
  const given = Object.entries(options).filter(([, value]) => value !== "" && value != null);
  return given.length ? "?" + new URLSearchParams(given) : "";
}
