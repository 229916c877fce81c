// Where the page starts, and which of its two views is shown.

import { start as startCameras } from "./camera_view.js";
import { clearHistory } from "./history.js";
import { forgetKey, hasKey } from "./key.js";
import { viewOf } from "./share.js";
import { start as startVideo } from "./video_view.js";

const VIEWS = ["video", "cameras"];

function show() {
  const named = viewOf(location.hash);
  const wanted = VIEWS.includes(named) ? named : "video";
  for (const view of VIEWS) {
    const link = document.getElementById(`to-${view}`);
    const isShown = view === wanted && !link.hidden;
    document.getElementById(`view-${view}`).hidden = !isShown;
    if (isShown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

const forget = document.getElementById("forget-key");
const showForget = () => { forget.hidden = !hasKey(); };
forget.addEventListener("click", () => {
  forgetKey();
  clearHistory(); // whoever leaves leaves nothing
  location.reload();
});
addEventListener("fovea-key", showForget);
showForget();

await startVideo();
if (await startCameras()) {
  document.getElementById("to-cameras").hidden = false;
  addEventListener("hashchange", show);
  show();
}
