"""Clips whose label hangs on a small thing, somewhere in a large frame, for a few frames: seeded, as many as one likes.

Knows no network. The needle is a square that shows for four of eight frames. Its stripes, one pixel wide, run
across, down, or both ways: that is the label, and whoever shrinks the frame by two sees a plain grey square instead: so
a glance can know where and when to look, but not what is there. In an easy clip the square is larger and its stripes
broad enough for the glance. Some hard clips hold a decoy, too: a square that is plain at any size, so that one cube in
two is wasted on it. A disc that is larger, faster, there in every frame, and whose pattern flickers at the contrast of
the stripes, draws whoever follows motion.

Shape suffixes: N clips, T frames, H rows, W columns, C colours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import overload

import numpy as np
from numpy.typing import NDArray

CLASSES = ("across", "down", "both")
NUM_FRAMES, HEIGHT_PX, WIDTH_PX = 8, 256, 320
NEEDLE_PX, EASY_PX, EASY_STRIPE_PX = 32, 48, 12
SHOWN_FRAMES = 4
DISC_RADIUS_PX, DISC_BLOCK_PX = 26, 4
EASY_SHARE, DECOY_SHARE = 0.25, 0.25  # decoys: of the hard clips
_GREY, _CONTRAST = 128, 75
_TINT = np.array([48, 0, -48])  # of needle and decoy; no stripe leaves 0..255, so that their mean is the decoy's grey
_DISC = np.array([(10, 30, 60), (130, 190, 250)], np.uint8)  # dark, bright


@dataclass(frozen=True, slots=True, eq=False)
class Needles:
    """Clips as uint8 frames, and what was put into them. Centres are in pixels, at the middle of the time shown."""

    clips_NTHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    easy_N: NDArray[np.bool_]
    decoy_N: NDArray[np.bool_]
    centres_N3: NDArray[np.float64]
    """Of the needle: frame, row, column."""


def make_needles(count: int, seed: int) -> Needles:
    """The same for the same (count, seed); classes, easy clips and decoys are mixed independently."""
    rng = np.random.default_rng(seed)
    clips = np.empty((count, NUM_FRAMES, HEIGHT_PX, WIDTH_PX, 3), np.uint8)
    labels, easy = rng.integers(len(CLASSES), size=count), rng.random(count) < EASY_SHARE
    decoy = ~easy & (rng.random(count) < DECOY_SHARE)
    centres = np.empty((count, 3))
    for i in range(count):
        clips[i] = _background(rng)
        _draw_disc(clips[i], rng)
        size_px = EASY_PX if easy[i] else NEEDLE_PX
        stripe_px = EASY_STRIPE_PX if easy[i] else 1
        path = _Path.drawn(size_px, rng)
        if decoy[i]:
            other = _Path.drawn(size_px, rng)
            while np.abs(other.centre_3[1:] - path.centre_3[1:]).max() < 96:
                other = _Path.drawn(size_px, rng)
            _draw_square(clips[i], other, np.full((size_px, size_px), _GREY))
        _draw_square(clips[i], path, _stripes(CLASSES[labels[i]], size_px, stripe_px))
        centres[i] = path.centre_3
    return Needles(clips, labels.astype(np.int64), easy, decoy, centres)


CHUNK = 40  # clips made at a time


class NeedleClips(Sequence[NDArray[np.uint8]]):
    """Clips of a seed, made when they are asked for: 2 MB each, so only one chunk is kept."""

    def __init__(self, seed: int, numbers: range) -> None:
        self._seed = seed
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, which: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, which: slice) -> "NeedleClips": ...
    def __getitem__(self, which: int | slice) -> "NDArray[np.uint8] | NeedleClips":
        if isinstance(which, slice):
            return NeedleClips(self._seed, self._numbers[which])
        number = self._numbers[which]
        clip: NDArray[np.uint8] = needle_chunk(self._seed, number // CHUNK).clips_NTHWC[number % CHUNK]
        return clip


@lru_cache(maxsize=1)
def needle_chunk(seed: int, number: int) -> Needles:
    """`CHUNK` clips, the same for the same (seed, number)."""
    return make_needles(CHUNK, 1000 * seed + number)


@dataclass(frozen=True, slots=True, eq=False)
class _Path:
    """Where a square shows: its upper left corner in each of its frames."""

    size_px: int
    first_frame: int
    corners_T2: NDArray[np.int64]

    @classmethod
    def drawn(cls, size_px: int, rng: np.random.Generator) -> "_Path":
        """All in steps of two pixels: off that grid the square's edges would tell the glance how the stripes begin."""
        room, speed = np.array([HEIGHT_PX, WIDTH_PX]) // 2 - size_px // 2, rng.integers(-1, 2, size=2)
        start = rng.integers(np.maximum(0, -speed * SHOWN_FRAMES), room - np.maximum(0, speed * SHOWN_FRAMES) + 1)
        first_frame = int(rng.integers(NUM_FRAMES - SHOWN_FRAMES + 1))
        return cls(size_px, first_frame, 2 * (start + np.arange(SHOWN_FRAMES)[:, None] * speed))

    @property
    def centre_3(self) -> NDArray[np.float64]:
        middle = self.corners_T2.mean(axis=0) + self.size_px / 2
        return np.array([self.first_frame + SHOWN_FRAMES / 2, *middle])


def _background(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blotches that stand still under a little noise."""
    coarse = rng.integers(50, 130, size=(HEIGHT_PX // 32 + 1, WIDTH_PX // 32 + 1, 3)).astype(np.float32)
    for axis, length in ((0, HEIGHT_PX), (1, WIDTH_PX)):
        place = np.arange(length) / 32
        low = place.astype(int)
        weight = (place - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1)).astype(np.float32)
        coarse = coarse.take(low, axis) * (1 - weight) + coarse.take(low + 1, axis) * weight
    noise = rng.integers(-4, 5, size=(NUM_FRAMES, HEIGHT_PX, WIDTH_PX, 1), dtype=np.int8)
    return (coarse.astype(np.int16) + noise).astype(np.uint8)


def _stripes(kind: str, size_px: int, stripe_px: int) -> NDArray[np.int64]:
    """Rows and columns alternate in such a way that their mean over 2 x 2 pixels is grey whatever the phase."""
    alternate = (np.arange(size_px) // stripe_px) % 2
    pattern = {
        "across": alternate[:, None] + 0 * alternate,
        "down": alternate + 0 * alternate[:, None],
        "both": alternate[:, None] ^ alternate,
    }[kind]
    return _GREY + _CONTRAST * (2 * pattern - 1)


def _draw_square(clip_THWC: NDArray[np.uint8], path: _Path, pattern_HW: NDArray[np.int64]) -> None:
    coloured = np.clip(pattern_HW[..., None] + _TINT, 0, 255).astype(np.uint8)
    for step, (y, x) in enumerate(path.corners_T2):
        clip_THWC[path.first_frame + step, y : y + path.size_px, x : x + path.size_px] = coloured


def _draw_disc(clip_THWC: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Blocks of dark and bright, drawn anew in every frame; quick, there all the time; it turns back at the edges."""
    room = np.array([HEIGHT_PX, WIDTH_PX]) - 2 * DISC_RADIUS_PX
    angle, start = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1, 2) * room
    way = start + rng.uniform(10, 14) * np.array([np.sin(angle), np.cos(angle)]) * np.arange(NUM_FRAMES)[:, None]
    folded = np.abs((way + room) % (2 * room) - room)  # a triangle wave
    rows, columns = np.ogrid[:HEIGHT_PX, :WIDTH_PX]
    for frame, (y, x) in zip(clip_THWC, folded + DISC_RADIUS_PX, strict=True):
        blocks = rng.integers(0, 2, size=(HEIGHT_PX // DISC_BLOCK_PX, WIDTH_PX // DISC_BLOCK_PX))
        bright_HW = blocks.repeat(DISC_BLOCK_PX, axis=0).repeat(DISC_BLOCK_PX, axis=1)
        inside_HW = (rows - y) ** 2 + (columns - x) ** 2 < DISC_RADIUS_PX**2
        frame[inside_HW] = _DISC[bright_HW[inside_HW]]
