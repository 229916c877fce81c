"""What a recognizer is: a model with a price list that answers a little better with every step it is paid for.

Knows no architecture, no video file and no request.

Shape suffixes: T frames, H rows, W columns, C colour channels (frames) or classes (probabilities).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from video.clip import ClipRule

Frames: TypeAlias = NDArray[np.uint8]
"""frames_THWC of one clip: uint8 RGB, sized as the recognizer's `ClipRule` says."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of one frame of the clip, in clip pixels; (y, x) is its first corner."""

    frame: int
    y: int
    x: int
    height_px: int
    width_px: int


@dataclass(frozen=True, slots=True)
class Cube:
    """A space-time box of the clip, in clip frames and clip pixels; (t, y, x) is its first corner."""

    t: int
    y: int
    x: int
    num_frames: int
    height_px: int
    width_px: int
    windows: tuple[Window, ...] = ()
    """What is looked at of the box, where that moves or leaves frames out: a window of each frame, rising. Empty: all
    of it."""

    @property
    def frames(self) -> tuple[int, ...]:
        """The frames of the clip that are looked at."""
        return tuple(window.frame for window in self.windows) or tuple(range(self.t, self.t + self.num_frames))

    @classmethod
    def around(cls, windows: Sequence[Window]) -> "Cube":
        """The smallest box that holds them. At least one, their frames rising."""
        y, x = min(window.y for window in windows), min(window.x for window in windows)
        bottom, right = (max(w.y + w.height_px for w in windows), max(w.x + w.width_px for w in windows))
        first, last = windows[0].frame, windows[-1].frame
        return cls(first, y, x, last - first + 1, bottom - y, right - x, tuple(windows))


class State(Protocol):
    """What a recognizer knows of one video after a step. A recognizer keeps its own tensors beside these."""

    @property
    def step(self) -> int:
        """0 after the first step, k after k more."""
        ...

    @property
    def probabilities_C(self) -> NDArray[np.float32]:
        """Tempered softmax over the labels, fp32."""
        ...

    @property
    def entropy_nats(self) -> float:
        """Entropy of `probabilities_C`; in [0, ln C], never NaN."""
        ...

    @property
    def cube(self) -> Cube | None:
        """What this step looked at; None after the glance."""
        ...


StateT = TypeVar("StateT", bound=State)


class Recognizer(Protocol[StateT]):
    """Batched by nature: rows of one focus batch may stand at different steps. Answers do not depend on the company.

    `step_flops[k]` is the price of step k in multiply-adds, known before it is taken; a fixed-cost model has one entry
    and takes no focus step.
    """

    @property
    def clip_rule(self) -> ClipRule: ...

    @property
    def step_flops(self) -> tuple[int, ...]: ...

    def glance(self, clips_THWC: Sequence[Frames]) -> list[StateT]:
        """Look at whole clips. Raises ValueError when a clip is not shaped as `clip_rule` says."""
        ...

    def focus(self, states: Sequence[StateT]) -> list[StateT]:
        """Take the next step of each state. Raises ValueError for a state with no step left."""
        ...


@dataclass(frozen=True, slots=True)
class Shared:
    """A clip's frames by name: equal keys stand for equal frames, also of earlier clips that came with this `memory`.

    `memory` holds the features of frames by key. A glance takes from it what is there, and leaves what is of this clip.
    """

    keys_T: tuple[int, ...]
    memory: dict[int, Any]


@runtime_checkable
class ReusesFrames(Protocol):
    """A stated capability: the glance looks at each frame by itself, so that overlapping windows can share its work."""

    @property
    def frame_flops(self) -> int | None:
        """Price of one frame's share of the glance; None: this model's frames look at each other, nothing is shared."""
        ...

    def num_new_frames(self, shared: Shared) -> tuple[int, ...]:
        """Frames that each step that glances would have to look at: different ones that are not remembered."""
        ...

    @property
    def num_glance_frames(self) -> tuple[int, ...]:
        """Frames that the price of each step that glances stands for: of the first step, and of those that go on."""
        ...

    def glance_sharing(self, clips_THWC: Sequence[Frames], shared: Sequence[Shared | None]) -> list[Any]:
        """`glance`, with the same answers, but looking at new frames alone."""
        ...


@runtime_checkable
class TellsFeatures(Protocol):
    """A stated capability: what the glance saw as one vector, for an open-set score (`models.open_set`)."""

    def glance_features(self, state: Any) -> NDArray[np.float32]:
        """features_D of a state that `glance` gave; D is the same for every clip."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Ahead:
    """A state that is ready for its next step, and the places in the clip that are looked at from there on."""

    state: Any
    next_indices: tuple[int, ...]
    later_indices: tuple[int, ...]  # by all the steps after the next


@runtime_checkable
class ChoosesFrames(Protocol):
    """A stated capability: each step looks at some of a clip's frames, and it is known beforehand at which.

    So the others need not be decoded, or not yet: what lies at their places in `clip_THWC` is never read. States keep
    the array they were given: frames that are written into it between two steps are what the next one sees.
    """

    @property
    def glance_indices(self) -> tuple[int, ...]:
        """The places in the clip that the glance looks at, rising, in however many steps it comes. Keyframes may stand
        in for these frames where the model bears it: within a share of their distance."""
        ...

    @property
    def step_indices(self) -> tuple[tuple[int, ...], ...]:
        """Of each step the places in the clip that it looks at, rising: the glance's exactly; of a cube that is yet to
        be placed all those that it may lie on. What no step of a plan names is never decoded for it."""
        ...

    def look_ahead(self, states: Sequence[Any]) -> list[Ahead]:
        """Where each state will look. What is computed for that is part of the next step's price.

        Raises ValueError for a state with no step left.
        """
        ...
