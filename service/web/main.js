// Where the page starts.

import { start } from "./video_view.js";

await start();
