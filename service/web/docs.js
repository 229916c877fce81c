// Swagger UI over this service's own description.

import { getJson } from "./api.js";
import { keyHeaders } from "./key.js";

// Swagger UI has a dark look of its own, and does not ask the browser which one is wanted.
const dark = matchMedia("(prefers-color-scheme: dark)");
const look = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", look);
look();

await getJson("openapi.json").catch(() => {}); // where a key is needed, it is asked for; what else is wrong is told below
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
  layout: "BaseLayout",
  deepLinking: true,
  requestInterceptor: (request) => {
    request.headers = { ...keyHeaders(), ...request.headers };
    return request;
  },
});
