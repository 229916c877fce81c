"""The values between a camera's ingest and everything else. Knows neither libav nor a model."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fovea.words import Clock, ClockUsed, ErrorClass, Mode
from video.clip import ClipRule, VideoLimits


@dataclass(frozen=True, slots=True)
class CameraSource:
    """Where to find a camera, its name resolved and found allowed."""

    url: str = field(repr=False)  # with credentials, and the address in place of the name
    host: str  # as asked for: what its certificate must be for
    address: str
    port: int
    transport: str  # tcp or udp
    ca_file: str | None = None  # rtsps: certificate authorities besides the system's
    verify: bool = True  # rtsps: whether the certificate must be good
    ports: tuple[tuple[int, int], ...] = ((1, 65535),)  # where it may say that it has moved to, on its own address


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each stage may take."""

    connect_s: float  # TCP
    open_s: float  # RTSP, from OPTIONS to PLAY
    stall_s: float  # without a byte, before a stream counts as lost


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which pictures are wanted of a camera: one from each cell of a grid that starts with the first picture.

    `cell_us`: a cell's length, as (numerator, denominator) in microseconds, so that it is exact.
    """

    rule: ClipRule  # `num_frames` plays no role here
    cell_us: tuple[int, int]
    limits: VideoLimits
    clock: Clock = Clock.AUTO


@dataclass(frozen=True, slots=True)
class Opened:
    """The camera answered; pictures follow."""

    codec: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """It plays, but no picture could be made of it yet: its next keyframe is to come. Said every second meanwhile."""

    since_s: float  # how long already


@dataclass(frozen=True, slots=True)
class Broken:
    """The camera's time jumped: cells count anew from the next one on."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What ingest has done since the camera was opened."""

    frames_decoded: int
    frames_dropped: int  # damaged, or of a cell that is over
    keyframe_interval_s: float | None  # None until two were seen
    mode: Mode
    clock: ClockUsed = "camera"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the grid is settled.

    `picture` is the frame nearest to the cell's centre; None where the cell has none: the one before holds.
    """

    index: int
    picture: "Picture | None"
    progress: Progress


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A frame as the model wants it. `frame_HWC` uint8 RGB; `view_B` float32, a row of `Clip.view_TB`."""

    frame_HWC: NDArray[np.uint8]
    view_B: NDArray[np.float32]
    pts_s: float  # seconds of the epoch
    captured_s: float  # monotonic clock, the same in all processes of a machine
    width_px: int  # as displayed
    height_px: int


@dataclass(frozen=True, slots=True)
class Lost:
    """No more pictures until it is opened again. `detail` is for people, and free of credentials."""

    error_class: ErrorClass
    detail: str


class CameraLost(Exception):
    """There are no pictures (any more)."""

    def __init__(self, error_class: ErrorClass, detail: str) -> None:
        super().__init__(detail)
        self.lost = Lost(error_class, detail)


Message: TypeAlias = Opened | Waiting | Broken | Cell | Lost
