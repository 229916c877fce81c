"""The OpenAPI description, completed: problems by reference, and refusals that any request may meet. Knows no route."""

from typing import Any

from fastapi import FastAPI

from fovea.answers import Problem
from service.api.edge.keyed import is_open
from service.api.edge.load import LOAD_HEADER, tells_load

EVERYWHERE = {"421": "Asked under a name that is not the service's.", "431": "The headers are too large."}
WHERE_A_KEY_IS_NEEDED = {"401": "No key, or one that opens nothing.", "403": "The key does not open this."}
WHERE_IT_CHANGES_SOMETHING = {
    "403": "A page of another site asked, or the key does not open this.",
    "429": "No room, or a limit of the key is used up.",
}
KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key of the service, where it has keys (`FOVEA_API_KEYS_FILE`); without them none is needed.",
}
LOAD = {
    "description": "How full the replica that answered is: 0, nothing waits; 1 and above, whoever comes is refused.",
    "schema": {"type": "number", "minimum": 0},
}
CHANGING = ("post", "put", "patch", "delete")


def install(app: FastAPI) -> None:
    """`/openapi.json` is complete from now on."""
    described = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = completed(described())
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]  # FastAPI's own way to extend it


def completed(schema: dict[str, Any]) -> dict[str, Any]:
    schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    schema["components"]["securitySchemes"] = {"key": KEY}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]  # FastAPI's own, of parameters that are any text
            refusals = EVERYWHERE
            if not is_open(path):
                operation["security"] = [{"key": []}, {}]  # the second: a service without keys
                refusals = refusals | WHERE_A_KEY_IS_NEEDED
            if method in CHANGING:
                refusals = refusals | WHERE_IT_CHANGES_SOMETHING
            for status, meaning in refusals.items():
                operation["responses"].setdefault(status, problem_response(meaning))
            if tells_load(path):
                for response in operation["responses"].values():
                    response.setdefault("headers", {})[LOAD_HEADER] = LOAD
    return schema


def problem_response(meaning: str) -> dict[str, Any]:
    return {
        "description": meaning,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
