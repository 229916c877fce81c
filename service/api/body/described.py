"""How a posted video is described in OpenAPI: options as query parameters, a form, a raw body. Knows no route."""

from collections.abc import Mapping
from typing import Any

from service.api.body.multipart import VIDEO

FORM: dict[str, Any] = {
    "type": "object",
    "required": [VIDEO],
    # Options may be fields, too; described twice, what is made of this description would send two values of each.
    "properties": {VIDEO: {"type": "string", "format": "binary", "description": "The file."}},
}
RAW: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


def parameters(options: Mapping[str, tuple[dict[str, Any], str, Any]]) -> list[dict[str, Any]]:
    """Of the query, from name to (schema, meaning, example or None)."""
    return [
        {"name": name, "in": "query", "schema": schema, "description": text}
        | ({} if example is None else {"example": example})
        for name, (schema, text, example) in options.items()
    ]
