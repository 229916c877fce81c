"""Where a stream stands and what it told, as values: the same for answers, events and metrics. Knows no camera."""

from dataclasses import dataclass

from fovea.words import ClockUsed, ErrorClass, Mode, StreamState
from service.engine.summary import Summary


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
    clock: ClockUsed = "camera"


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
class Report:
    """Where a stream stands, as its holder tells everybody."""

    status: Status
    counts: Counts


@dataclass(frozen=True, slots=True)
class Result:
    """What one window showed, with all that is told of it."""

    epoch: int
    start_s: float  # of the epoch, as the one below
    end_s: float
    partial: bool
    mode: Mode
    captured_s: float  # wall-clock
    frame_age_s: float
    frames_distinct: int
    frames_reused: int
    frames_decoded: int  # since the result before, as the two below
    frames_dropped: int
    windows_dropped: int
    recognition: Summary
