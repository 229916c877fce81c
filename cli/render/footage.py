"""The frames of a video as a player would show them, at a size to draw on. Knows no cube and no label.

Shape suffixes: H rows, W columns, C colour channels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fovea.answers import Video
from video.clip import ClipRule, VideoLimits
from video.file.reading import Reading
from video.file.scan import scan

LEAST_WIDTH_PX, MAX_WIDTH_PX = 480, 1280  # letters must be legible on it, and the file no larger than it need be
MAX_HEIGHT_PX = 960


@dataclass(frozen=True, slots=True)
class Footage:
    """A video file to read from front to back, as often as wanted."""

    reading: Reading

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of its pictures in pixels; both even, as encoders want them."""
        return self.reading.rule.width_px, self.reading.rule.height_px

    @property
    def duration_s(self) -> float:
        return self.reading.track.duration_s

    @property
    def frame_rate(self) -> float:
        """Frames a second in the mean."""
        return len(self.reading.track.packets) / max(self.duration_s, 1e-3)

    def pictures(self) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """(seconds from the start, frame_HWC). Raises VideoError kin."""
        return self.reading.pictures()

    def pictures_at(self, times_s: Sequence[float]) -> list[NDArray[np.uint8]]:
        """The frame_HWC nearest to each of the times, in their order."""
        found: dict[float, NDArray[np.uint8]] = {}
        distance_s = dict.fromkeys(times_s, float("inf"))
        for now_s, frame_HWC in self.pictures():
            for time_s in distance_s:
                if abs(now_s - time_s) < distance_s[time_s]:
                    distance_s[time_s], found[time_s] = abs(now_s - time_s), frame_HWC
        return [found[time_s] for time_s in times_s]


def open_footage(path: Path, video: Video, limits: VideoLimits) -> Footage:
    """`video`: what the answer says of it. Raises VideoError kin."""
    ratio = min(MAX_WIDTH_PX / video.width, MAX_HEIGHT_PX / video.height)
    ratio = min(ratio, max(1.0, LEAST_WIDTH_PX / video.width))
    width_px, height_px = (max(2, 2 * round(side * ratio / 2)) for side in (video.width, video.height))
    rule = ClipRule(num_frames=1, height_px=height_px, width_px=width_px, resize="stretch")
    return Footage(Reading(str(path), scan(str(path), limits), rule, limits))
