"""A timeline's options as text, and the rules they follow: those of a recognition, and its own."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from fovea.errors import InvalidOption
from fovea.words import MAX_GFLOPS, Decode
from service.api.recognitions import options as recognitions
from service.api.recognitions.options import Ceilings, flops_option, unknown_option
from service.timelines.plan import TimelineOptions

_THEIRS = {
    name: described
    for name, described in recognitions.OPTIONS.items()
    if name not in {"budget_gflops", "min_budget_gflops", "max_gflops", "picture"}
}
_BUDGET = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_GFLOPS}

# name -> (OpenAPI schema, description, example); the order is the documentation's.
OPTIONS: Mapping[str, tuple[dict[str, Any], str, object]] = {
    **_THEIRS,
    "budget_gflops": (
        _BUDGET,
        "What the whole timeline may cost at most; quiet stretches leave theirs to busy ones.",
        None,
    ),
    "budget_gflops_per_s": (_BUDGET, "The same for each second of the video; with both, the smaller holds.", None),
    "max_gflops": (_BUDGET, "What one look at one window may cost at most.", None),
    "window_s": (
        {"type": "number", "exclusiveMinimum": 0, "default": 4.0},
        "Seconds that the model sees at once: about as long as what is to be found.",
        4.0,
    ),
    "stride_s": (
        {"type": "number", "exclusiveMinimum": 0},
        "Seconds from one window to the next: how finely times are told; absent: a quarter of a window.",
        1.0,
    ),
    "merge": (
        {"type": "boolean", "default": True},
        "Whether neighbouring windows of one label are one segment.",
        True,
    ),
    "decode": (
        {"type": "string", "enum": [one.value for one in Decode], "default": Decode.AUTO.value},
        "auto: keyframes while nothing changes, the frames that windows need where it does; all: everywhere; "
        "keyframes: nowhere.",
        "auto",
    ),
}
_OWN = ("window_s", "stride_s", "merge", "decode", "budget_gflops", "budget_gflops_per_s")


def parse_timeline_options(pairs: Iterable[tuple[str, str]], ceilings: Ceilings) -> TimelineOptions:
    """Check every option by itself. Raises InvalidOption naming option, value, rule and way out."""
    own: dict[str, str] = {}
    others: list[tuple[str, str]] = []
    for name, text in pairs:
        if name not in OPTIONS:
            raise unknown_option(name, OPTIONS)
        if name not in _OWN:
            others.append((name, text))
        elif own.setdefault(name, text) != text:
            raise InvalidOption(
                f"option {name!r} is given more than once, with different values; give it once", option=name
            )
    each = recognitions.parse_options(others, ceilings)
    given: dict[str, object] = {
        "each": each,
        "window_s": _seconds("window_s", own),
        "stride_s": _seconds("stride_s", own),
        "merge": _truth("merge", own),
        "decode": _decode(own),
        "budget_flops": flops_option("budget_gflops", own),
        "budget_flops_per_s": flops_option("budget_gflops_per_s", own),
    }
    return TimelineOptions(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def _number(name: str, own: Mapping[str, str]) -> Decimal | None:
    """None where it is no plain decimal number."""
    text = own[name]
    if not text.isascii() or "_" in text or len(text) > recognitions.MAX_NUMBER:
        return None
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _seconds(name: str, own: Mapping[str, str]) -> float | None:
    if name not in own:
        return None
    number = _number(name, own)
    if number is None or not number > 0:
        raise _broken(name, own[name], "must be a number of seconds above 0, such as 1.5")
    return float(number)


def _truth(name: str, own: Mapping[str, str]) -> bool | None:
    if name not in own:
        return None
    text = own[name].strip().lower()
    if text not in {"true", "false"}:
        raise _broken(name, own[name], "must be true or false")
    return text == "true"


def _decode(own: Mapping[str, str]) -> Decode | None:
    if "decode" not in own:
        return None
    try:
        return Decode(own["decode"])
    except ValueError:
        raise _broken("decode", own["decode"], f"must be one of: {', '.join(Decode)}") from None


def _broken(name: str, text: str, rule: str) -> InvalidOption:
    shown = _shown(text)
    return InvalidOption(f"{name}={shown!r}: {rule}", option=name, value=shown)


def _shown(text: str) -> str:
    return text if len(text) <= 64 else text[:64] + "…"
