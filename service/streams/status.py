"""Where a stream stands and what it told, as values: the same for answers, events and metrics. Knows no camera."""

from dataclasses import dataclass

from fovea.words import ErrorClass, Mode, StreamState
from service.engine.request import Recognition
from service.streams.windows import Window


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why there are no pictures. Times are wall-clock."""

    error_class: ErrorClass
    detail: str
    attempts: int  # failed in a row
    retry_at_s: float | None


@dataclass(frozen=True, slots=True)
class Source:
    """What the camera sends. Sizes are as displayed."""

    width_px: int
    height_px: int
    codec: str
    keyframe_interval_s: float | None


@dataclass(frozen=True, slots=True)
class Status:
    state: StreamState
    since_s: float  # wall-clock
    trouble: Trouble | None
    epoch: int
    mode: Mode
    source: Source | None


@dataclass(slots=True)
class Counts:
    """Since this replica took the stream up."""

    results: int = 0
    windows_dropped: int = 0
    frames_decoded: int = 0
    frames_dropped: int = 0
    reconnects: int = 0
    spent_flops: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """One window's result, with all that is told of it."""

    stream: str
    epoch: int
    window: Window
    recognition: Recognition
    min_score: float
    captured_at_s: float  # wall-clock
    frame_age_s: float
    frames_decoded: int  # since the result before, as the two below
    frames_dropped: int
    windows_dropped: int
    frames_reused: int
