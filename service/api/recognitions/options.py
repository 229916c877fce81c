"""A recognition's options as text, and the rules they follow. Knows neither models nor prices.

A GFLOP figure becomes whole FLOPs here, rounded down: a ceiling must never grow.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from fovea.errors import InvalidOption
from fovea.words import MAX_GFLOPS, MAX_NAME
from service.engine.budget import RecognitionOptions

MAX_NUMBER = 64
EXACT = Context(prec=MAX_NUMBER + 16)  # the 28 digits of the default would round a long ceiling up


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The most a client may ask for, whatever the model."""

    top_k: int
    deadline_ms: int


# name -> (OpenAPI schema, description, example); the order is the documentation's.
OPTIONS: Mapping[str, tuple[dict[str, Any], str, object]] = {
    "model": (
        {"type": "string", "default": "auto"},
        "A model's name, or `auto`: the best measured accuracy that the budget pays for.",
        "auto",
    ),
    "task": ({"type": "string"}, "Label list to answer with; absent: the default model's.", None),
    "budget_gflops": (
        {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_GFLOPS},
        "What an answer may cost in the mean over videos (B of Eq. 7); absent: the model's default.",
        1.2,
    ),
    "min_budget_gflops": (
        {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_GFLOPS},
        "The least budget that may be granted while the service is busy, at most budget_gflops; absent: the first "
        "step. The same as budget_gflops: never less.",
        None,
    ),
    "max_gflops": (
        {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_GFLOPS},
        "What this one answer may cost at most; no step starts that would pass it.",
        2.0,
    ),
    "deadline_ms": (
        {"type": "integer", "minimum": 1},
        "Milliseconds from the end of the upload; then the best answer so far is given.",
        5000,
    ),
    "top_k": ({"type": "integer", "minimum": 1, "default": 5}, "How many labels to give.", 5),
    "min_score": (
        {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
        "Labels below this score are not told; where none is left, `label` is null.",
        0.3,
    ),
    "abstain": (
        {"type": "boolean", "default": True},
        "Whether `label` is null where in_domain is below the model's threshold: a video that shows nothing the model "
        "knows. `predictions` hold the likeliest labels all the same.",
        True,
    ),
    "labels": (
        {"type": "string"},
        "Labels that may be given, separated by commas; absent: all. Scores stay what they are among all labels.",
        None,
    ),
    "picture": (
        {"type": "boolean", "default": False},
        "Whether the answer brings a small frame from the middle of the video, for pages that cannot play it. It is "
        "made for this answer and kept nowhere, so it goes with neither a job nor an Idempotency-Key.",
        None,
    ),
}


JOB_OPTIONS = ("webhook_url", "webhook_events")  # of whatever the job is


def parse_options(pairs: Iterable[tuple[str, str]], ceilings: Ceilings) -> RecognitionOptions:
    """Check every option by itself. Raises InvalidOption naming option, value, rule and way out."""
    values: dict[str, str] = {}
    for name, text in pairs:
        if name not in OPTIONS:
            raise unknown_option(name, OPTIONS)
        if values.setdefault(name, text) != text:
            told = f"as {_shown(values[name])!r} and as {_shown(text)!r}"
            raise InvalidOption(f"option {name!r} is given more than once, {told}; give it once", option=name)
    given = {
        "model": _name("model", values),
        "task": _name("task", values),
        "budget_flops": flops_option("budget_gflops", values),
        "min_budget_flops": flops_option("min_budget_gflops", values),
        "max_flops": flops_option("max_gflops", values),
        "deadline_ms": _count("deadline_ms", values, ceilings.deadline_ms),
        "top_k": _count("top_k", values, ceilings.top_k),
        "min_score": _share("min_score", values),
        "abstain": _switch("abstain", values),
        "labels": _labels("labels", values),
        "picture": _switch("picture", values),
    }
    return RecognitionOptions(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def flops_option(name: str, values: Mapping[str, str]) -> int | None:
    """The FLOPs of a GFLOP option, rounded down; None where it is absent. Raises InvalidOption."""
    text = values.get(name)
    if text is None:
        return None
    gflops = _decimal(text)
    if gflops is None or not gflops.is_finite() or not 0 < gflops <= MAX_GFLOPS:
        raise _broken(name, text, f"must be a number of GFLOPs above 0 and at most {MAX_GFLOPS:g}, such as 1.2")
    return int(EXACT.multiply(gflops, Decimal(10**9)))


def _count(name: str, values: Mapping[str, str], most: int) -> int | None:
    text = values.get(name)
    if text is None:
        return None
    number = _decimal(text)
    if number is None or not number.is_finite() or not 1 <= number <= most or number != int(number):
        raise _broken(name, text, f"must be a whole number from 1 to {most}")
    return int(number)


def _share(name: str, values: Mapping[str, str]) -> float | None:
    text = values.get(name)
    if text is None:
        return None
    number = _decimal(text)
    if number is None or not number.is_finite() or not 0 <= number <= 1:
        raise _broken(name, text, "must be a number from 0 to 1, such as 0.3")
    return float(number)


def _switch(name: str, values: Mapping[str, str]) -> bool | None:
    text = values.get(name)
    if text is None:
        return None
    if text not in ("true", "false"):
        raise _broken(name, text, "must be true or false")
    return text == "true"


def _name(name: str, values: Mapping[str, str]) -> str | None:
    text = values.get(name)
    if text is not None and not (0 < len(text) <= MAX_NAME and text.isprintable()):
        raise _broken(name, text, f"must be a name of 1 to {MAX_NAME} printable characters, or be left out")
    return text


def _labels(name: str, values: Mapping[str, str]) -> tuple[str, ...] | None:
    text = values.get(name)
    if text is None:
        return None
    labels = tuple(dict.fromkeys(label.strip() for label in text.split(",")))
    if not all(0 < len(label) <= MAX_NAME and label.isprintable() for label in labels):
        raise _broken(name, text, "must be labels separated by commas, such as tennis_serve,tennis_smash")
    return labels


def _decimal(text: str) -> Decimal | None:
    if not text.isascii() or "_" in text or len(text) > MAX_NUMBER:
        return None
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        return None


def _broken(name: str, text: str, rule: str) -> InvalidOption:
    shown = _shown(text)
    return InvalidOption(f"{name}={shown!r}: {rule}", option=name, value=shown)


def unknown_option(name: str, known: Iterable[str]) -> InvalidOption:
    """With the option that may be meant, or when it would be one."""
    shown = _shown(name)
    if name in JOB_OPTIONS:
        return InvalidOption(
            f"{name} is an option of jobs: send `Prefer: respond-async` with it, or leave it out", option=name
        )
    known = list(known)
    close = difflib.get_close_matches(shown, known, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    return InvalidOption(f"there is no option {shown!r}; {meant}the options are: {', '.join(known)}", option=shown)


def _shown(text: str) -> str:
    return text if len(text) <= 64 else text[:64] + "…"
