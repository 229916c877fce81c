"""A recognizer small enough to know by heart, for tests of everything around it. No weights, no torch.

It answers "red", "green" or "blue" by the clip's mean colour, a little surer with every cube.
Shape suffixes: C colours, which are the classes.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundle_format import OpenSetFacts
from models.label_texts import LabelText
from models.open_set import OpenSetScore
from models.recognizer import Ahead, Cube, Frames
from video.clip import ClipRule

LABELS = ("red", "green", "blue")
COSTS = (100_000_000, 50_000_000, 30_000_000)  # glance, cube, cube: 0.1 + 0.05 + 0.03 GFLOPs
SPEC = ClipRule(num_frames=4, height_px=32, width_px=32, resize="stretch")


@dataclass(frozen=True)
class TinyState:
    step: int
    mean_C: NDArray[np.float32]

    @property
    def probabilities_C(self) -> NDArray[np.float32]:
        odds_C = np.exp((2 + 2 * self.step) * self.mean_C)
        return (odds_C / odds_C.sum()).astype(np.float32)

    @property
    def entropy_nats(self) -> float:
        p_C = self.probabilities_C.astype(np.float64)
        return float(-(p_C * np.log(np.maximum(p_C, 1e-30))).sum())

    @property
    def cube(self) -> Cube | None:
        return Cube(self.step - 1, 8, 16, 2, 8, 16) if self.step else None


class TinyRecognizer:
    """`before(kind)` is called in the engine's thread before each batch: it may block, or raise."""

    clip_rule = SPEC
    step_flops = COSTS

    def __init__(self, before: Callable[[str], None] = lambda kind: None) -> None:
        self.before = before
        self.batches: list[tuple[str, int]] = []

    def glance(self, clips_THWC: Sequence[Frames]) -> list[TinyState]:
        self._note("glance", len(clips_THWC))
        return [TinyState(0, (clip.mean((0, 1, 2)) / 255).astype(np.float32)) for clip in clips_THWC]

    def focus(self, states: Sequence[TinyState]) -> list[TinyState]:
        self._note("focus", len(states))
        return [TinyState(state.step + 1, state.mean_C) for state in states]

    def glance_features(self, state: TinyState) -> NDArray[np.float32]:
        return state.mean_C

    def _note(self, kind: str, size: int) -> None:
        self.batches.append((kind, size))
        self.before(kind)


@dataclass(frozen=True)
class ChoosyState(TinyState):
    clip_THWC: Frames

    @property
    def cube(self) -> Cube | None:
        return Cube(4 * self.step - 3, 8, 16, 3, 8, 16) if self.step else None


class ChoosyRecognizer(TinyRecognizer):
    """Looks at frames 0 and 4 of 8 first, then at 1 to 3, then at 5 to 7 (`models.recognizer.ChoosesFrames`).

    What it thinks is the mean colour of the frames that a step looks at: black where nothing was decoded.
    """

    clip_rule = ClipRule(num_frames=8, height_px=32, width_px=32, resize="stretch")
    glance_indices = (0, 4)
    step_indices = (glance_indices, (1, 2, 3), (5, 6, 7))

    def glance(self, clips_THWC: Sequence[Frames]) -> list[ChoosyState]:  # type: ignore[override]
        self._note("glance", len(clips_THWC))
        return [ChoosyState(0, _mean_C(clip_THWC[[0, 4]]), clip_THWC) for clip_THWC in clips_THWC]

    def focus(self, states: Sequence[ChoosyState]) -> list[ChoosyState]:  # type: ignore[override]
        self._note("focus", len(states))
        return [
            ChoosyState(
                ahead.state.step + 1, _mean_C(ahead.state.clip_THWC[list(ahead.next_indices)]), ahead.state.clip_THWC
            )
            for ahead in self.look_ahead(states)
        ]

    def look_ahead(self, states: Sequence[ChoosyState]) -> list[Ahead]:
        return [Ahead(state, ((1, 2, 3), (5, 6, 7))[state.step], ((5, 6, 7), ())[state.step]) for state in states]


def _mean_C(frames_THWC: Frames) -> NDArray[np.float32]:
    return (frames_THWC.mean((0, 1, 2)) / 255).astype(np.float32)


class Gate:
    """A `before` that lets batches of one kind through only once it is opened."""

    def __init__(self, kind: str = "glance") -> None:
        self.kind = kind
        self.reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, kind: str) -> None:
        if kind == self.kind:
            self.reached.set()
            assert self._open.wait(30), "the test never opened its gate"

    def open(self) -> None:
        self._open.set()


def tiny_model(
    recognizer: TinyRecognizer | None = None,
    *,
    name: str = "tiny",
    thresholds: tuple[float, float] = (-1.0, -1.0),
    label_offsets_nats: tuple[tuple[float, ...], ...] = (),
    frontier: tuple[tuple[float, float], ...] = (),
    open_set: OpenSetScore | None = None,
    label_texts: Mapping[str, LabelText] | None = None,
) -> Any:
    """A loaded model as the service takes it. Thresholds of -1 are never met: at full budget all steps are taken.

    `frontier`: (mean FLOPs, accuracy); with it the model counts as trained.
    """

    def point(budget_flops: int, thresholds_nats: tuple[float, float]) -> SimpleNamespace:
        solution = SimpleNamespace(thresholds_nats=thresholds_nats, mean_cost_flops=float(budget_flops), accuracy=0.75)
        return SimpleNamespace(budget_flops=budget_flops, solution=solution)

    bundle = SimpleNamespace(
        name=name,
        digest="sha256:" + "0" * 64,
        task="colours",
        labels=LABELS,
        label_texts=label_texts or {},
        trained=bool(frontier),
        calibrated=True,
        scores_calibrated=True,
        clip_rule=SPEC if recognizer is None else recognizer.clip_rule,
        default_budget_flops=180_000_000,
        grid=SimpleNamespace(points=(point(100_000_000, (9.0, 9.0)), point(180_000_000, thresholds))),
        frontier=frontier,
        paper_flops=None,
        label_offsets_nats=label_offsets_nats,
        below_majority=False,
        keyframe_tolerance=0.0,
        skip_loop_filter=False,
        open_set=open_set,
        card=(("Limits", "knows three colours"),),
    )
    recognizer = recognizer if recognizer is not None else TinyRecognizer()
    return SimpleNamespace(bundle=bundle, recognizer=recognizer, computed_by="numpy fp32")


def knows_red() -> OpenSetScore:
    """Of a tiny model that was trained on red alone: in_domain is near 1 for red, near 0 for blue."""
    mean_D, blue_D = np.float32([1, 0, 0]), np.float32([0, 0, 1])
    facts = OpenSetFacts(
        data="red",
        measured_on="red and blue",
        threshold=0.5,
        bias=8.0,
        slope=1.0,
        offset=0.0,
        auroc=1.0,
        auroc_synthetic=1.0,
        kept=1.0,
    )
    return OpenSetScore(
        mean_D=mean_D,
        basis_RD=np.float32([[0, 0, 1]]),
        class_means_CR=np.zeros((3, 1), np.float32),
        precision_RR=np.ones((1, 1), np.float32),
        weight_D=-20 * blue_D,
        facts=facts,
    )
