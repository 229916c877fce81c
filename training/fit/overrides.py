"""`--set NAME=VALUE`: entries of a plan that are others for one run. Knows no plan but as JSON; who reads it checks it.

NAME is the entry's place in what `fovea train --show-plan` prints: recipe.batch_size, recipe.stages.0.lr.
"""

import difflib
import json
from collections.abc import Iterator, Sequence
from typing import Any

FIXED = ("family", "model.num_classes")  # another plan, and the data, say them


def overridden(values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy with those entries set. Raises ValueError for a name that is not there, telling the nearest."""
    changed: dict[str, Any] = json.loads(json.dumps(values))  # lists in place of tuples, too
    for override in overrides:
        names = list(names_in(changed))
        name, equals, text = override.partition("=")
        if not equals:
            raise ValueError(f"--set {override} is no NAME=VALUE, such as recipe.batch_size=4")
        if name in FIXED:
            raise ValueError(f"--set {override}: {name} follows from the plan and the data; choose another --plan")
        if name not in names:
            near = _nearest(name, names)
            raise ValueError(f"--set {override}: the plan has no {name}; {near}--show-plan prints all of it")
        place: Any = changed
        *outer, last = name.split(".")
        for part in outer:
            place = place[int(part) if isinstance(place, list) else part]
        place[int(last) if isinstance(place, list) else last] = _value(text)
    return changed


def names_in(values: Any, prefix: str = "") -> Iterator[str]:
    """Of all entries, those that hold others included."""
    if isinstance(values, dict):
        pairs = list(values.items())
    elif isinstance(values, list) and any(isinstance(one, dict) for one in values):
        pairs = list(enumerate(values))
    else:
        return
    for name, value in pairs:
        yield f"{prefix}{name}"
        yield from names_in(value, f"{prefix}{name}.")


def _nearest(name: str, names: Sequence[str]) -> str:
    last = name.rpartition(".")[2]
    alike = [one for one in names if one.rpartition(".")[2] == last] or [
        one for one in names if difflib.get_close_matches(last, [one.rpartition(".")[2]], cutoff=0.75)
    ]
    close = difflib.get_close_matches(name, alike or names, n=1, cutoff=0.0 if alike else 0.6)
    return f"is {close[0]} meant? " if close else ""


def _value(text: str) -> Any:
    """As JSON; what is none is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
