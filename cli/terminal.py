"""Answers and bundles as tables on a terminal. Knows the API's schemas and nothing of how an answer came about."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fovea.words import AbstainReason

if TYPE_CHECKING:  # importing them for real would slow `fovea --help` down
    from fovea.answers import CubePlace, Prediction, RecognitionAnswer
    from models.listing import Listing

WIDE = 160  # columns where nobody's terminal says how many


def print_recognition(video: Path | str, answer: "RecognitionAnswer") -> None:
    """One video's answer, and the steps that led to it."""
    console = make_console()
    labels = ", ".join(f"{told_label(one)} {one.score:.2f}" for one in answer.predictions)
    console.print(Text.assemble("\n", (str(video), "bold"), f"  {told_verdict(answer)}{labels}"))
    if answer.in_domain is not None:
        console.print(f"in domain: {answer.in_domain:.3f}")
    if not answer.trained:
        console.print(f"{answer.model} is untrained: its labels mean nothing", style="yellow")
    if not answer.calibrated:
        console.print(f"{answer.model} could not be calibrated: its scores are a guess", style="yellow")
    table = Table("step", "kind", "GFLOPs", "entropy / nats", "top label", "score", "cube", box=None, pad_edge=False)
    for step in answer.compute.steps:
        table.add_row(
            str(step.step),
            step.kind,
            f"{step.gflops:.4g}",
            f"{step.entropy_nats:.3f}",
            step.top.name,
            f"{step.top.score:.3f}",
            _cube(step.cube),
        )
    console.print(table)
    compute, timing = answer.compute, answer.timing_ms
    ceiling = "" if compute.max_gflops is None else f", ceiling {compute.max_gflops:.4g}"
    held = answer.cached or compute.resumed_from_step is not None
    before = f", of {compute.total_gflops:.4g}; the rest was paid before" if held else ""
    granted = compute.budget_granted_gflops
    busy = "" if granted is None or granted == compute.budget_gflops else f", {granted:.4g} granted: busy"
    console.print(
        f"{answer.exit.reason} after step {answer.exit.step}: spent {compute.spent_gflops:.4g} GFLOPs{before} "
        f"(budget {compute.budget_gflops:.4g}{busy}{ceiling}); ms: decode {timing.decode:.0f}, "
        f"queue {timing.queue:.0f}, inference {timing.inference:.0f}, total {timing.total:.0f}"
    )


def told_verdict(answer: "RecognitionAnswer") -> str:
    """Before the labels: nothing where there is an answer, else why there is none."""
    match answer.reason:
        case AbstainReason.NOT_KNOWN:
            return "not one of the things I know; likeliest: "
        case AbstainReason.BELOW_MIN_SCORE:
            return "no label reaches min_score; "
    return ""


def told_label(one: "Prediction") -> str:
    """With its name for people before it, where it has one: what filters and scripts ask for is the label."""
    return one.label if one.display_name is None else f"{one.display_name} ({one.label})"


def _cube(cube: "CubePlace | None") -> str:
    if cube is None:
        return ""
    first_s, last_s = cube.pts_s
    box = cube.box
    return f"{first_s:.2f}-{last_s:.2f} s, x {box.x:.2f} y {box.y:.2f} w {box.w:.2f} h {box.h:.2f}"


def bundle_facts(bundle: "Listing") -> dict[str, Any]:
    facts = bundle.manifest
    return {
        "name": facts.name,
        "bundle": bundle.digest,
        "task": facts.task,
        "trained": facts.trained,
        "labels": list(facts.labels),
        "label_texts": {label: asdict(text) for label, text in facts.label_texts.items()},
        "least_gflops": bundle.least_flops / 1e9,
        "largest_gflops": bundle.full_flops / 1e9,
        "default_budget_gflops": round(facts.default_budget_gflops * 1e9) / 1e9,
    }


def print_bundles(bundles: list["Listing"]) -> None:
    """One line a bundle."""
    console = make_console()
    table = Table("model", "task", "trained", "labels", "least GFLOPs", "largest", "default budget", box=None)
    for bundle in bundles:
        facts = bundle_facts(bundle)
        table.add_row(
            facts["name"],
            facts["task"],
            "yes" if facts["trained"] else Text("NO: labels mean nothing", "yellow"),
            str(len(facts["labels"])),
            *(f"{facts[name]:.4g}" for name in ("least_gflops", "largest_gflops", "default_budget_gflops")),
        )
    console.print(table)


def make_console() -> Console:
    """For answers: as wide as the terminal, or wide enough where there is none. Square brackets are no markup."""
    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, width=WIDE)
