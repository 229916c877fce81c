// The request of an answer as code, to copy: curl, Python, and the answer's JSON. Knows the API's paths.

import { h } from "./dom.js";
import { hasKey } from "./key.js";

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** `kind`: recognitions or timelines; `options` as they were asked, empty ones left out. */
export function codeOf({ kind, file, options, answer }) {
  const root = new URL(".", location.href).href.replace(/\/$/, "");
  const given = Object.entries(options).filter(([, value]) => value !== "" && value != null);
  const query = given.length ? `?${new URLSearchParams(given)}` : "";
  const part = `video=@"${file.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  const curl = [
    "curl",
    ...(hasKey() ? ['-H "Authorization: Bearer $FOVEA_API_KEY"'] : []),
    `-F ${shell(part)}`,
    shell(`${root}/v1/${kind}${query}`),
  ].join(" \\\n  ");
  const key = hasKey() ? ', api_key=os.environ["FOVEA_API_KEY"]' : "";
  const written = (name, value) => (name === "model" || Number.isNaN(Number(value)) ? JSON.stringify(value) : value);
  const named = given.map(([name, value]) => `, ${name}=${written(name, value)}`);
  const method = kind === "timelines" ? "timeline" : "recognize";
  const told = kind === "timelines"
    ? "for one in answer.segments:\n    print(one.start_s, one.end_s, one.name)"
    : "print(answer.label, answer.compute.spent_gflops)";
  const python = `${key ? "import os\n\n" : ""}import fovea\n\nwith fovea.Client(${JSON.stringify(root)}${key}) as client:\n` +
    `    answer = client.${method}(${JSON.stringify(file)}${named.join("")})\n${told}`;
  return { curl, Python: python, JSON: JSON.stringify(answer, null, 1) };
}

/** Folded: each text with a button that copies it. */
export function codeDetails(request) {
  const parts = Object.entries(codeOf(request)).flatMap(([name, text]) => [
    h("div", { class: "codehead" }, h("h3", {}, name), copyButton(text, `Copy ${name}`)),
    h("pre", { tabindex: "0", role: "group", "aria-label": name }, text),
  ]);
  return h("details", { class: "code" }, h("summary", {}, "Ask this from code"), ...parts);
}

/** Copies `text`, or what it returns, and says so on the button. */
export function copyButton(text, name) {
  const button = h("button", {
    type: "button", "aria-label": name, onclick: async () => {
      button.textContent = (await copied(text)) ? "Copied" : "Select it to copy";
    },
  }, "Copy");
  return button;
}

/** Whether the browser let us. */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no permission, or no secure context
  }
}
