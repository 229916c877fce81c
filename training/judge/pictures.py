"""Pictures of what a model looked at: a video's frames, and on them the cubes in the order taken (paper, Figures 4-5).

Knows no score. The pictures show the user's own videos and stay with the user.

Shape suffixes: T H W C frames of one clip, K steps, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.recognizer import Cube, Frames, Recognizer, State, StateT
from training.judge.observations import Observations
from training.judge.plots import new_figure, save_figure

_MOST_COLUMNS = 8
_COLOURS = ("#1f77ff", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#17becf", "#e377c2", "#bcbd22")


@dataclass(frozen=True, slots=True)
class Choice:
    """A video worth a picture. `easy`: right from the glance on; `hard`: wrong at first, right after `step` cubes."""

    row: int
    kind: str
    step: int


def choose(seen: Observations, num_each: int) -> list[Choice]:
    """The surest of the easy videos, and those that need the most cubes; fewer where there are not so many."""
    correct_NK = seen.correct_NK
    # From this step on it is right: the last wrong step, and one.
    wrong_NK = ~correct_NK
    first_N = np.where(wrong_NK.any(axis=1), correct_NK.shape[1] - wrong_NK[:, ::-1].argmax(axis=1), 0)
    sure_N = seen.log_probs_NKC[:, 0].max(axis=1)
    easy = sorted(np.flatnonzero(first_N == 0).tolist(), key=lambda row: -sure_N[row])
    hard_N = (first_N > 0) & correct_NK[:, -1]
    hard = sorted(np.flatnonzero(hard_N).tolist(), key=lambda row: (-first_N[row], sure_N[row]))
    return [Choice(row, "easy", 0) for row in easy[:num_each]] + [
        Choice(row, "hard", int(first_N[row])) for row in hard[:num_each]
    ]


def look(recognizer: Recognizer[StateT], clip_THWC: Frames) -> list[StateT]:
    """The states of one clip after every step."""
    states = recognizer.glance([clip_THWC])
    steps = list(states)
    for _ in recognizer.step_flops[1:]:
        states = recognizer.focus(states)
        steps += states
    return steps


def draw_looks(clip_THWC: Frames, states: Sequence[State], classes_C: Sequence[str], path: Path, *, title: str) -> Path:
    """All frames of the clip, on each the cubes that reach it; below, what was said after every step."""
    num_frames = len(clip_THWC)
    columns = min(num_frames, _MOST_COLUMNS)
    rows = -(-num_frames // columns)
    height, width = clip_THWC.shape[1:3]
    figure = new_figure(1.5 * columns, 1.5 * rows * height / width + 0.22 * len(states) + 0.6)
    grid = figure.subplots(rows, columns, squeeze=False)
    for t, axes in enumerate(grid.flat):
        axes.axis("off")
        if t < num_frames:
            axes.imshow(clip_THWC[t])
            axes.set_title(str(t), fontsize=6, pad=2)
    for step, state in enumerate(states):
        if state.cube is not None:
            _outline(grid, state.cube, step)
    said = [_said(step, state, classes_C) for step, state in enumerate(states)]
    figure.suptitle(title, fontsize=8)
    figure.supxlabel("\n".join(said), fontsize=7, x=0.02, ha="left")
    return save_figure(figure, path)


def _outline(grid: NDArray[Any], cube: Cube, step: int) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415

    colour = _COLOURS[(step - 1) % len(_COLOURS)]
    for t in range(cube.t, cube.t + cube.num_frames):
        axes = grid.flat[t]
        corner = (cube.x - 0.5, cube.y - 0.5)
        axes.add_patch(Rectangle(corner, cube.width_px, cube.height_px, fill=False, edgecolor=colour, linewidth=1.5))
        axes.text(cube.x + 1, cube.y + 1, str(step), color=colour, fontsize=7, va="top")


def _said(step: int, state: State, classes_C: Sequence[str]) -> str:
    best = int(state.probabilities_C.argmax())
    return f"step {step}: {classes_C[best]} {state.probabilities_C[best]:.2f}, entropy {state.entropy_nats:.2f} nats"
