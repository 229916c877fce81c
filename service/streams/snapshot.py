"""A camera's picture as a JPEG, for people: as the camera shows it, without the model's black bars and distortion.

Its size is the model's: no larger picture leaves a camera's process. Knows no camera and no HTTP.
"""

import time
from dataclasses import dataclass

from service.engine.still import as_displayed, encoded
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
    shown = as_displayed(picture.frame_HWC, picture.view_B, picture.width_px, picture.height_px)
    return Snapshot(time.time() - (time.monotonic() - picture.captured_s), encoded(shown, QUALITY))
