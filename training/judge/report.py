"""docs/RESULTS.md out of result files, by a command: every number comes from one of them, and what is missing is named.

Knows no model and does no statistics.

RESULTS/NAME/result.json is the experiment NAME; `training.judge.experiments` says which there are to be.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.judge.crossfit import TOLERANCE
from training.judge.exit_comparison import COMPARISONS, ExitComparison, read_comparisons
from training.judge.exit_page import HEAD, exits_section
from training.judge.experiments import ABLATIONS, BASELINES, LEARNED, MAIN, PLAN, SEEDS, SHIPPED, Planned
from training.judge.needle_card import NEEDLE, Card, needle_section, read_card
from training.judge.new_places import NEW_PLACES, NewPlaces, new_places_section, read_new_places
from training.judge.open_set_result import OPEN_SET_RESULT, OpenSetResult, open_set_section, read_open_set_result
from training.judge.placement_result import PLACEMENTS, PlacementResult, placements_section, read_placements
from training.judge.results import (
    POOLED,
    RESULT,
    ComparedPoint,
    Comparison,
    Estimate,
    Result,
    Score,
    pooled,
    read_result,
    step_name,
)
from training.judge.seeds_result import SEEDS as SEEDS_FILE
from training.judge.seeds_result import SeedsResult, read_seeds, seeds_section

RATIO_AIM = 0.4  # of the baseline's multiply-adds; the paper says 2.5 times fewer


_INTRODUCTION = """\
# Results
Written by `fovea report`; edit the experiments, not this page.

Accuracies are top-1 in percent on the split named (`val` is neither trained nor calibrated on). Brackets: 95 %
intervals, by resampling whole groups within each source (2,000 draws), widened to Wilson's where that reaches further.
Differences are paired by video; one whose interval holds 0, or that rests on fewer than six groups, is *not resolved*.
Cost: multiply-adds. Times: one video at a time, without decoding, by what *Where it comes from* says executed it; times
of different executors, or of a busy machine, cannot be compared.

Read *On new places* first: that is what to expect of a camera that is new. Videos of `val` were not learnt from either,
but share players, courts and rooms with those that were: what remembers these does better there, and what does not may
do worse. Recipes are chosen by folds over groups of the training videos. Val was looked at once per candidate: for
`adafocus-v3-compact` thirteen times until decision 0090, a few of them for models that never shipped.

What shipped before, and experiments on it, stand under *History*.
"""


def write_report(results_folder: Path, page: Path) -> list[str]:
    """Write `page`; the planned experiments that were not run. Raises ValueError for a file that is no result."""
    results = {path.parent.name: read_result(path) for path in sorted(results_folder.glob(f"*/{RESULT}"))}
    found = Found(
        exits=tuple(
            each for path in sorted(results_folder.glob(f"*/{COMPARISONS}")) for each in read_comparisons(path)
        ),
        open_sets=tuple(map(read_open_set_result, sorted(results_folder.glob(f"*/{OPEN_SET_RESULT}")))),
        new_places=tuple(map(read_new_places, sorted(results_folder.glob(f"*/{NEW_PLACES}")))),
        placements=tuple(map(read_placements, sorted(results_folder.glob(f"*/{PLACEMENTS}")))),
        seeds=tuple(map(read_seeds, sorted(results_folder.glob(f"*/{SEEDS_FILE}")))),
        needles=tuple(map(read_card, sorted(results_folder.glob(f"*/{NEEDLE}")))),
    )
    text = render(results, found)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    return [planned.name for planned in PLAN if planned.name not in results]


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured beside results."""

    exits: tuple[ExitComparison, ...] = ()
    open_sets: tuple[OpenSetResult, ...] = ()
    new_places: tuple[NewPlaces, ...] = ()
    placements: tuple[PlacementResult, ...] = ()
    seeds: tuple[SeedsResult, ...] = ()
    needles: tuple[Card, ...] = ()


def render(results: Mapping[str, Result], found: Found | None = None) -> str:
    """The page as Markdown."""
    found = found or Found()
    main = results.get(MAIN.name)
    ships = {name: result for name, result in results.items() if name in SHIPPED}
    exits = [one for one in found.exits if not _is_older(one.name)]
    open_sets = [one for one in found.open_sets if not _is_older(one.model)]
    sections = [
        _INTRODUCTION,
        "## On new places\n" + new_places_section(found.new_places),
        "## Do exits pay?\n" + "\n\n".join([HEAD, exits_section(exits)]),
        "## Where cubes look\n" + placements_section(found.placements),
        "## Where the right place is known\n" + needle_section(found.needles),
        "## Another seed\n" + seeds_section(found.seeds),
        "## When it does not know\n" + open_set_section(open_sets),
        "## On val, at all steps\n" + _accuracies(ships),
        "## On val, along the budget\n" + (_trade_off(main) if main else _not_run(MAIN)),
        "## Budgets out of sample\n" + (_budgets(main) if main else _not_run(MAIN)),
        "## History\n" + _history(results, found),
        "## Where it comes from\n" + _origins(results),
        "## Not run\n" + _missing(results),
    ]
    return "\n".join(section.rstrip() + "\n" for section in sections)


def _is_older(name: str) -> bool:
    return name.startswith(LEARNED.name)


def _history(results: Mapping[str, Result], found: Found) -> str:
    """Of what shipped until decision 0034, and other models that were compared."""
    learned = results.get(LEARNED.name)
    older = {name: result for name, result in results.items() if name not in SHIPPED}
    parts = [
        "None of these ships. `compact-learned` was the default bundle until decision 0034: a policy places its cubes, "
        "of differences of frames. Figures are of the data as they were packed then, on val; what they taught is in "
        "[EXPERIMENTS](EXPERIMENTS.md).",
        "### At all steps\n" + _accuracies(older),
        "### Full-frame baselines of compact-learned\n" + _baselines(results, learned),
        "### Seeds of compact-learned\n" + _seeds(results),
        "### Table 5 in small, of compact-learned, exploratory\n" + _ablations(learned, results),
    ]
    if exits := [one for one in found.exits if _is_older(one.name)]:
        parts.append("### Exits of compact-learned\n" + exits_section(exits))
    if open_sets := [one for one in found.open_sets if _is_older(one.model)]:
        parts.append("### When compact-learned did not know\n" + open_set_section(open_sets))
    return "\n\n".join(part.rstrip() for part in parts)


def _baselines(results: Mapping[str, Result], learned: Result | None) -> str:
    comparisons = () if learned is None else learned.comparisons
    parts = [_compared(comparison) for comparison in comparisons]
    compared = {comparison.other for comparison in comparisons}
    parts += [f"Against {planned.what}: {_not_run(planned)}" for planned in BASELINES if planned.name not in compared]
    return "\n\n".join(parts)


def _accuracies(results: Mapping[str, Result]) -> str:
    if not results:
        return "Nothing was run."
    sources = sorted({score.source for result in results.values() for score in result.depths[-1].scores} - {POOLED})
    rows = []
    for name, result in results.items():
        last = result.depths[-1]
        by_source = {score.source: score for score in last.scores}
        rows.append(
            [
                name,
                f"{last.gflops:.3g}",
                _ms(last.ms),
                *(_top1(by_source.get(s)) for s in (POOLED, *sources)),
                _estimate(pooled(last.scores).mean_class),
            ]
        )
    text = _table(["experiment", "GFLOPs", "ms", POOLED, *sources, "mean class (pooled)"], rows)
    scores = next(iter(results.values())).depths[-1].scores
    told = ", ".join(f"{s.source} {100 * s.majority:.0f} ({s.videos} videos, {s.groups} groups)" for s in scores)
    return f"{text}\nAlways saying the most frequent class: {told}.\n"


def _trade_off(main: Result) -> str:
    sources = [score.source for score in main.depths[0].scores]
    rows = [
        [f"{point.asked_gflops:.3g}", _estimate(point.mean_gflops, 1, 3), _ms(point.mean_ms), *map(_top1, point.scores)]
        for point in main.budgets
    ]
    parts = ["Early exit, thresholds from the bundle:\n", _table(["B asked", "realised", "ms", *sources], rows)]
    rows = [[str(point.step), f"{point.gflops:.3g}", _ms(point.ms), *map(_top1, point.scores)] for point in main.depths]
    parts += ["\nA fixed number of cubes:\n", _table(["cubes", "GFLOPs", "ms", *sources], rows)]
    if default := main.default_point:
        steps = range(len(main.step_flops))
        rows = [[one.source, *map(str, one.videos_by_last_step_K)] for one in default.exits]
        parts += [
            f"\nWhere videos leave at the default budget, {default.asked_gflops:.3g} GFLOPs:\n",
            _table(["source", *map(step_name, steps)], rows),
        ]
    parts += [_compared(comparison) for comparison in main.comparisons]
    return "\n".join(parts)


def _compared(comparison: Comparison) -> str:
    rows = [
        [
            "all steps" if point.asked_gflops is None else f"B = {point.asked_gflops:.3g}",
            f"{point.cost_ratio:.2f}",
            _estimate(point.difference),
            point.verdict,
        ]
        for point in comparison.points
        if point.source == POOLED
    ]
    table = _table(["ours", "cost ratio", "difference in points", "ours is"], rows)
    head = f"\nAgainst `{comparison.other}` at all its steps ({comparison.other_gflops:.3g} GFLOPs), pooled:\n"
    return "\n".join([head, table, _within_aim(comparison)])


def _within_aim(comparison: Comparison) -> str:
    """The dearest way that keeps to the aimed share of their cost, by source."""
    within = [point for point in comparison.points if point.way == "budget" and point.cost_ratio <= RATIO_AIM]
    pooled_within = [point for point in within if point.source == POOLED]
    if not pooled_within:
        return f"\nNo budget costs at most {RATIO_AIM:.0%} of it.\n"
    best = max(pooled_within, key=lambda point: point.cost_ratio)
    same = [p for p in comparison.points if p.way == "budget" and p.asked_gflops == best.asked_gflops]
    told = "; ".join(f"{p.source} {_estimate(p.difference)}: {_in_words(p)}" for p in same)
    return f"\nAt {best.cost_ratio:.0%} of its multiply-adds (aim: at most {RATIO_AIM:.0%}): {told}.\n"


def _in_words(point: ComparedPoint) -> str:
    return {"above": "more accurate", "below": "less accurate"}.get(point.verdict, point.verdict)


def _budgets(main: Result) -> str:
    check = main.cross_fit
    if check is None:
        return f"Not run: {main.cross_fit_missing}."
    kept = sum(point.mean_gflops.value <= TOLERANCE * point.asked_gflops for point in main.budgets)
    errors = [
        [str(d.step), f"{d.temperature:.2f}", f"{d.calibration_error_before:.3f}", f"{d.calibration_error_after:.3f}"]
        for d in main.depths
    ]
    return (
        f"Thresholds solved on some groups, spent on the others: {check.folds} folds over groups, {check.repeats} "
        f"times, {check.num_trials} (split, B) pairs.\n\n"
        f"- Realised at most 1.05 B: {check.share_kept:.1%} of the pairs; with a repeat's folds taken together, "
        f"{check.share_kept_over_all:.1%}.\n"
        f"- Realised against B: median {check.median_overspend:+.1%}, worst {check.worst_overspend:+.1%}. Realised on "
        f"fresh videos against where solved: off by {check.typical_error:.1%} (median).\n"
        f"- The search against the geometric family at equal B: not below it where solved in "
        f"{check.share_not_below_geometric:.1%} of the pairs, {100 * check.mean_gain_solved:+.1f} points there on "
        f"average; on fresh videos {100 * check.mean_gain_fresh:+.1f} points at {check.mean_cost_ratio_fresh:.2f} of "
        "its cost.\n"
        f"- The bundle's own thresholds on this split: realised at most 1.05 B at {kept} of {len(main.budgets)} "
        "budgets.\n\n"
        "Expected calibration error of each exit on this split, before and after the bundle's temperatures:\n\n"
        + _table(["cubes", "temperature", "before", "after"], errors)
    )


def _seeds(results: Mapping[str, Result]) -> str:
    run = [(planned, results[planned.name]) for planned in SEEDS if planned.name in results]
    lines = [f"- {planned.name}: {_not_run(planned)}" for planned in SEEDS if planned.name not in results]
    if run:
        rows = [
            [
                f"{result.seed}",
                _top1(pooled(result.depths[-1].scores)),
                _top1(pooled(point.scores)) if (point := result.default_point) else "",
                f"{point.mean_gflops.value:.3g}" if point else "",
            ]
            for _, result in run
        ]
        lines.insert(0, _table(["seed", "all steps", "default budget", "GFLOPs there"], rows))
        values = [100 * pooled(result.depths[-1].scores).top1.value for _, result in run]
        if len(values) > 1:
            mean, spread = sum(values) / len(values), max(values) - min(values)
            lines.insert(1, f"All steps: mean {mean:.1f}, from least to greatest {spread:.1f} points.\n")
    return "\n".join(lines)


def _ablations(learned: Result | None, results: Mapping[str, Result]) -> str:
    """After all cubes; against cubes drawn anywhere at the same weights."""
    told = [(LEARNED.name, "as it shipped", learned)]
    told += [(planned.name, planned.what, results.get(planned.name)) for planned in ABLATIONS]
    rows = [[name, what, *_ablation(result)] for name, what, result in told if result is not None]
    missing = [f"- {what}: not run (`{name}`)." for name, what, result in told if result is None]
    columns = [
        "experiment",
        "what",
        "glance",
        "one cube",
        "all cubes",
        "all cubes, less the same at random",
        "learned is",
    ]
    return (_table(columns, rows) if rows else "") + "\n".join(["", *missing])


def _ablation(result: Result) -> list[str]:
    one = result.depths[min(1, len(result.depths) - 1)]
    cells = [_top1(pooled(point.scores)) for point in (result.depths[0], one, result.depths[-1])]
    drawn = [point for point in result.random if point.coordinates == "space-time"]
    if not drawn:
        return [*cells, "", ""]
    last = max(drawn, key=lambda point: point.step)
    return [*cells, _estimate(last.learned_minus_random), last.verdict]


def _origins(results: Mapping[str, Result]) -> str:
    rows = [
        [
            name,
            result.model,
            f"{result.data}, {result.split}",
            result.recipe,
            str(result.seed),
            result.commit or "",
            f"{result.executor}; {result.machine}",
        ]
        for name, result in results.items()
    ]
    if not rows:
        return "Nothing was run."
    untrained = [name for name, result in results.items() if not result.trained]
    warning = f"\n**Untrained, so that accuracies mean nothing: {', '.join(untrained)}.**\n" if untrained else ""
    return _table(["experiment", "model", "data", "recipe", "seed", "commit", "executed by"], rows) + warning


def _missing(results: Mapping[str, Result]) -> str:
    missing = [f"- `{planned.name}`: {planned.what}" for planned in PLAN if planned.name not in results]
    return "\n".join(missing) or "Everything that was planned was run."


def _not_run(planned: Planned) -> str:
    return f"not run (`{planned.name}`)."


def _top1(score: Score | None) -> str:
    return _estimate(score.top1) if score else ""


def _estimate(estimate: Estimate, scale: float = 100, digits: int = 1) -> str:
    value, low, high = (f"{scale * number:.{digits}f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.3g}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
