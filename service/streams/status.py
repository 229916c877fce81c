"""Where a stream stands and what it told, as values: the same for answers, events and metrics. Knows no camera."""

from dataclasses import dataclass
from enum import StrEnum

from service.engine.request import Recognition
from service.streams.windows import Window
from video.camera.live import ErrorClass, Mode


class StreamState(StrEnum):
    """What is being done about a camera at the moment."""

    WAITING = "waiting"  # no replica has taken it up yet
    CONNECTING = "connecting"  # being opened for the first time
    LIVE = "live"  # pictures arrive
    RECONNECTING = "reconnecting"  # lost or not to be had; `error` says why and when it is tried again
    DELETED = "deleted"  # unsubscribed, or its lease ran out; the last event of a stream


class Emit(StrEnum):
    """Which results become events."""

    RESULT = "result"  # all of them
    CHANGE = "change"  # those whose best label differs from that of the one before


class Decode(StrEnum):
    """Which frames of a camera are decoded."""

    AUTO = "auto"  # keyframes while nothing happens and enough of them fall in a window, else all
    ALL = "all"
    KEYFRAMES = "keyframes"


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
