"""Zooms into fractals of several kinds and palettes, drawn with numpy from a seed. Knows no file and no model.

Shape suffixes: H rows, W columns, C colour channels.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
_DRAWN_PX = 128  # on the longer side; brought to size afterwards, which is cheap and smooth
_MOST_ROUNDS = 48
_ESCAPED = 16.0

_Step = Callable[[NDArray[np.complex64], NDArray[np.complex64]], NDArray[np.complexfloating[Any, Any]]]
_STEPS: Mapping[str, _Step] = {
    "julia": lambda z, c: z * z + c,
    "mandelbrot": lambda z, c: z * z + c,
    "multibrot": lambda z, c: z * z * z + c,
    "burning ship": lambda z, c: (np.abs(z.real) + 1j * np.abs(z.imag)) ** 2 + c,
    "tricorn": lambda z, c: np.conj(z) ** 2 + c,
}
_PLACES: Mapping[str, tuple[complex, ...]] = {  # where there is something to see however near one looks
    "julia": (-0.8 + 0.156j, -0.4 + 0.6j, 0.285 + 0.01j, -0.7269 + 0.1889j),  # the constant, not the place
    "mandelbrot": (-0.7436 + 0.1318j, -1.25066 + 0.02012j, -0.1011 + 0.9563j, 0.2821 + 0.01j),
    "multibrot": (0.0 + 1.1j, 0.45 + 0.55j, -0.3 + 0.9j, 0.385 + 0.1j),
    "burning ship": (-1.755 - 0.03j, -1.62 - 0.0j, -0.5 - 0.55j, -1.86 - 0.0j),
    "tricorn": (-1.3 + 0.0j, 0.6 + 0.75j, -0.35 + 0.6j, 0.25 + 0.43j),
}
FRACTALS = tuple(_STEPS)


def fractal(kind: str, size: tuple[int, int], num_frames: int, seed: int) -> Iterator[Picture]:
    """pictures_HWC of a zoom; `size` is (width, height), `kind` one of FRACTALS. The seed chooses place and colours."""
    rng = np.random.default_rng([seed, FRACTALS.index(kind)])
    place = _PLACES[kind][int(rng.integers(len(_PLACES[kind])))]
    palette = _palette(rng)
    nearer = float(rng.uniform(0.75, 0.93))  # a frame's width, relative to the one before
    turn = float(rng.uniform(-0.05, 0.05))
    scale = _DRAWN_PX / max(size)
    columns, rows = (max(2, round(side * scale)) for side in size)
    y_H1, x_1W = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j][:, :, :]
    plane = ((x_1W + 1j * y_H1 * rows / columns) * rng.uniform(0.8, 1.6)).astype(np.complex64)
    for number in range(num_frames):
        at = plane * np.complex64(nearer**number * np.exp(1j * turn * number))
        start, constant = (
            (at, np.complex64(place)) if kind == "julia" else (np.zeros_like(at), at + np.complex64(place))
        )
        height = _escape(_STEPS[kind], start, np.broadcast_to(constant, at.shape))
        picture_HWC = palette[(height * (len(palette) - 1)).astype(np.intp)]
        yield np.asarray(Image.fromarray(picture_HWC).resize(size, Image.Resampling.BICUBIC), np.uint8)


def _escape(step: _Step, z: NDArray[np.complex64], c: NDArray[np.complex64]) -> NDArray[np.float64]:
    """In [0, 1]: how soon each place leaves, smoothly; 0 where it never does."""
    z = z.copy()
    height = np.zeros(z.shape)
    inside = np.ones(z.shape, bool)
    for number in range(_MOST_ROUNDS):
        z[inside] = step(z[inside], c[inside])
        gone = inside & (np.abs(z) > _ESCAPED)
        height[gone] = number + 2 - np.log2(np.log2(np.abs(z[gone])))
        inside &= ~gone
        if not inside.any():
            break
    leaving = np.where(inside, np.nan, height)
    if inside.all():
        return np.zeros(z.shape)
    low, high = np.nanmin(leaving), np.nanmax(leaving)
    return np.where(inside, 0.0, (leaving - low) / max(high - low, 1e-6)).clip(0, 1) ** 0.5


def _palette(rng: np.random.Generator) -> Picture:
    """256 colours: waves of random pace and phase, or one colour from dark to bright."""
    along = np.linspace(0, 1, 256)[:, None]
    if rng.uniform() < 0.25:
        return (255 * along * rng.uniform(0.4, 1, 3)).astype(np.uint8)
    waves = 0.5 + 0.5 * np.cos(2 * np.pi * (rng.uniform(0.5, 3, 3) * along + rng.uniform(0, 1, 3)))
    return (255 * waves).astype(np.uint8)
