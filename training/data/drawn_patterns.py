"""Noise, bars, boards, counters, gradients and bouncing shapes, drawn with numpy from a seed. Knows no file, no model.

Shape suffixes: H rows, W columns, C colour channels.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
Pictures = Iterator[Picture]


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue


def _resized(picture_HWC: Picture, size: tuple[int, int], how: Image.Resampling) -> Picture:
    return np.asarray(Image.fromarray(picture_HWC).resize(size, how), np.uint8)


def _blocks(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """Coarse noise, new in each frame."""
    side = int(rng.integers(3, 24))
    how = Image.Resampling.NEAREST if rng.uniform() < 0.5 else Image.Resampling.BICUBIC
    for _ in range(num_frames):
        yield _resized(rng.integers(0, 256, (size[1] // side + 2, size[0] // side + 2, 3), np.uint8), size, how)


def _drifting(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """Noise of several grains that changes slowly, grey or coloured, as clouds do."""
    channels = 3 if rng.uniform() < 0.5 else 1
    grains = rng.choice((4, 8, 16, 32, 64), 3, replace=False).tolist()
    ends = [[rng.normal(0, 1, (size[1] // grain + 2, size[0] // grain + 2, 3)) for _ in range(2)] for grain in grains]
    for number in range(num_frames):
        share = number / num_frames
        total = np.zeros((size[1], size[0], 3))
        for first, last in ends:
            mixed = np.clip(128 + 50 * ((1 - share) * first + share * last), 0, 255).astype(np.uint8)
            total += _resized(mixed, size, Image.Resampling.BICUBIC)
        picture = (total / len(ends))[..., :channels]
        yield np.broadcast_to(np.clip(2 * picture - 128, 0, 255), total.shape).astype(np.uint8)


def _snow(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """A television without a station: grey grain, brighter and darker rows, a band that rolls."""
    strength, grey = rng.uniform(20, 120), rng.uniform(60, 160)
    for number in range(num_frames):
        grain = rng.normal(grey, strength, (size[1], size[0], 1)) + rng.normal(0, strength / 3, (size[1], 1, 1))
        band = np.abs((np.arange(size[1]) - number * 9) % size[1] - size[1] / 2) < size[1] / 12
        yield np.clip(grain + 40 * band[:, None, None], 0, 255).astype(np.uint8).repeat(3, axis=2)


def _salt(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """White and black dots on one colour."""
    colour, share = _colour(rng), rng.uniform(0.02, 0.4)
    for _ in range(num_frames):
        picture = np.full((size[1], size[0], 3), colour, np.uint8)
        drawn = rng.uniform(0, 1, picture.shape[:2])
        picture[drawn < share / 2], picture[drawn > 1 - share / 2] = 0, 255
        yield picture


def _still(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """Noise that stands still."""
    picture = np.clip(rng.normal(128, rng.uniform(20, 90), (size[1], size[0], 3)), 0, 255).astype(np.uint8)
    for _ in range(num_frames):
        yield picture


def _board(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """A chessboard, still or sliding."""
    colours = np.array([_colour(rng), _colour(rng)], np.uint8)
    side, speed = int(rng.integers(8, 60)), rng.integers(-6, 7, 2)
    rows, columns = np.mgrid[: size[1], : size[0]]
    for number in range(num_frames):
        yield colours[((rows + number * speed[0]) // side + (columns + number * speed[1]) // side) % 2]


def _bars(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """Upright or level bars of drawn colours; a line runs across."""
    count = int(rng.integers(4, 13))
    colours = np.array([_colour(rng) for _ in range(count)], np.uint8)
    upright = rng.uniform() < 0.6
    along = np.arange(size[0] if upright else size[1])
    strip = colours[along * count // len(along)]
    for number in range(num_frames):
        picture = np.tile(strip[None], (size[1], 1, 1)) if upright else np.tile(strip[:, None], (1, size[0], 1))
        picture[number * size[1] // num_frames : number * size[1] // num_frames + 4] = 255
        yield picture


def _rings(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """A zone plate: rings that grow finer outwards and move."""
    fine, speed, tint = rng.uniform(0.0005, 0.006), rng.uniform(-1, 1), rng.uniform(0.4, 1, 3)
    rows, columns = np.mgrid[: size[1], : size[0]]
    far = (rows - size[1] * rng.uniform(0.3, 0.7)) ** 2 + (columns - size[0] * rng.uniform(0.3, 0.7)) ** 2
    for number in range(num_frames):
        wave = 0.5 + 0.5 * np.cos(fine * far + speed * number)
        yield (255 * wave[..., None] * tint).astype(np.uint8)


def _gradient(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """From one colour to another across the frame, turning slowly."""
    first, last = np.array(_colour(rng), float), np.array(_colour(rng), float)
    angle, turn = rng.uniform(0, 2 * np.pi), rng.uniform(-0.1, 0.1)
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    for number in range(num_frames):
        share = np.clip(0.5 + 0.35 * (np.cos(angle + turn * number) * x + np.sin(angle + turn * number) * y), 0, 1)
        yield (first + (last - first) * share[..., None]).astype(np.uint8)


def _plain(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """One colour, that fades to another or not, with a camera's grain or none."""
    first, last = np.array(_colour(rng), float), np.array(_colour(rng), float)
    dark, grain = rng.choice((0.05, 0.3, 1.0)), rng.choice((0.0, 0.0, 3.0, 10.0))
    if rng.uniform() < 0.5:
        last = first
    for number in range(num_frames):
        colour = dark * (first + (last - first) * number / num_frames)
        yield np.clip(colour + rng.normal(0, grain, (size[1], size[0], 3)), 0, 255).astype(np.uint8)


def _counter(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """A number in the middle that counts, in a circle that fills."""
    paper, ink, ring = _colour(rng), _colour(rng), _colour(rng)
    font = ImageFont.load_default(size=min(size) // 3)
    first, down = int(rng.integers(0, 100)), rng.uniform() < 0.5
    middle, radius = (size[0] // 2, size[1] // 2), min(size) * 0.4
    box = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
    for number in range(num_frames):
        picture = Image.new("RGB", size, paper)
        draw = ImageDraw.Draw(picture)
        draw.pieslice(box, -90, -90 + 360 * (number % 8 + 1) / 8, fill=ring)
        shown = first - number // 4 if down else first + number // 4
        draw.text(middle, str(abs(shown)), font=font, fill=ink, anchor="mm")
        yield np.asarray(picture, np.uint8)


def _bouncing(size: tuple[int, int], num_frames: int, rng: np.random.Generator) -> Pictures:
    """Discs and boxes that bounce off the frame's edges, on one colour."""
    paper = _colour(rng)
    shapes = [(_colour(rng), rng.uniform(0.05, 0.2) * min(size), rng.uniform(0, 1, 2), rng.uniform(-0.2, 0.2, 2))
              for _ in range(int(rng.integers(1, 7)))]  # fmt: skip
    for number in range(num_frames):
        picture = Image.new("RGB", size, paper)
        draw = ImageDraw.Draw(picture)
        for place, (colour, radius, start, speed) in enumerate(shapes):
            x, y = (1 - np.abs((start + speed * number) % 2 - 1)) * size
            box = (x - radius, y - radius, x + radius, y + radius)
            (draw.ellipse if place % 2 else draw.rectangle)(box, fill=colour)
        yield np.asarray(picture, np.uint8)


_DRAWN: Mapping[str, Callable[[tuple[int, int], int, np.random.Generator], Pictures]] = {
    "blocks": _blocks,
    "drifting": _drifting,
    "snow": _snow,
    "salt": _salt,
    "still noise": _still,
    "board": _board,
    "bars": _bars,
    "rings": _rings,
    "gradient": _gradient,
    "plain": _plain,
    "counter": _counter,
    "bouncing": _bouncing,
}
PATTERNS = tuple(_DRAWN)


def pattern(kind: str, size: tuple[int, int], num_frames: int, seed: int) -> Pictures:
    """pictures_HWC; `size` is (width, height), `kind` one of PATTERNS."""
    return _DRAWN[kind](size, num_frames, np.random.default_rng([seed, PATTERNS.index(kind)]))
