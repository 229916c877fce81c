"""The values between the reading of a long file and everything else. Knows neither libav nor a model.

Shape suffixes: H rows, W columns, C colours, B box sides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a long file before any of it is decoded."""

    codec: str
    duration_s: float
    declared_s: float | None  # what the file says of itself
    keyframe_interval_s: float | None
    num_packets: int
    clock_breaks: int
    is_broken: bool  # it should be longer than what can be read
    failure: str | None  # what ended the reading, in libav's words


@dataclass(frozen=True, slots=True, eq=False)
class CellPicture:
    """The frame nearest to a cell's middle. `frame_HWC` uint8 RGB; `view_B` float32, a row of `Clip.view_TB`."""

    frame_HWC: NDArray[np.uint8]
    view_B: NDArray[np.float32]
    pts_s: float  # from the video's start
    width_px: int  # as displayed
    height_px: int


@dataclass(slots=True)
class Work:
    """What decoding took so far."""

    frames_decoded: int = 0
    frames_damaged: int = 0
    decode_pixels: int = 0
