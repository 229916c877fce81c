"""How a posted video is described in OpenAPI: options in the query, a form, a URL, a raw body. Knows no route."""

from collections.abc import Mapping
from typing import Any

from service.api.body.by_url import URL
from service.api.body.multipart import VIDEO

FORM: dict[str, Any] = {
    "type": "object",
    "required": [VIDEO],
    # Options may be fields, too; described twice, what is made of this description would send two values of each.
    "properties": {VIDEO: {"type": "string", "format": "binary", "description": "The file."}},
}
RAW: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
BY_URL: dict[str, Any] = {
    "type": "object",
    "required": [URL],
    "properties": {
        URL: {
            "type": "string",
            "description": "Where the video is: https://, or s3://bucket/key where the operator has named the bucket. "
            "The service fetches it. Options may stand beside it.",
            "examples": ["https://example.org/clip.mp4"],
        }
    },
}


def video_body() -> dict[str, Any]:
    """The request body of every route that takes a video."""
    return {
        "required": True,
        "description": "A form with the file, the video itself, or JSON that says where it is. In a form, each option "
        "of the query may be a field instead; those before the file are checked before it is read.",
        "content": {
            "multipart/form-data": {"schema": FORM},
            "application/json": {"schema": BY_URL},
            "video/*": RAW,
            "application/octet-stream": RAW,
        },
    }


def parameters(options: Mapping[str, tuple[dict[str, Any], str, Any]]) -> list[dict[str, Any]]:
    """Of the query, from name to (schema, meaning, example or None)."""
    return [
        {"name": name, "in": "query", "schema": schema, "description": text}
        | ({} if example is None else {"example": example})
        for name, (schema, text, example) in options.items()
    ]
