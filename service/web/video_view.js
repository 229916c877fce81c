// The page's first view: choose a video, set a budget, watch the answer. Wires the parts together.

import { getBlob, getJson, posted, Problem } from "./api.js";
import { Budget } from "./budget.js";
import { copied } from "./code.js";
import { bytes, h, problemCard, short } from "./dom.js";
import { exampleButtons } from "./examples.js";
import { clearHistory, remember, showHistory } from "./history.js";
import { showKnown } from "./knows.js";
import { plays } from "./player.js";
import { Run } from "./run.js";
import { linkTo, settingsOf } from "./share.js";
import { hadLess } from "./words.js";

const MAX_RUNS = 2; // this budget beside the one before
const DWELL_MS = 400; // least time between two steps on the page, so that one sees them come

const at = (id) => document.getElementById(id);
const isStill = matchMedia("(prefers-reduced-motion: reduce)");
const isNarrow = matchMedia("(max-width: 52rem)");
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, isStill.matches ? 0 : ms));

let facts = { max_upload_bytes: Infinity, clips: [] };
let chosen = null; // {file, url}
let running = null; // {controller, done}
const budget = new Budget(showKnown);

export async function start() {
  at("ask").addEventListener("submit", onSubmit);
  at("file").addEventListener("click", () => { at("file").value = ""; }); // the same file again is a change, too
  at("file").addEventListener("change", () => choose(at("file").files[0]));
  at("model").addEventListener("change", () => guarded(() => budget.choose(at("model").value)));
  at("mode").addEventListener("change", () => budget.ask(mode()));
  at("share").addEventListener("click", share);
  at("clear-history").addEventListener("click", clearHistory);
  at("webcam").addEventListener("click", () => guarded(fromWebcam));
  at("webcam").hidden = !(navigator.mediaDevices?.getUserMedia && window.MediaRecorder); // nor over HTTP from elsewhere
  at("examples").append(...exampleButtons((path, name) => guarded(() => recogniseAt(path, name))));
  catchDrops();
  await guarded(async () => {
    facts = await getJson("playground");
    at("clips").hidden = facts.clips.length === 0;
    at("clips").append(...facts.clips.map((name) => h("button", {
      type: "button", onclick: () => guarded(() => recogniseAt(`playground/clips/${encodeURIComponent(name)}`, name)),
    }, name)));
    const { models } = await getJson("v1/models");
    at("model").append(...models.map(({ name, task }) => h("option", { value: name }, `${name} (${task})`)));
    at("model-field").hidden = models.length < 2;
    const shared = settingsOf(location.hash);
    const wanted = models.find(({ name }) => name === shared.model) ?? models.find((model) => model.default);
    at("model").value = wanted.name;
    await budget.choose(wanted.name);
    use(shared);
    await budget.settled().catch(() => {}); // what is wrong with it stands at the field
  });
  showHistory(); // last: its button must not move under a click when what stands above it comes
}

const mode = () => at("ask").elements.mode.value;

/** Settings of a link; the service judges the numbers, as if they were typed. */
function use({ mode: question, budget: text, ceiling }) {
  if (question === "when") at("ask").elements.mode.value = question;
  budget.ask(mode());
  if (text) budget.text = text;
  if (ceiling) {
    at("ceiling").value = ceiling;
    at("tune").open = true;
  }
}

async function share() {
  const link = linkTo({
    mode: mode(), model: at("model").value, budget: budget.text, ceiling: at("ceiling").value.trim(),
  });
  history.replaceState(null, "", link);
  at("shared").textContent = (await copied(link))
    ? "Copied. It holds the settings, not the video." : "The link stands in the address bar.";
}

/** A file that is dropped anywhere is meant for us: a browser would leave the page for it. */
function catchDrops() {
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file && !at("view-video").hidden) choose(file);
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

/** Choose and recognise at once; what runs is broken off. */
async function recogniseNow(file) {
  while (running) { // another that was chosen meanwhile, too
    running.controller.abort();
    await running.done;
  }
  choose(file);
  at("ask").requestSubmit();
}

async function recogniseAt(path, name) {
  const blob = await getBlob(path);
  await recogniseNow(new File([blob], name, { type: blob.type }));
}

async function fromWebcam() {
  let file;
  at("webcam").disabled = true; // one dialog at a time
  try {
    const { record } = await import("./webcam.js");
    file = await record();
  } catch (error) {
    const why = error.name === "NotFoundError" ? "This machine has no camera that the browser can see."
      : `The browser did not give us the camera (${error.message || error.name}). Allow it for this page, then try again.`;
    throw new Problem({ title: "No webcam", detail: why });
  } finally {
    at("webcam").disabled = false;
  }
  if (file) await recogniseNow(file);
}

async function onSubmit(event) {
  event.preventDefault();
  if (running) return running.controller.abort();
  at("problem").replaceChildren();
  if (!chosen) {
    at("file").focus();
    return showProblem({ title: "No video yet", detail: "Drop a video onto the page, or choose a file, then press Recognise." });
  }
  if (mode() === "what" && chosen.file.size > facts.max_upload_bytes) {
    return showProblem({
      type: "/problems/upload-too-large",
      title: "The file is too large",
      detail: `${chosen.file.name} has ${bytes(chosen.file.size)}, and this service takes ${bytes(facts.max_upload_bytes)}; ` +
        "cut the video, or encode it smaller.",
    });
  }
  const controller = new AbortController();
  at("go").textContent = "Stop";
  const done = guarded(() => ask(controller.signal)).finally(() => {
    running = null;
    at("go").textContent = "Recognise";
    at("progress").textContent = "";
  });
  running = { controller, done };
  await done;
}

async function ask(signal) {
  let model;
  try {
    model = await budget.settled();
  } catch (error) {
    at("tune").open = true;
    at("budget").focus();
    throw error;
  }
  const { file, url } = chosen;
  const ceiling = at("ceiling").value.trim();
  const isTimeline = mode() === "when";
  const options = {
    model: model.name, [isTimeline ? "budget_gflops_per_s" : "budget_gflops"]: budget.text, max_gflops: ceiling,
  };
  const asked = { budget: model.thresholds.budget_gflops, ceiling: ceiling ? Number(ceiling) : null, word: budget.word };
  const Card = isTimeline ? (await import("./timeline.js")).Timeline : Run;
  at("progress").textContent = `Sending ${bytes(file.size)} …`;
  let run = null;
  const begun = () => {
    at("progress").textContent = "";
    run = new Card(model, asked, { file: file.name, options }, url);
    for (const other of at("runs").querySelectorAll(".run")) if (isTimeline || other.matches(".timeline")) other.remove();
    at("runs").prepend(run.element);
    while (at("runs").children.length > MAX_RUNS) at("runs").lastChild.remove();
    for (const video of at("runs").querySelectorAll("video")) video.currentTime = 0; // both from the start
    if (isNarrow.matches) run.element.scrollIntoView({ behavior: isStill.matches ? "auto" : "smooth" });
    if (!isTimeline) run.player.play();
  };
  const extra = !isTimeline && await plays(url) === false ? { picture: true } : {};
  signal.throwIfAborted();
  try {
    const path = isTimeline ? "timelines" : "recognitions";
    for await (const { kind, value } of posted(path, file, { ...options, ...extra }, signal)) {
      if (!run) begun();
      if (kind === "step" || kind === "segment") {
        say(run.add(value));
        if (kind === "step") await pause(DWELL_MS);
      } else if (kind === "progress") run.progress(value);
      else if (kind === "result") {
        say(run.finish(value, await grantedTo(value, model)));
        const spent = `${short(value.compute.spent_gflops)} GFLOPs`;
        remember({ file: file.name, said: run.title.textContent, effort: spent });
      }
    }
  } catch (error) {
    run?.fail();
    throw error;
  }
}

/** The model at the budget that the answer was granted: less than asked where the service was busy. */
async function grantedTo(answer, model) {
  if (!hadLess(answer)) return model;
  const path = `v1/models/${encodeURIComponent(model.name)}`;
  return getJson(path, { budget_gflops: answer.compute.budget_granted_gflops }).catch(() => model);
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
  if (isNarrow.matches) at("problem").scrollIntoView({ block: "nearest" });
}

function say(sentence) {
  at("spoken").textContent = sentence;
}
