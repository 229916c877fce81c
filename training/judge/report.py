"""docs/RESULTS.md out of result files, by a command: every number comes from one of them, and what is missing is named.

Knows no model and does no statistics.

RESULTS/NAME/result.json is the experiment NAME; `PLAN` says which there are to be.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.judge.crossfit import TOLERANCE
from training.judge.exit_comparison import COMPARISONS, ExitComparison, read_comparisons
from training.judge.exit_page import exits_section
from training.judge.new_places import NEW_PLACES, NewPlaces, new_places_section, read_new_places
from training.judge.open_set_result import OPEN_SET_RESULT, OpenSetResult, open_set_section, read_open_set_result
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

RATIO_AIM = 0.4  # of the baseline's multiply-adds; the paper says 2.5 times fewer


@dataclass(frozen=True, slots=True)
class Planned:
    name: str
    what: str


MAIN = Planned("compact", "the default bundle, all steps: cubes that follow a person")
LEARNED = Planned("compact-learned", "the default bundle until decision 0034: learned cubes of differences, seed 0")
BASELINES = (
    Planned("compact-16-frames-tsn-plus", "the full-frame baseline of compact-learned (TSN+), same schedule"),
    Planned("compact-tsn-plus", "the same on the eight frames of its glance alone"),
)
SEEDS = (
    LEARNED,
    Planned("compact-seed-1", "compact-learned, seed 1"),
    Planned("compact-seed-2", "compact-learned, seed 2"),
)
"""Of the default bundle the seed deals the folds alone: its networks stand still, its heads are in closed form."""
ABLATIONS = (
    Planned("compact-frames", "Cubes of frames instead of differences"),
    Planned("compact-no-glance-features", "Table 5: without glance features in the classifier"),
    Planned("compact-pixel-gradients", "Table 5: policy trained by pixel instead of deep-feature gradients"),
    Planned("compact-8-cubes", "Table 5: a policy of eight cubes, to compare at one, two, four and eight"),
)
PAPER_SIZE = (
    Planned("tsm", "the paper's size: MobileNetV2 and ResNet-50, cubes of 128 x 128 x 12"),
    Planned("tsm-tsm-plus", "its full-frame baseline (TSM+)"),
)
PLAN = (MAIN, *BASELINES, *SEEDS, *ABLATIONS, *PAPER_SIZE)

_INTRODUCTION = """\
# Results
Written by `fovea report`; edit the experiments, not this page.

Accuracies are top-1 in percent on the split named (`val` is neither trained nor calibrated on). Brackets: 95 %
intervals, by resampling whole groups within each source (2,000 draws), widened to Wilson's where that reaches further.
Differences are paired by video; one whose interval holds 0, or that rests on fewer than six groups, is *not resolved*.
Cost: multiply-adds. Times: one video at a time, without decoding.

Read *On new places* first. Videos of `val` were not learnt from either, but share players, courts and rooms with those
that were: what remembers these does better there than on a camera that is new, and what does not may do worse.
"""


def write_report(results_folder: Path, page: Path) -> list[str]:
    """Write `page`; the planned experiments that were not run. Raises ValueError for a file that is no result."""
    results = {path.parent.name: read_result(path) for path in sorted(results_folder.glob(f"*/{RESULT}"))}
    exits = [each for path in sorted(results_folder.glob(f"*/{COMPARISONS}")) for each in read_comparisons(path)]
    open_sets = [read_open_set_result(path) for path in sorted(results_folder.glob(f"*/{OPEN_SET_RESULT}"))]
    new_places = [read_new_places(path) for path in sorted(results_folder.glob(f"*/{NEW_PLACES}"))]
    text = render(results, exits, open_sets, new_places)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
    return [planned.name for planned in PLAN if planned.name not in results]


def render(
    results: Mapping[str, Result],
    exits: Sequence[ExitComparison] = (),
    open_sets: Sequence[OpenSetResult] = (),
    new_places: Sequence[NewPlaces] = (),
) -> str:
    """The page as Markdown."""
    main = results.get(MAIN.name)
    sections = [
        _INTRODUCTION,
        "## On new places\n" + new_places_section(new_places),
        "## a. Full compute\n" + _accuracies(results),
        "## b. The trade-off\n" + (_trade_off(main, results) if main else _not_run(MAIN)),
        "## c. Budgets out of sample\n" + (_budgets(main) if main else _not_run(MAIN)),
        "## d. Seeds of compact-learned\n" + _seeds(results),
        "## e. Table 5 in small, of compact-learned, exploratory\n" + _ablations(results.get(LEARNED.name), results),
        "## Do exits pay?\n" + exits_section(exits),
        "## When it does not know\n" + open_set_section(open_sets),
        "## Where it comes from\n" + _origins(results),
        "## Not run\n" + _missing(results),
    ]
    return "\n".join(section.rstrip() + "\n" for section in sections)


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


def _trade_off(main: Result, results: Mapping[str, Result]) -> str:
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
    compared = {comparison.other for comparison in main.comparisons}
    parts += [f"\nAgainst {planned.what}: {_not_run(planned)}" for planned in BASELINES if planned.name not in compared]
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
    parts = []
    if learned is None:
        parts.append("Learned against random cubes: " + _not_run(LEARNED))
    elif not learned.random:
        parts.append("Learned against random cubes: not run (`fovea evaluate --random-draws 0`).")
    else:
        parts.append(_against_random(learned))
    for planned in ABLATIONS:
        if planned.name in results:
            rows = [[str(point.step), *map(_top1, point.scores)] for point in results[planned.name].depths]
            sources = [score.source for score in results[planned.name].depths[0].scores]
            parts.append(f"{planned.what}:\n\n" + _table(["cubes", *sources], rows))
            if results[planned.name].random:
                parts.append(_against_random(results[planned.name]))
        else:
            parts.append(f"{planned.what}: {_not_run(planned)}")
    return "\n\n".join(parts)


def _against_random(result: Result) -> str:
    rows = [
        [
            point.coordinates,
            str(point.step),
            _estimate(point.top1),
            _estimate(point.learned_minus_random),
            str(point.draws),
            point.verdict,
        ]
        for point in result.random
    ]
    columns = ["drawn at random", "cubes", "top-1", "learned minus random", "draws", "learned is"]
    return "The same weights with cubes in random places:\n\n" + _table(columns, rows)


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
