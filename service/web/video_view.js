// The page's first view: choose a video, set a budget, watch the answer. Wires the parts together.

import { getBlob, getJson, Problem, recognize } from "./api.js";
import { Budget } from "./budget.js";
import { bytes, h, problemCard } from "./dom.js";
import { Run } from "./run.js";

const MAX_RUNS = 2; // this budget beside the one before
const DWELL_MS = 400; // least time between two steps on the page, so that one sees them come

const at = (id) => document.getElementById(id);
const isStill = matchMedia("(prefers-reduced-motion: reduce)");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, isStill.matches ? 0 : ms));

let facts = { max_upload_bytes: Infinity, clips: [] };
let chosen = null; // {file, url}
let running = null; // AbortController
const budget = new Budget();

export async function start() {
  at("ask").addEventListener("submit", onSubmit);
  at("file").addEventListener("change", () => choose(at("file").files[0]));
  at("model").addEventListener("change", () => guarded(() => budget.choose(at("model").value)));
  await guarded(async () => {
    facts = await getJson("playground");
    at("clips").hidden = facts.clips.length === 0;
    at("clips").append(...facts.clips.map((name) =>
      h("button", { type: "button", onclick: () => guarded(() => chooseClip(name)) }, name)));
    const { models } = await getJson("v1/models");
    at("model").append(...models.map(({ name, task }) => h("option", { value: name }, `${name} (${task})`)));
    at("model-field").hidden = models.length < 2;
    await budget.choose(models.find((model) => model.default).name);
  });
}

function choose(file) {
  if (!file) return;
  if (chosen) URL.revokeObjectURL(chosen.url);
  chosen = { file, url: URL.createObjectURL(file) };
  at("file-told").textContent = `${file.name}, ${bytes(file.size)}`;
  at("runs").replaceChildren();
  at("problem").replaceChildren();
}

async function chooseClip(name) {
  choose(new File([await getBlob(`playground/clips/${encodeURIComponent(name)}`)], name));
}

async function onSubmit(event) {
  event.preventDefault();
  if (running) return running.abort();
  at("problem").replaceChildren();
  if (!chosen) {
    at("file").focus();
    return showProblem({ title: "No video yet", detail: "Drop a video onto the page, or choose a file, then press Recognise." });
  }
  if (chosen.file.size > facts.max_upload_bytes) {
    return showProblem({
      type: "/problems/upload-too-large",
      title: "The file is too large",
      detail: `${chosen.file.name} has ${bytes(chosen.file.size)}, and this service takes ${bytes(facts.max_upload_bytes)}; ` +
        "cut the video, or encode it smaller.",
    });
  }
  running = new AbortController();
  at("go").textContent = "Stop";
  try {
    await guarded(ask);
  } finally {
    running = null;
    at("go").textContent = "Recognise";
    at("progress").textContent = "";
  }
}

async function ask() {
  let model;
  try {
    model = await budget.settled();
  } catch (error) {
    at("budget").focus();
    throw error;
  }
  const ceiling = at("ceiling").value.trim();
  at("progress").textContent = `Sending ${bytes(chosen.file.size)} …`;
  const options = { model: model.name, budget_gflops: budget.text, max_gflops: ceiling };
  let run = null;
  const begun = () => {
    at("progress").textContent = "";
    run = new Run(model, model.thresholds.budget_gflops, ceiling ? Number(ceiling) : null, chosen.url);
    at("runs").prepend(run.element);
    while (at("runs").children.length > MAX_RUNS) at("runs").lastChild.remove();
    for (const video of at("runs").querySelectorAll("video")) video.currentTime = 0; // both from the start
    run.player.play();
  };
  try {
    for await (const { kind, value } of recognize(chosen.file, options, running.signal)) {
      if (!run) begun();
      if (kind === "step") {
        say(run.add(value));
        await pause(DWELL_MS);
      } else if (kind === "result") say(run.finish(value));
    }
  } catch (error) {
    run?.fail();
    throw error;
  }
}

/** Does it, and shows what went wrong; a stop by the user is nothing wrong. */
async function guarded(work) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    showProblem(error);
  }
}

function showProblem(problem) {
  at("problem").replaceChildren(problemCard(problem));
}

function say(sentence) {
  at("spoken").textContent = sentence;
}
