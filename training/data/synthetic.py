"""A small synthetic task, "which way does the square move", drawn with numpy from a seed.

Knows no model and no file. It exists so that a model nobody trained can be calibrated on something honest.

Shape suffixes: T frames, H rows, W columns, C colour channels.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.recognizer import Frames
from video.clip import ClipRule

TASK = "synthetic-motion"
LABELS = ("left", "right", "up", "down")
_DIRECTIONS_YX = ((0, -1), (0, 1), (-1, 0), (1, 0))


def synthetic_clips(clip_rule: ClipRule, num_clips: int, seed: int) -> Iterator[tuple[Frames, int]]:
    """Pairs of (frames_THWC, label), each label as often as the next. Clip i depends on (seed, i) alone."""
    for i in range(num_clips):
        label = i % len(LABELS)
        yield _draw(clip_rule, label, np.random.default_rng([seed, i])), label


def _draw(clip_rule: ClipRule, label: int, rng: np.random.Generator) -> Frames:
    """A square of one colour crosses a blotchy still background; size, speed, colours and noise vary."""
    height, width = clip_rule.height_px, clip_rule.width_px
    side = int(min(height, width) * rng.uniform(0.15, 0.35))
    blotches = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3))
    contrast = rng.uniform(0.1, 1.0)
    background = np.kron(blotches, np.ones((16, 16, 1)))[:height, :width] * contrast
    colour = rng.integers(0, 256, 3)
    noise = rng.uniform(0, 20)
    direction = np.array(_DIRECTIONS_YX[label])
    room = np.array([height - side, width - side])
    middle = room * rng.uniform(0.3, 0.7, 2)
    reach = room * rng.uniform(0.3, 0.8)
    frames: NDArray[np.uint8] = np.empty((clip_rule.num_frames, height, width, 3), np.uint8)
    for t in range(clip_rule.num_frames):
        y, x = np.clip(middle + direction * reach * (t / max(clip_rule.num_frames - 1, 1) - 0.5), 0, room).astype(int)
        picture = background.copy()
        picture[y : y + side, x : x + side] = colour
        frames[t] = np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255)
    return frames
