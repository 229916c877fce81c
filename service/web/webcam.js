// A few seconds from the webcam, recorded in the browser. Knows no service.

import { h } from "./dom.js";

const SECONDS = 4; // as long as the actions that the models know
const KINDS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];

/** Shows the camera and records on a press. The recording as a File; null where it was called off. Throws DOMException. */
export async function record() {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: false });
  const preview = h("video", { playsinline: true, "aria-label": "Your camera" });
  preview.muted = true;
  preview.srcObject = stream;
  const told = h("p", { class: "told", role: "status" }, "Nothing is sent before you have recorded.");
  const start = h("button", { type: "button", class: "go" }, `Record ${SECONDS} seconds`);
  const cancel = h("button", { type: "button" }, "Cancel");
  const dialog = h("dialog", { class: "key", "aria-labelledby": "webcam-title" },
    h("h2", { id: "webcam-title" }, "Your webcam"), h("div", { class: "stage" }, preview), told,
    h("div", { class: "row" }, start, cancel));
  document.body.append(dialog);
  try {
    return await new Promise((resolve, reject) => {
      const parts = [];
      const type = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
      const recorder = new MediaRecorder(stream, type ? { mimeType: type } : {});
      let wanted = false;
      recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
      recorder.addEventListener("error", (event) => reject(event.error));
      recorder.addEventListener("stop", () => {
        const kind = recorder.mimeType.split(";")[0];
        resolve(wanted ? new File(parts, `webcam.${kind === "video/mp4" ? "mp4" : "webm"}`, { type: kind }) : null);
        dialog.close();
      });
      start.addEventListener("click", () => {
        start.disabled = true;
        recorder.start();
        countDown(SECONDS, told, () => {
          wanted = true;
          if (recorder.state === "recording") recorder.stop();
        });
      });
      cancel.addEventListener("click", () => dialog.close());
      dialog.addEventListener("close", () => {
        if (recorder.state === "recording") recorder.stop();
        else resolve(null);
      });
      dialog.showModal();
      preview.play().catch(() => {});
    });
  } finally {
    for (const track of stream.getTracks()) track.stop();
    dialog.remove();
  }
}

function countDown(left, told, done) {
  if (left === 0) return done();
  told.textContent = `Recording, ${left} s left`;
  setTimeout(() => countDown(left - 1, told, done), 1000);
}
