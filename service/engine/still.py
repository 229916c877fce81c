"""A frame of a clip as a small JPEG, for people: as the video shows it, without the model's black bars and distortion.

Its size is the model's at most. Knows no file, no camera and no HTTP. Shape suffixes: H rows, W columns, C colour
channels, B box sides.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from video.clip import Clip

QUALITY, LONGEST_PX = 80, 320


@dataclass(frozen=True, slots=True)
class Still:
    """`box_B`: (x, y, w, h), the part of the displayed source frame that it shows, in [0, 1]."""

    jpeg: bytes
    pts_s: float
    box_B: tuple[float, float, float, float]
    width_px: int
    height_px: int


def still_of(clip: Clip, index: int) -> Still:
    """Of the clip's frame at that place, which must have been decoded."""
    assert index not in clip.absent, "a frame that nobody decoded is black"
    frame_HWC = clip.frames_THWC[index]
    view_TB, first, columns = clip.view_at(frame_HWC.shape[1] // 2)  # of several crops, the middle one
    view_B = view_TB[index]
    shown = as_displayed(frame_HWC[:, first : first + columns], view_B, clip.info.width_px, clip.info.height_px)
    shown.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.BICUBIC)
    left, top, right, bottom = _seen(view_B)
    box_B = (left, top, right - left, bottom - top)
    return Still(encoded(shown, QUALITY), clip.pts_s[index], box_B, shown.width, shown.height)


def encoded(image: Image.Image, quality: int) -> bytes:
    """JPEG."""
    output = io.BytesIO()
    image.save(output, "JPEG", quality=quality)
    return output.getvalue()


def as_displayed(
    frame_HWC: NDArray[np.uint8], view_B: NDArray[np.float32], width_px: int, height_px: int
) -> Image.Image:
    """What of the frame shows the source's picture, in the source's proportions (`width_px`, `height_px`)."""
    rows, columns, _ = frame_HWC.shape
    x, y, w, h = (float(side) for side in view_B)  # in parts of the source's picture
    seen = _seen(view_B)
    left, right = ((seen[0] - x) / w * columns, (seen[2] - x) / w * columns)
    top, bottom = ((seen[1] - y) / h * rows, (seen[3] - y) / h * rows)
    whole = Image.fromarray(frame_HWC)
    cut = whole.crop((round(left), round(top), round(right), round(bottom)))
    aspect = (seen[2] - seen[0]) * width_px / ((seen[3] - seen[1]) * height_px)
    long_px = max(cut.size)
    wanted = (long_px, round(long_px / aspect)) if aspect >= 1 else (round(long_px * aspect), long_px)
    near = all(abs(have - want) <= 1 for have, want in zip(cut.size, wanted, strict=True))
    return cut if near else cut.resize((max(1, wanted[0]), max(1, wanted[1])), Image.Resampling.BICUBIC)


def _seen(view_B: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the source that the view shows: without what was padded."""
    x, y, w, h = (float(side) for side in view_B)
    left, top, right, bottom = (min(max(edge, 0.0), 1.0) for edge in (x, y, x + w, y + h))
    return left, top, right, bottom
