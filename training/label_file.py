"""Reads a file of labels: in a head's order, with names for people where it has some. Knows no bundle and no weights.

A label a line (.txt); a table with the columns label, display_name, description (.csv); or JSON: a list of labels or of
objects with these three members, or an object of numbers to labels or labels to numbers.
"""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from models.label_texts import LabelText

_COLUMNS = ("label", "display_name", "description")
_TEXT = TypeAdapter(LabelText)


def read_labels(path: Path) -> tuple[str, ...]:
    """The labels in the file's order. Raises ValueError."""
    return tuple(label for label, _ in _read_rows(path))


def read_label_texts(path: Path) -> dict[str, LabelText]:
    """What the file says of those labels of which it says something. Raises ValueError."""
    return {label: text for label, text in _read_rows(path) if text != LabelText()}


def _read_rows(path: Path) -> list[tuple[str, LabelText]]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets begin with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the labels {path} cannot be read ({error}); name a text, CSV or JSON file") from error
    match path.suffix:
        case ".json":
            return _of_json(path, text)
        case ".csv":
            return _of_table(path, text)
    return [(line.strip(), LabelText()) for line in text.splitlines() if line.strip()]


def _of_table(path: Path, text: str) -> list[tuple[str, LabelText]]:
    table = csv.DictReader(text.splitlines())
    columns = table.fieldnames or ()
    if "label" not in columns or not set(columns) <= set(_COLUMNS):
        raise ValueError(
            f"the labels {path} have the columns {', '.join(columns)}; the first line must name label, and may name "
            "display_name and description"
        )
    return [_of_object(path, {name: value for name, value in row.items() if value}) for row in table]


def _of_json(path: Path, text: str) -> list[tuple[str, LabelText]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"the labels {path} are no JSON ({error}); a label a line is fine in a .txt") from error
    if isinstance(content, list):
        return [_of_object(path, one) if isinstance(one, Mapping) else (str(one), LabelText()) for one in content]
    if isinstance(content, dict):
        numbers = {str(name): str(value) for name, value in content.items()}
        if not all(name.isdigit() for name in numbers):
            numbers = {value: name for name, value in numbers.items()}
        if set(numbers) == set(map(str, range(len(content)))):
            return [(numbers[str(number)], LabelText()) for number in range(len(content))]
    raise ValueError(f"the labels {path} are neither a list nor an object that numbers them from 0; write one of these")


def _of_object(path: Path, said: Mapping[str, Any]) -> tuple[str, LabelText]:
    label = said.get("label")
    if not isinstance(label, str) or not label:
        raise ValueError(f"the labels {path} hold {dict(said)!r}, which has no label; each needs one")
    try:
        return label, _TEXT.validate_python({name: value for name, value in said.items() if name != "label"})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or label
        raise ValueError(
            f"the labels {path} say {where} = {first['input']!r} of {label}: {first['msg']}; correct it"
        ) from error
