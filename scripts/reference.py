"""Writes the pages of docs/ that are read from the code: settings.md, http-api.md, and the cards in models/.

`python scripts/reference.py` writes them; a test holds that they are what it would write. Knows the settings and the
OpenAPI document, and no page that people write.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import cards  # noqa: E402  # the folders above have to be named first

from service.app import create_app  # noqa: E402
from service.settings import PREFIX, Settings  # noqa: E402

DOCS = ROOT / "docs"
HEAD = "<!-- Written by scripts/reference.py; edit {source} instead. -->\n"
METHODS = ("get", "post", "put", "patch", "delete")


def settings_page() -> str:
    """Every setting: variable, default, and the sentences below its field."""
    said = dict(_sentences_of(Settings))
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_default(field)} | {said[name]} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(
        [
            HEAD.format(source="service/settings.py"),
            "# Settings",
            "The service is set up by environment variables. Each has a default that works on one machine.",
            "A value that cannot be stops the start, with a sentence that names the variable, the value and the rule.",
            "A variable that means nothing is a warning, with the likeliest name meant.",
            "",
            "| variable | default | meaning |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _sentences_of(settings: type) -> Iterator[tuple[str, str]]:
    """(field, docstring below it), in order."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    assert isinstance(definition, ast.ClassDef)
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            assert isinstance(below.value, ast.Constant)
            yield field.target.id, _cell(str(below.value.value))


def _default(field: FieldInfo) -> str:
    value = field.default
    if field.default_factory is not None:
        return "the system's folder for temporary files"
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(_element(one) for one in value)}`"
    return f"`{value}`"


def _element(one: object) -> str:
    if isinstance(one, tuple):  # a range of ports
        first, last = one
        return str(first) if first == last else f"{first}-{last}"
    return str(one)


def http_page() -> str:
    """Every call: what it is for, its options, what it answers."""
    document = create_app(Settings(_env_file=None)).openapi()  # type: ignore[call-arg]
    calls = [
        (method, path, call)
        for path, methods in document["paths"].items()
        for method, call in methods.items()
        if method in METHODS
    ]
    return "\n".join(
        [
            HEAD.format(source="the routes in service/api/"),
            "# HTTP API",
            "The running service shows the same at `/docs`, with forms to try, and as OpenAPI at `/openapi.json`.",
            "Refusals are `application/problem+json` (RFC 9457); its page `/problems` explains each `type`.",
            "",
            "| call | what it does |",
            "|---|---|",
            *(
                f"| [`{_title(method, path)}`](#{_anchor(method, path)}) | {call['summary']} |"
                for method, path, call in calls
            ),
            "",
            *(line for method, path, call in calls for line in _call(method, path, call, document)),
        ]
    )


def _title(method: str, path: str) -> str:
    return f"{method.upper()} {path}"


def _anchor(method: str, path: str) -> str:
    """As GitHub and MkDocs make it of the heading."""
    return re.sub(r"[^a-z0-9_-]", "", _title(method, path).lower().replace(" ", "-"))


def _call(method: str, path: str, call: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {_title(method, path)}"
    yield f"{call['summary']}."
    if said := call.get("description"):
        yield ""
        yield from said.splitlines()
    yield ""
    if options := list(_options(call, document)):
        yield from ("| option | where | type | meaning |", "|---|---|---|---|", *options, "")
    yield from ("| status | body | meaning |", "|---|---|---|")
    for status, response in sorted(call["responses"].items()):
        kinds = ", ".join(_body(media, one) for media, one in response.get("content", {}).items()) or "none"
        yield f"| {status} | {kinds} | {_cell(response['description'])} |"
    yield ""


def _options(call: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    for one in call.get("parameters", ()):
        kind, said = _type(one["schema"]), one.get("description") or one["schema"].get("description", "")
        yield f"| `{one['name']}` | {one['in']} | {kind} | {_cell(said)} |"
    for media, body in call.get("requestBody", {}).get("content", {}).items():
        schema = _resolve(body.get("schema", {}), document)
        for name, one in schema.get("properties", {}).items():
            yield f"| `{name}` | body, `{media}` | {_type(one)} | {_cell(one.get('description', ''))} |"


def _resolve(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if reference := schema.get("$ref"):
        resolved: Mapping[str, Any] = document["components"]["schemas"][reference.rpartition("/")[2]]
        return resolved
    return schema


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return str(schema.get("format") or schema.get("type", "any"))


def _body(media: str, one: Mapping[str, Any]) -> str:
    schema = one.get("schema", {})
    return f"`{media}`" + (f" {_type(schema)}" if "$ref" in schema else "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


PAGES = {"settings.md": settings_page, "http-api.md": http_page}


def main() -> None:
    for name, text in ({name: write() for name, write in PAGES.items()} | cards.pages()).items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"written: docs/{name}")


if __name__ == "__main__":
    main()
