"""A camera's picture as a JPEG, for people: as the camera shows it, without the model's black bars and distortion.

Its size is the model's: no larger picture leaves a camera's process. Knows no camera and no HTTP.
"""

import io
import time
from dataclasses import dataclass

import numpy as np
from PIL import Image

from video.camera.live import Picture

QUALITY = 90


@dataclass(frozen=True, slots=True)
class Snapshot:
    captured_s: float  # wall-clock
    jpeg: bytes

    def packed(self) -> bytes:
        return b"%r\n%b" % (self.captured_s, self.jpeg)

    @classmethod
    def unpacked(cls, blob: bytes) -> "Snapshot":
        """Raises ValueError."""
        captured, _, jpeg = blob.partition(b"\n")
        return cls(float(captured), jpeg)


def snapshot(picture: Picture) -> Snapshot:
    output = io.BytesIO()
    _as_displayed(picture).save(output, "JPEG", quality=QUALITY)
    return Snapshot(time.time() - (time.monotonic() - picture.captured_s), output.getvalue())


def _as_displayed(picture: Picture) -> Image.Image:
    """What of the frame shows the camera's picture, in the camera's proportions."""
    height_px, width_px, _ = picture.frame_HWC.shape
    x, y, w, h = (float(side) for side in picture.view_B)  # in parts of the camera's picture
    shown = np.clip([x, y, x + w, y + h], 0, 1)
    left, right = ((shown[0] - x) / w * width_px, (shown[2] - x) / w * width_px)
    top, bottom = ((shown[1] - y) / h * height_px, (shown[3] - y) / h * height_px)
    whole = Image.fromarray(picture.frame_HWC)
    cut = whole.crop((round(left), round(top), round(right), round(bottom)))
    aspect = (shown[2] - shown[0]) * picture.width_px / ((shown[3] - shown[1]) * picture.height_px)
    long_px = max(cut.size)
    wanted = (long_px, round(long_px / aspect)) if aspect >= 1 else (round(long_px * aspect), long_px)
    near = all(abs(have - want) <= 1 for have, want in zip(cut.size, wanted, strict=True))
    return cut if near else cut.resize((max(1, wanted[0]), max(1, wanted[1])), Image.Resampling.BICUBIC)
