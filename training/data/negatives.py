"""Footage of nothing that anybody would train on, made here: what a model should say it does not know.

Five kinds: black, test patterns, noise, a zoom into a fractal, a screen recording; a few variants of each, as H.264
files, so that they are decoded like any other video. Knows no model. The same for the same variant.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import av
import numpy as np
from av.filter import Graph
from av.filter.context import FilterContext
from PIL import Image, ImageDraw, ImageFont

Kind: TypeAlias = Literal["black", "test_pattern", "noise", "fractal", "screen"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FPS = 8
NUM_FRAMES = 24  # three seconds: a glance looks at eight or so of them
SIZES = ((320, 240), (426, 240), (240, 320))  # 4:3, 16:9, upright

# Sources of libavfilter, each with the filters behind it: "source=options,filter=options". Those that begin at random
# are given a seed: from another start the same triangles are other footage.
_BLACK = ("color=c=black", "color=c=0x101010", "color=c=black,noise=alls=6:allf=t", "color=c=0x000020")
_PATTERNS = (
    "testsrc",
    "smptebars",
    "testsrc2",
    "smptehdbars",
    "rgbtestsrc",
    "pal100bars",
    "yuvtestsrc",
    "colorspectrum",
)
_NOISE = (
    "color=c=gray,noise=alls=100:allf=t",
    "color=c=gray,noise=alls=100:allf=t+u",
    "nullsrc,geq=lum='random(1)*255':cb='random(2)*255':cr='random(3)*255'",
    "nullsrc,geq=lum='random(1)*255':cb=128:cr=128",
    "color=c=0x404040,noise=alls=60:allf=t",
    "perlin=random_mode=seed:random_seed=1",
)
_FRACTALS = (
    "mandelbrot=maxiter=400:end_scale=0.01:end_pts=30",
    "mandelbrot=maxiter=400:start_scale=0.5:end_scale=0.001:end_pts=40:start_x=-0.7436:start_y=-0.1318",
    "mandelbrot=maxiter=400:inner=mincol:end_scale=0.02:end_pts=30:start_x=-1.25:start_y=-0.02",
    "sierpinski=type=carpet:seed=1",
    "mandelbrot=maxiter=400:start_scale=0.05:end_scale=0.0003:end_pts=60:start_x=-0.1011:start_y=-0.9563",
    "sierpinski=type=triangle:seed=1",
)
_NUM_SCREENS = 6
_SOURCES: dict[str, tuple[str, ...]] = {
    "black": _BLACK,
    "test_pattern": _PATTERNS,
    "noise": _NOISE,
    "fractal": _FRACTALS,
}


@dataclass(frozen=True, slots=True)
class Negative:
    path: Path
    kind: Kind


def num_variants(kind: Kind) -> int:
    return _NUM_SCREENS if kind == "screen" else len(_SOURCES[kind])


def make_negatives(folder: Path) -> list[Negative]:
    """Every variant of every kind as a file in `folder`, where it does not lie there yet."""
    return [make_negative(folder, kind, variant) for kind in KINDS for variant in range(num_variants(kind))]


def make_negative(folder: Path, kind: Kind, variant: int) -> Negative:
    """One of them; the file appears whole or not at all."""
    path = folder / f"{kind}_{variant}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        size = SIZES[variant % len(SIZES)]
        frames = _screen(variant, size) if kind == "screen" else _filtered(_SOURCES[kind][variant], size)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
            _write(Path(scratch, path.name), frames, size)
            Path(scratch, path.name).replace(path)
    return Negative(path, kind)


def _filtered(chain: str, size: tuple[int, int]) -> Iterator[av.VideoFrame]:
    graph = Graph()
    steps: list[FilterContext] = []
    for step in chain.split(","):
        name, _, options = step.partition("=")
        if not steps:
            options = ":".join(filter(None, (options, f"size={size[0]}x{size[1]}", f"rate={FPS}")))
        steps.append(graph.add(name, options or None))
    steps.append(graph.add("format", "yuv420p"))
    steps.append(graph.add("buffersink"))
    for before, after in pairwise(steps):
        before.link_to(after)
    graph.configure()
    for _ in range(NUM_FRAMES):
        yield graph.vpull()


def _screen(variant: int, size: tuple[int, int]) -> Iterator[av.VideoFrame]:
    """Windows of text on a desktop; a page scrolls, a line is typed, the pointer moves."""
    rng = np.random.default_rng(variant)
    dark = variant % 2 == 1
    desktop = tuple(int(value) for value in rng.integers(20, 160, 3))
    paper, ink = ((30, 30, 34), (212, 212, 212)) if dark else ((252, 252, 252), (32, 32, 32))
    accents = [tuple(int(value) for value in rng.integers(60, 230, 3)) for _ in range(4)]
    # Drawn larger and brought down: real screens are read from afar.
    width, height = size[0] * 3 // 2, size[1] * 3 // 2
    left, top = int(width * rng.uniform(0, 0.25)), int(height * rng.uniform(0, 0.2))
    right, bottom = int(width * rng.uniform(0.8, 1)), int(height * rng.uniform(0.8, 1))
    size_px = int(rng.integers(11, 19))
    font = ImageFont.load_default(size=size_px)
    lines = [_words(rng) for _ in range(60)]
    step_px, speed_px = int(size_px * 1.5), int(rng.integers(0, 17))
    start_xy, end_xy = rng.uniform(0, 1, 2), rng.uniform(0, 1, 2)
    for number in range(NUM_FRAMES):
        picture = Image.new("RGB", (width, height), desktop)
        draw = ImageDraw.Draw(picture)
        draw.rectangle((left, top, right, bottom), fill=paper)
        scrolled_px = number * speed_px
        for place, line in enumerate(lines):
            y = top + 34 + place * step_px - scrolled_px
            if top < y < bottom - step_px:
                colour = accents[place % 4] if place % 5 == 0 else ink
                draw.text((left + 12 + 18 * (place % 3), y), line, font=font, fill=colour)
        draw.rectangle((left, top, right, top + 26), fill=accents[0])
        draw.text((left + 10, top + 5), lines[0][:30], font=font, fill=paper)
        draw.rectangle((0, height - 30, width, height), fill=accents[1])
        for place in range(5):
            draw.rectangle((10 + place * 44, height - 26, 40 + place * 44, height - 4), fill=accents[place % 4])
        typed = lines[1][: number // 2]
        draw.text((left + 12, bottom - step_px), typed + "|" * (number % 2), font=font, fill=ink)
        x, y = (start_xy + (end_xy - start_xy) * number / NUM_FRAMES) * (width, height)
        draw.polygon([(x, y), (x, y + 20), (x + 6, y + 15), (x + 14, y + 14)], fill=(255, 255, 255), outline=(0, 0, 0))
        shown_HWC = np.asarray(picture.resize(size, Image.Resampling.BOX), np.uint8)
        yield av.VideoFrame.from_ndarray(shown_HWC, format="rgb24")


def _words(rng: np.random.Generator) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz(){}=.:_"
    return " ".join(
        "".join(letters[i] for i in rng.integers(0, len(letters), int(rng.integers(2, 10))))
        for _ in range(int(rng.integers(1, 12)))
    )


def _write(path: Path, frames: Iterator[av.VideoFrame], size: tuple[int, int]) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"crf": "23", "preset": "veryfast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number, frame in enumerate(frames):
            fitting = frame.reformat(width=size[0], height=size[1], format="yuv420p")
            fitting.pts, fitting.time_base = number, Fraction(1, FPS)
            file.mux(stream.encode(fitting))
        file.mux(stream.encode(None))
