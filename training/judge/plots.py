"""A result as pictures: what accuracy costs, where videos leave, what is taken for what.

Knows no video: it draws `training.judge.results`. matplotlib is the optional extra `train`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from training.judge.results import POOLED, Result, Score, pooled, step_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 150
_RANDOM_STYLES = {"space-time": ":", "space": "--", "time": "-."}


def check_can_draw() -> None:
    """Raises ValueError without matplotlib: to be known before the work that is to be drawn."""
    try:
        import matplotlib.figure  # noqa: F401, PLC0415
    except ImportError as error:
        raise ValueError(
            "plots and pictures need matplotlib, which is not installed; in Fovea's folder: "
            ".venv/bin/pip install -c constraints.txt -e '.[train]'"
        ) from error


def new_figure(width_in: float, height_in: float) -> "Figure":
    """A figure that no window ever shows."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    return Figure(figsize=(width_in, height_in), layout="constrained")


def save_figure(figure: "Figure", path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI)
    return path


def draw_result(result: Result, folder: Path) -> list[Path]:
    """Write the pictures that the result has numbers for; their paths."""
    paths = [
        save_figure(trade_off(result), folder / "trade-off.png"),
        save_figure(confusion(result), folder / "confusion.png"),
    ]
    if result.budgets:
        paths.append(save_figure(exits(result), folder / "exits.png"))
    return paths


def trade_off(result: Result) -> "Figure":
    """Accuracy against multiply-adds, and against wall-clock where that was measured; by source below."""
    sources = [score.source for score in result.depths[0].scores]
    columns = [False, True] if None not in result.step_ms_K else [False]
    figure = new_figure(6 * len(columns), 4 * len(sources))
    grid = figure.subplots(len(sources), len(columns), squeeze=False)
    for row, source in enumerate(sources):
        for axes, timed in zip(grid[row], columns, strict=True):
            _draw_trade_off(axes, result, source, timed=timed)
    grid[0][0].legend(fontsize=7)
    figure.suptitle(f"{result.model} on {result.data}, {result.split}", fontsize=9)
    return figure


def _draw_trade_off(axes: "Axes", result: Result, source: str, *, timed: bool) -> None:
    def top1(scores: tuple[Score, ...]) -> Any:
        return next(score for score in scores if score.source == source).top1

    if result.budgets:
        x = [point.mean_ms if timed else point.mean_gflops.value for point in result.budgets]
        estimates = [top1(point.scores) for point in result.budgets]
        axes.plot(x, [one.value for one in estimates], "o-", ms=3, label="early exit (Eq. 7)")  # type: ignore[arg-type]
        axes.fill_between(x, [one.low for one in estimates], [one.high for one in estimates], alpha=0.15)  # type: ignore[arg-type]
    x = [point.ms if timed else point.gflops for point in result.depths]
    axes.plot(x, [top1(point.scores).value for point in result.depths], "s--", ms=4, label="fixed depth")  # type: ignore[arg-type]
    if source == POOLED:
        for coordinates, style in _RANDOM_STYLES.items():
            points = [point for point in result.random if point.coordinates == coordinates]
            if points:
                y = [point.top1.value for point in points]
                axes.plot([x[point.step] for point in points], y, style, label=f"random in {coordinates}")  # type: ignore[arg-type]
    for comparison in result.comparisons:
        estimate = top1(comparison.other_scores)
        where = comparison.other_ms if timed else comparison.other_gflops
        if where is not None:
            error = [[estimate.value - estimate.low], [estimate.high - estimate.value]]
            axes.errorbar([where], [estimate.value], yerr=error, fmt="*", ms=9, capsize=3, label=comparison.other)
    axes.set(
        xlabel="ms a video (without decoding)" if timed else "GFLOPs a video (multiply-adds)",
        ylabel="top-1",
        ylim=(0, 1.02),
        title=source,
    )
    axes.grid(alpha=0.3)


def exits(result: Result) -> "Figure":
    """For each source the share of videos that leave at each step, over the budgets."""
    sources = [one.source for one in result.budgets[0].exits]
    figure = new_figure(4 * len(sources), 3.5)
    grid = figure.subplots(1, len(sources), squeeze=False)[0]
    x = np.arange(len(result.budgets))
    for axes, source in zip(grid, sources, strict=True):
        counts = np.array(
            [
                next(one for one in point.exits if one.source == source).videos_by_last_step_K
                for point in result.budgets
            ],
            dtype=float,
        )
        shares = counts / counts.sum(axis=1, keepdims=True)
        bottom = np.zeros(len(x))
        for step in range(shares.shape[1]):
            axes.bar(x, shares[:, step], 0.9, bottom, label=step_name(step))
            bottom += shares[:, step]
        axes.set_xticks(x[::3], [f"{point.asked_gflops:.2g}" for point in result.budgets[::3]])
        axes.set(title=source, xlabel="B / GFLOPs", ylabel="share of videos")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside right center", fontsize=7)
    return figure


def confusion(result: Result) -> "Figure":
    """One matrix per way of answering, rows normalised, counts written in."""
    size = 2 + 0.38 * len(result.classes_C)
    figure = new_figure(size * len(result.confusions) + 1, size + 0.5)
    for axes, one in zip(figure.subplots(1, len(result.confusions), squeeze=False)[0], result.confusions, strict=True):
        counts = np.array(one.counts_CC)
        axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
        for row, column in zip(*np.nonzero(counts), strict=True):
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=6)
        axes.set_xticks(range(len(counts)), result.classes_C, rotation=90, fontsize=6)
        axes.set_yticks(range(len(counts)), result.classes_C, fontsize=6)
        axes.set(title=f"{one.way}: top-1 {np.trace(counts) / counts.sum():.2f}", xlabel="said", ylabel="is")
    figure.suptitle(f"{result.model}: {pooled(result.depths[0].scores).videos} videos, {result.split}", fontsize=9)
    return figure
