"""All frames of one video, upright and small, as a value and as a file.

Knows no store and no label; decodes through `video`, so that pixels and times are those of inference.
Shape suffixes: T frames, H rows, W columns, C colour channels.
"""

import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from models.recognizer import Frames
from video.clip import ClipRule, VideoLimits
from video.file.decode import decode
from video.file.reading import Reading
from video.file.sampling import PacketFacts, choose, segment_centres
from video.file.scan import scan

MAX_FRAMES = 256  # kept of one video: 35 MB at 160 x 284. Of a longer one, every n-th

PARSING = threading.Lock()
"""Held to read an npy header, which numpy parses as a Python literal: where two threads do that at once, CPython 3.11
now and then fails (SystemError, gh-106905)."""


@dataclass(frozen=True, slots=True)
class Footage:
    """Frames of one video and when they are shown, in ticks of `time_base` seconds from its start; rising."""

    frames_THWC: Frames
    pts: tuple[int, ...]
    is_key: tuple[bool, ...]
    """Decoding can start here: inference prefers such frames where every segment has one."""
    end_pts: int
    time_base: Fraction

    @property
    def pts_s(self) -> tuple[float, ...]:
        return tuple(float(pts * self.time_base) for pts in self.pts)

    @property
    def duration_s(self) -> float:
        return float(self.end_pts * self.time_base)

    def uniform_indices(self, num_frames: int) -> tuple[int, ...]:
        """The frames that inference would take: one for each equal segment (`video.file.sampling.choose`)."""
        facts = [PacketFacts(pts, 0, is_key, True) for pts, is_key in zip(self.pts, self.is_key, strict=True)]
        return choose(facts, 0, self.end_pts, num_frames).targets


def decode_footage(path: Path, short_side_px: int, limits: VideoLimits) -> Footage:
    """Every frame that comes out of the decoder, at most MAX_FRAMES evenly spread ones. Raises VideoError kin."""
    source = decode(str(path), ClipRule(1, 2, 2, "stretch"), limits).info
    ratio = min(Fraction(1), Fraction(short_side_px, min(source.width_px, source.height_px)))
    height_px, width_px = (max(1, round(side * ratio)) for side in (source.height_px, source.width_px))
    track = scan(str(path), limits)
    count = len(track.packets)
    if track.has_times:
        shown = sorted({packet.pts for packet in track.packets if packet.is_shown and packet.pts is not None})
        centres, scale = shown[:: -(-len(shown) // MAX_FRAMES)], 1
    else:
        count = min(count, MAX_FRAMES)
        centres, scale = segment_centres(track.start_pts, track.end_pts, count), 2 * count
    rule = ClipRule(len(centres), height_px, width_px, "stretch", short_side_px)
    _, found = Reading(str(path), track, rule, limits).everything(centres, scale, range(len(centres)))
    shots = {shot.pts: shot for shot in found.values()}
    keys = {packet.pts for packet in track.packets if packet.is_key} if track.has_times else set()
    return Footage(
        frames_THWC=np.stack([shot.frame_HWC for shot in shots.values()]),
        pts=tuple(pts - track.start_pts for pts in shots),
        is_key=tuple(pts in keys for pts in shots),
        end_pts=track.end_pts - track.start_pts,
        time_base=track.time_base,
    )


def write_footage(footage: Footage, file: BinaryIO) -> None:
    """Two npy arrays in one file, the frames last, so that they can be mapped."""
    facts = (footage.end_pts, footage.time_base.numerator, footage.time_base.denominator)
    np.save(file, np.array([*facts, *footage.pts, *footage.is_key], np.int64))
    np.save(file, footage.frames_THWC)


def read_footage(path: Path) -> Footage:
    """The frames are a read-only map of the file."""
    with PARSING, path.open("rb") as file:
        facts: list[int] = np.load(file).tolist()
        assert npy.read_magic(file) == (1, 0)
        shape, _, dtype = npy.read_array_header_1_0(file)
        frames_THWC: NDArray[np.uint8] = np.memmap(path, dtype, "r", file.tell(), shape)
    end_pts, numerator, denominator = facts[:3]
    pts, is_key = facts[3 : 3 + len(frames_THWC)], facts[3 + len(frames_THWC) :]
    return Footage(frames_THWC, tuple(pts), tuple(map(bool, is_key)), end_pts, Fraction(numerator, denominator))
