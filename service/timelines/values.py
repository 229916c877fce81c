"""What a timeline says, as values. Knows no JSON and no engine. Shape suffix: C classes."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.timelines.plan import TimelinePlan, WindowGrid
from video.file.cells import FileFacts, Work

Ended: TypeAlias = Literal["complete", "deadline", "broken", "quota"]


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """What one window said; it stands for [start_s, end_s), around its middle."""

    start_s: float
    end_s: float
    probabilities_C: NDArray[np.float32] | None  # None: it could not be paid for, or none of its pictures came out
    entropy_nats: float
    spent_flops: int
    label: str | None  # None: it abstains, or nothing was looked at
    likeliest: str | None = None  # label, however little it scores; None: nothing that the model knows
    decides: bool = False  # it holds the most of what moves around it (see `deciding`)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A stretch of one label. `probabilities_C` and `entropy_nats` are means over its windows."""

    start_s: float
    end_s: float
    label: str | None  # None: the model abstains, or nothing was looked at
    probabilities_C: NDArray[np.float32] | None
    entropy_nats: float | None
    spent_flops: int
    num_windows: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is."""

    done_s: float  # of the video
    duration_s: float
    spent_flops: int
    num_segments: int


@dataclass(frozen=True, slots=True)
class Point:
    """Of the curve: a window, or some in a row."""

    time_s: float  # its middle
    label: str | None
    score: float  # of the likeliest label that may be told, whether it is likely enough or not
    entropy_nats: float | None
    spent_gflops: float  # up to there


@dataclass(frozen=True, slots=True)
class Looks:
    """How windows were looked at."""

    windows: int = 0
    full: int = 0  # with all the frames that a window needs
    carried: int = 0  # nothing had changed: they say what the one before said
    scouted: int = 0  # there was credit for a glance at keyframes alone
    unpaid: int = 0  # there was none, or no picture: nothing is said of them


@dataclass(frozen=True, slots=True)
class Shown:
    """What the video turned out to be, as displayed."""

    facts: FileFacts
    work: Work
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The answer without its segments, which were told one by one."""

    id: str
    plan: TimelinePlan
    grid: WindowGrid
    ended: Ended
    ended_at_s: float  # of the video
    detail: str | None  # why it did not get further
    spent_flops: int
    looks: Looks
    curve: tuple[Point, ...]
    shown: Shown
    took_s: float
