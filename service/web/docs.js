// Swagger UI over this service's own description.

import { getJson } from "./api.js";
import { keyHeaders } from "./key.js";

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
