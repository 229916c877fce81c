"""A page for each model that ships: docs/models/NAME.md, read from the bundle and from its measurement in results/.

Knows bundles and results, and nothing of how either is made. `scripts/reference.py` writes the pages.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle import Bundle
from models.thresholds import GridPoint
from training.judge.placement_result import PLACEMENTS, PlacementResult, in_words, read_placements

ROOT = Path(__file__).resolve().parents[1]
BUNDLES = ROOT / "models" / "bundles"
DRAWN = ROOT / "results" / "drawn" / "answers.json"
HEAD = "<!-- Written by scripts/reference.py; edit the bundle, or measure it again. -->\n"
SHOWN_CONFUSIONS = 8


@dataclass(frozen=True)
class Measurement:
    """A `result.json` of `fovea evaluate` about this very training of the bundle."""

    facts: dict[str, Any]
    placements: PlacementResult | None = None
    """Where its cubes might look instead; None: not compared."""

    @property
    def labels(self) -> list[str]:
        return list(self.facts["classes_C"])

    @property
    def counts_CC(self) -> list[list[int]]:
        """Videos of a class (row) that were given a label (column), after all steps."""
        return next(one["counts_CC"] for one in self.facts["confusions"] if one["way"] == "full")


def pages() -> dict[str, str]:
    """The name below docs/ and the text of every page."""
    bundles = [Bundle.read(folder) for folder in sorted(BUNDLES.iterdir()) if (folder / "bundle.json").exists()]
    cards = {f"models/{bundle.name}.md": card(bundle, measurement_of(bundle)) for bundle in bundles}
    return {"models/index.md": _index(bundles)} | cards


def measurement_of(bundle: Bundle) -> Measurement | None:
    """The measurement of this training: the same name and commit. None: there is none."""
    for path in sorted((ROOT / "results").glob("*/result.json")):
        facts = json.loads(path.read_text())
        if (facts["model"], facts["commit"]) == (bundle.name, bundle.manifest.provenance.commit):
            compared = path.parent / PLACEMENTS
            return Measurement(facts, read_placements(compared) if compared.exists() else None)
    return None


def _index(bundles: Sequence[Bundle]) -> str:
    rows = [
        f"| [{bundle.name}]({bundle.name}.md) | {len(bundle.labels)} | {_prices_told(bundle)} | "
        f"{_percent(_at_default(bundle))} |"
        for bundle in bundles
    ]
    return "\n".join(
        [
            HEAD,
            "# Models that ship",
            "A card says what a model knows, what it learnt from, how often it is right, and where it fails.",
            "",
            "| model | labels | GFLOPs a video | right on new places, at its default budget |",
            "|---|---|---|---|",
            *rows,
            "",
            "The thresholds of these budgets were solved on the same videos. Solved on videos of other places they",
            "may give up to two points less: [RESULTS](../RESULTS.md#do-exits-pay).",
            "",
        ]
    )


def card(bundle: Bundle, measurement: Measurement | None) -> str:
    """The page of one model."""
    lines = [
        HEAD,
        f"# {bundle.name}",
        *_said(bundle),
        *_labels(bundle),
        *_accuracy(bundle),
        *_placing(measurement),
        *_mistakes(bundle, measurement),
        *_failures(bundle),
        *_unknown(bundle),
        *_prices(bundle),
        "## Energy",
        "Not measured: no machine at hand tells what it draws. Count GFLOPs, or measure the watts of your own machine.",
        "",
    ]
    return "\n".join(lines)


def _said(bundle: Bundle) -> Iterator[str]:
    for heading, text in bundle.card:
        yield from (f"**{heading}.** {text}", "")


def _labels(bundle: Bundle) -> Iterator[str]:
    yield from ("## What it knows", "| label | name | what it looks like |", "|---|---|---|")
    for label in bundle.labels:
        text = bundle.label_texts.get(label)
        name, description = (text.display_name, text.description) if text else (None, None)
        yield f"| `{label}` | {name or ''} | {description or ''} |"
    yield ""


def _accuracy(bundle: Bundle) -> Iterator[str]:
    yield "## How often it is right"
    if not bundle.calibrated:
        yield from ("Nobody measured it.", "")
        return
    deals = bundle.calibration.num_deals
    yield "*On new places*: each video was answered by a network that had learnt nothing of its place. Expect this of a"
    yield "new camera, or up to two points less: the recipe was chosen, and the thresholds solved, on these videos. *On"
    yield "validation videos*: not learnt from, but places and people may have been."
    if deals > 1:
        yield f"Places were dealt into folds {deals} times. The table tells the mean; in brackets, the least and the"
        yield "greatest of these deals."
    yield from ("", "| budget, GFLOPs | mean cost | on new places | on validation videos |", "|---|---|---|---|")
    measured = [right for _, right in bundle.frontier]
    as_served = len(measured) == len(bundle.grid.points)  # else those points are of other thresholds
    for point, seen in zip(
        bundle.grid.points, measured if as_served else [None] * len(bundle.grid.points), strict=True
    ):
        yield (
            f"| {_gflops(point.budget_flops)} | {_gflops(point.solution.mean_cost_flops)} | "
            f"{_new_places(bundle, point)} | {_percent(seen)} |"
        )
    best = max(bundle.grid.points, key=lambda point: point.solution.accuracy)
    if best is not bundle.grid.points[-1]:
        yield from ("", f"Above {_gflops(best.budget_flops)} GFLOPs no budget is right more often on new places.")
    yield ""


def _new_places(bundle: Bundle, point: GridPoint) -> str:
    told = _percent(point.solution.accuracy)
    if bundle.calibration.num_deals == 1:
        return told
    shares = bundle.calibration.accuracy_by_deal(point)
    return f"{told} ({100 * min(shares):.1f} to {100 * max(shares):.1f})"


def _placing(measurement: Measurement | None) -> Iterator[str]:
    if measurement is None or (compared := measurement.placements) is None:
        return
    yield "## What it is worth that its cubes follow a person"
    yield f"On new places, in points, paired by video ({compared.data}). The table is in [RESULTS](../RESULTS.md)."
    yield from ("", *in_words(compared), "")


def _mistakes(bundle: Bundle, measurement: Measurement | None) -> Iterator[str]:
    yield "## What it confuses"
    if measurement is None:
        yield from ("This training of it was not measured in results/.", "")
        return
    labels, counts_CC = measurement.labels, measurement.counts_CC
    total = sum(map(sum, counts_CC))
    yield f"After all steps, on {total} validation videos. The most frequent mistakes:"
    yield from ("", "| it is | it said | videos | of |", "|---|---|---|---|")
    wrong = [
        (count, row, column)
        for row, counts in enumerate(counts_CC)
        for column, count in enumerate(counts)
        if row != column and count
    ]
    for count, row, column in sorted(wrong, key=lambda one: (-one[0], one[1:]))[:SHOWN_CONFUSIONS]:
        yield f"| `{labels[row]}` | `{labels[column]}` | {count} | {sum(counts_CC[row])} |"
    yield from ("", "All of them, rows are what it is, columns what it said, in the order of the labels:", "")
    yield "| | " + " | ".join(str(number) for number in range(1, len(labels) + 1)) + " |"
    yield "|---" * (len(labels) + 1) + "|"
    for number, (label, counts) in enumerate(zip(labels, counts_CC, strict=True), start=1):
        yield f"| {number} `{label}` | " + " | ".join(str(count or "") for count in counts) + " |"
    yield ""


def _failures(bundle: Bundle) -> Iterator[str]:
    """Of drawn clips, as `python -m tools.hard_clips` wrote them down."""
    facts = json.loads(DRAWN.read_text())
    said = {one["clip"]: one for one in facts["answers"] if one["model"] == bundle.name}
    if not said:
        return
    yield "## Where it fails, in pictures"
    yield "No footage may be shown here, so we drew a handshake and made it harder. The model learnt from recordings:"
    yield "the first row tells what a drawing alone does to it. Answers are those at the default budget."
    yield from ("", "| frame | what is hard | right is | it said |", "|---|---|---|---|")
    for clip in facts["clips"]:
        picture = f"![{clip['told']}](../pictures/hard/{clip['name']}.webp)"
        yield f"| {picture} | {clip['told']} | {clip['right']} | {_said_of(said[clip['name']], bundle)} |"
    yield from ("", "`python -m tools.hard_clips` draws them and asks again.", "")


def _said_of(one: dict[str, Any], bundle: Bundle) -> str:
    text = bundle.label_texts.get(one["best"])
    name = text.display_name if text and text.display_name else one["best"]
    likeliest = f"{name}, {100 * one['score']:.0f} %"
    return likeliest if one["label"] else f"nothing that it knows; closest: {likeliest}"


def _unknown(bundle: Bundle) -> Iterator[str]:
    facts = bundle.manifest.open_set
    if facts is None:
        return
    yield "## What it says it does not know"
    yield "A video that shows none of its labels should get none. 1 would tell all of them apart, 0.5 none."
    yield from ("", "| footage of none of the labels | AUROC |", "|---|---|")
    yield f"| real | {'not measured' if facts.auroc is None else f'{facts.auroc:.3f}'} |"
    yield f"| synthetic: black, test patterns, noise, fractals, screen recordings | {facts.auroc_synthetic:.3f} |"
    yield from ("", f"Of videos that do show a label it keeps {facts.kept:.1%}. Measured on {facts.measured_on}.", "")


def _prices(bundle: Bundle) -> Iterator[str]:
    yield from ("## What it costs", "| step | GFLOPs |", "|---|---|")
    for number, flops in enumerate(bundle.step_flops):
        yield f"| {'glance' if number == 0 else f'step {number}'} | {_gflops(flops)} |"
    yield ""


def _prices_told(bundle: Bundle) -> str:
    least, full = _gflops(bundle.step_flops[0]), _gflops(sum(bundle.step_flops))
    return least if least == full else f"{least} to {full}"


def _at_default(bundle: Bundle) -> float | None:
    if not bundle.calibrated:
        return None
    held = [point for point in bundle.grid.points if point.budget_flops <= bundle.default_budget_flops]
    return held[-1].solution.accuracy


def _gflops(flops: float) -> str:
    return f"{flops / 1e9:.3g}"


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.1f} %"
