"""Footage of nothing that anybody would train on, made here: what a model should say it does not know.

Five kinds: black and other plain colours, test patterns, noise, zooms into fractals, screen recordings. Each kind comes
from several generators, a few clips of each, as H.264 files, so that they are decoded like any other video. Some
generators are for measuring alone: a score is worth what it says of footage of a generator that it was not fitted on.
Knows no model. The same for the same seed.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import av
from av.filter import Graph
from av.filter.context import FilterContext

from training.data.drawn_fractals import FRACTALS, fractal
from training.data.drawn_patterns import pattern
from training.data.drawn_screens import SCREENS, screen

Kind: TypeAlias = Literal["black", "test_pattern", "noise", "fractal", "screen"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FPS = 8
NUM_FRAMES = 24  # three seconds: a glance looks at eight or so of them
SIZES = ((320, 240), (426, 240), (240, 320))  # 4:3, 16:9, upright


@dataclass(frozen=True, slots=True)
class Generator:
    """`chains`: sources of libavfilter, each with the filters behind it, "source=options,filter=options"; those that
    begin at random are given a seed. Without them `name` is drawn by numpy or Pillow, `drawn` clips of it."""

    kind: Kind
    name: str
    chains: tuple[str, ...] = ()
    drawn: int = 0
    measures: bool = False
    """Never fitted on: what the score is measured by."""


_ZOOM = "mandelbrot=maxiter=400"
GENERATORS = (
    Generator("black", "colour", ("color=c=black", "color=c=0x101010", "color=c=0x000020", "color=c=gray")),
    Generator("black", "grain", ("color=c=black,noise=alls=6:allf=t", "color=c=0x202020,noise=alls=12:allf=t")),
    Generator("black", "plain", drawn=5),
    Generator("black", "gradient", drawn=4),
    Generator("black", "white", ("color=c=white", "color=c=0xe0e0e0,noise=alls=5:allf=t"), measures=True),
    Generator(
        "black",
        "gradients",
        (
            "gradients=seed=1:nb_colors=3:c0=red:c1=navy:c2=olive:x0=20:y0=20:x1=200:y1=180",
            "gradients=seed=2:speed=0.05:c0=teal:c1=orange:x0=10:y0=100:x1=230:y1=60",
        ),
        measures=True,
    ),
    Generator("test_pattern", "testsrc", ("testsrc", "testsrc=decimals=2,negate")),
    Generator("test_pattern", "smpte", ("smptebars", "smptehdbars")),
    Generator("test_pattern", "components", ("rgbtestsrc", "yuvtestsrc", "colorspectrum")),
    Generator("test_pattern", "board", drawn=3),
    Generator("test_pattern", "bars", drawn=4),
    Generator("test_pattern", "counter", drawn=4),
    Generator("test_pattern", "bouncing", drawn=4),
    Generator("test_pattern", "testsrc2", ("testsrc2", "testsrc2,hue=h=90"), measures=True),
    Generator("test_pattern", "pal", ("pal75bars", "pal100bars"), measures=True),
    Generator("test_pattern", "rings", drawn=3, measures=True),
    Generator(
        "noise",
        "frames",
        (
            "color=c=gray,noise=alls=100:allf=t",
            "color=c=gray,noise=alls=100:allf=t+u",
            "color=c=0x404040,noise=alls=60:allf=t",
        ),
    ),
    Generator(
        "noise",
        "pixels",
        (
            "nullsrc,geq=lum='random(1)*255':cb='random(2)*255':cr='random(3)*255'",
            "nullsrc,geq=lum='random(1)*255':cb=128:cr=128",
        ),
    ),
    Generator("noise", "blocks", drawn=4),
    Generator("noise", "drifting", drawn=4),
    Generator("noise", "salt", drawn=3),
    Generator("noise", "still noise", drawn=2),
    Generator("noise", "snow", drawn=3, measures=True),
    Generator("noise", "perlin", ("perlin=random_mode=seed:random_seed=1",), measures=True),
    Generator("noise", "life", ("life=seed=3:ratio=0.3:mold=10:life_color=white",), measures=True),
    Generator(
        "fractal",
        "zoom",
        (
            f"{_ZOOM}:end_scale=0.01:end_pts=30",
            f"{_ZOOM}:start_scale=0.5:end_scale=0.001:end_pts=40:start_x=-0.7436:start_y=-0.1318",
            f"{_ZOOM}:start_scale=0.1:end_scale=0.001:end_pts=60:start_x=-0.235125:start_y=-0.827215",
        ),
    ),
    Generator(
        "fractal",
        "zoom, other colours",
        (
            f"{_ZOOM}:inner=mincol:end_scale=0.02:end_pts=30:start_x=-1.25:start_y=-0.02",
            f"{_ZOOM}:inner=period:outer=iteration_count:end_scale=0.02:end_pts=40:start_x=-0.75:start_y=0.1",
            f"{_ZOOM}:inner=convergence:outer=white:end_scale=0.02:end_pts=40:start_x=0.28:start_y=0.01,hue=h=120",
        ),
    ),
    *(Generator("fractal", name, drawn=4, measures=name in {"julia", "burning ship"}) for name in FRACTALS),
    Generator("fractal", "carpet", ("sierpinski=type=carpet:seed=1", "sierpinski=type=carpet:seed=2:jump=10")),
    Generator("fractal", "triangle", ("sierpinski=type=triangle:seed=1",), measures=True),
    Generator(
        "fractal",
        "deep zoom",
        (
            f"{_ZOOM}:start_scale=0.05:end_scale=0.0003:end_pts=60:start_x=-0.1011:start_y=-0.9563",
            f"{_ZOOM}:outer=normalized_iteration_count:start_scale=0.02:end_scale=0.0001:end_pts=60:start_x=-1.7687"
            ":start_y=0.0017",
        ),
        measures=True,
    ),
    *(Generator("screen", name, drawn=4, measures=name in {"slides", "messages"}) for name in SCREENS),
)


@dataclass(frozen=True, slots=True)
class Negative:
    path: Path
    kind: Kind
    generator: str
    measures: bool


def make_negatives(folder: Path) -> list[Negative]:
    """Every clip of every generator as a file in `folder`, where it does not lie there yet."""
    return [
        make_negative(folder, generator, number)
        for generator in GENERATORS
        for number in range(generator.drawn or len(generator.chains))
    ]


def make_negative(folder: Path, generator: Generator, number: int) -> Negative:
    """One of them; the file appears whole or not at all."""
    path = folder / f"{generator.kind}_{generator.name.replace(' ', '-').replace(',', '')}_{number}.mp4"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        size = SIZES[number % len(SIZES)]
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
            _write(Path(scratch, path.name), _frames(generator, number, size), size)
            Path(scratch, path.name).replace(path)
    return Negative(path, generator.kind, generator.name, generator.measures)


def _frames(generator: Generator, number: int, size: tuple[int, int]) -> Iterator[av.VideoFrame]:
    if generator.chains:
        yield from _filtered(generator.chains[number], size)
        return
    draw = {"fractal": fractal, "screen": screen}.get(generator.kind, pattern)
    for picture_HWC in draw(generator.name, size, NUM_FRAMES, number):
        yield av.VideoFrame.from_ndarray(picture_HWC, format="rgb24")


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


def _write(path: Path, frames: Iterator[av.VideoFrame], size: tuple[int, int]) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=FPS, options={"crf": "23", "preset": "veryfast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number, frame in enumerate(frames):
            fitting = frame.reformat(width=size[0], height=size[1], format="yuv420p")
            fitting.pts, fitting.time_base = number, Fraction(1, FPS)
            file.mux(stream.encode(fitting))
        file.mux(stream.encode(None))
