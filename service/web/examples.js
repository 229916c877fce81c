// The clips that come with the page. Drawn by tools/example_clips.py; a clip is fetched when it is chosen.

import { h } from "./dom.js";

const FOLDER = "web/clips/";
const CLIPS = [
  ["handshake", "Two people meet"],
  ["serve", "A serve"],
  ["ball", "A ball, nobody there"],
];

/** A button for each, with its poster; `choose(path, name)` when it is pressed. */
export const exampleButtons = (choose) => CLIPS.map(([name, told]) =>
  h("button", { type: "button", class: "example", onclick: () => choose(`${FOLDER}${name}.mp4`, `${name}.mp4`) },
    h("img", { src: `${FOLDER}${name}.webp`, alt: "", width: 160, height: 120 }), told));
