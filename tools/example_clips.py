"""Draws the clips that the page offers: `python -m tools.example_clips [FOLDER]`. FOLDER: service/web/clips.

Nobody was filmed: figures of lines and discs move through scenes of plain colour. Each clip has a poster beside it.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image, ImageDraw

Point = tuple[float, float]
Scene = Callable[[ImageDraw.ImageDraw, float], None]

WIDTH, HEIGHT, RATE, SECONDS = 320, 240, 15, 4.0
FINE = 3  # drawn so much larger, then made smaller: smooth edges


@dataclass(frozen=True)
class Figure:
    """Somebody in side view, `facing` 1 to the right or -1 to the left; lengths are shares of `tall`, in pixels."""

    tall: float
    facing: int
    skin: str
    shirt: str
    trousers: str

    def draw(
        self, pen: ImageDraw.ImageDraw, foot: Point, *, stride: float, near: Point, far: Point, lean: float = 0.0
    ) -> Point:
        """`foot`: where it stands; `stride`: how far the legs are apart, in [-1, 1]; `near`, `far`: the hands, from the
        shoulder forward and up. Gives the place of the near hand."""
        one = self.tall

        def at(forward: float, up: float) -> Point:
            return foot[0] + self.facing * one * (forward + lean * up), foot[1] - one * up

        hip, neck = at(0, 0.5), at(0, 0.82)
        self._leg(pen, hip, at(-0.16 * stride, 0.0), shade(self.trousers, 0.75))
        self._arm(pen, neck, self._hand(neck, far), shade(self.shirt, 0.75))
        self._leg(pen, hip, at(0.16 * stride, 0.0), self.trousers)
        limb(pen, [hip, neck], 0.19 * one, self.shirt)
        disc(pen, at(0.02, 0.92), 0.075 * one, self.skin)
        disc(pen, at(-0.01, 0.95), 0.07 * one, "#3a2a20")
        disc(pen, at(0.03, 0.915), 0.062 * one, self.skin)
        hand = self._hand(neck, near)
        self._arm(pen, neck, hand, self.shirt)
        return hand

    def _hand(self, neck: Point, way: Point) -> Point:
        return neck[0] + self.facing * self.tall * way[0], neck[1] + self.tall * (0.03 - way[1])

    def _leg(self, pen: ImageDraw.ImageDraw, hip: Point, foot: Point, colour: str) -> None:
        knee = bend(hip, foot, 0.25 * self.tall, self.facing)
        limb(pen, [hip, knee, foot], 0.1 * self.tall, colour)
        limb(pen, [foot, (foot[0] + self.facing * 0.07 * self.tall, foot[1])], 0.055 * self.tall, "#2b2b2b")

    def _arm(self, pen: ImageDraw.ImageDraw, neck: Point, hand: Point, colour: str) -> None:
        shoulder = (neck[0], neck[1] + 0.03 * self.tall)
        elbow = bend(shoulder, hand, 0.19 * self.tall, -self.facing)
        limb(pen, [shoulder, elbow], 0.08 * self.tall, colour)
        limb(pen, [elbow, hand], 0.055 * self.tall, self.skin)
        disc(pen, hand, 0.035 * self.tall, self.skin)


def bend(start: Point, end: Point, part: float, side: int) -> Point:
    """The joint between two parts of that length; on the line where they are too short for it."""
    along_x, along_y = end[0] - start[0], end[1] - start[1]
    distance = math.hypot(along_x, along_y) or 1.0
    out = math.sqrt(max(part**2 - (distance / 2) ** 2, 0.0))
    return (
        (start[0] + end[0]) / 2 + side * out * along_y / distance,
        (start[1] + end[1]) / 2 - side * out * along_x / distance,
    )


def limb(pen: ImageDraw.ImageDraw, points: list[Point], thick: float, colour: str) -> None:
    scaled = [(x * FINE, y * FINE) for x, y in points]
    pen.line(scaled, fill=colour, width=round(thick * FINE), joint="curve")
    for point in points:
        disc(pen, point, thick / 2, colour)


def disc(pen: ImageDraw.ImageDraw, middle: Point, radius: float, colour: str, flat: float = 1.0) -> None:
    x, y, r = middle[0] * FINE, middle[1] * FINE, radius * FINE
    pen.ellipse((x - r, y - r * flat, x + r, y + r * flat), fill=colour)


def shade(colour: str, share: float) -> str:
    return "#" + "".join(f"{round(int(colour[i : i + 2], 16) * share):02x}" for i in (1, 3, 5))


def ground(pen: ImageDraw.ImageDraw, horizon: float, above: str, below: str) -> None:
    for y in range(HEIGHT):
        up = y < horizon
        share = 0.86 + 0.14 * (y / horizon if up else (y - horizon) / (HEIGHT - horizon))
        pen.rectangle((0, y * FINE, WIDTH * FINE, (y + 1) * FINE), fill=shade(above if up else below, share))


def mix(first: Point, second: Point, share: float) -> Point:
    share = min(max(share, 0.0), 1.0)
    share = share * share * (3 - 2 * share)
    return first[0] + (second[0] - first[0]) * share, first[1] + (second[1] - first[1]) * share


LEFT = Figure(140, 1, "#d8a47f", "#3c6fb4", "#39424f")
RIGHT = Figure(135, -1, "#9c6b4a", "#b5483c", "#5b5146")
PLAYER = Figure(160, 1, "#d8a47f", "#f2f2ee", "#2f4a7a")


def handshake(pen: ImageDraw.ImageDraw, time_s: float) -> None:
    """Two figures walk up to each other on a meadow and shake hands: in small steps, since long ones made a kick of it
    for the models of 0.1.0."""
    ground(pen, 120, "#b9c4a8", "#6f8f55")
    met = mix((0, 0), (1, 0), time_s / 1.4)[0]
    walking = 0.4 * (1 - met) * math.sin(time_s * 9)
    reach = mix((0, 0), (1, 0), (time_s - 1.1) / 0.5)[0] * (1 - mix((0, 0), (1, 0), (time_s - 3.4) / 0.4)[0])
    shake = reach * 0.03 * math.sin(time_s * 14)
    down, out = (0.04, -0.36), (0.285, -0.12 + shake)
    for one, start, stop in ((LEFT, 49.0, 119.0), (RIGHT, 271.0, 201.0)):
        foot = (start + (stop - start) * met, 214.0)
        disc(pen, (foot[0], foot[1] + 3), 28, "#5d7a47", 0.18)
        swing = (0.12 * walking, -0.35)
        near = mix(mix(swing, down, met), out, reach)
        one.draw(pen, foot, stride=walking, near=near, far=(-0.12 * walking, -0.35), lean=0.03 * reach)


def serve(pen: ImageDraw.ImageDraw, time_s: float) -> None:
    """A figure throws a ball up and hits it with a racket."""
    ground(pen, 118, "#4f7d5c", "#3f78a8")
    limb(pen, [(0, 205), (320, 178)], 3, "#e9eef2")
    limb(pen, [(230, 118), (230, 84)], 3, "#30414e")
    pen.rectangle((230 * FINE, 88 * FINE, 320 * FINE, 118 * FINE), fill="#5c6f7c")
    pen.rectangle((230 * FINE, 86 * FINE, 320 * FINE, 90 * FINE), fill="#f4f4f4")
    foot = (118.0, 214.0)
    disc(pen, (foot[0] + 6, foot[1] + 3), 34, "#33648d", 0.18)
    toss, back, hit = (time_s - 0.5) / 0.6, (time_s - 0.6) / 0.7, (time_s - 1.65) / 0.28
    after = (time_s - 2.1) / 0.5
    far = mix(mix(mix((0.18, -0.22), (0.1, 0.36), toss), (0.02, -0.25), hit), (-0.05, -0.33), after)
    near = mix(mix(mix((0.16, -0.26), (-0.2, 0.06), back), (0.12, 0.34), hit), (0.2, -0.3), after)
    lean = mix((-0.02, 0), (0.1, 0), hit)[0]
    hand = PLAYER.draw(pen, foot, stride=0.9, near=near, far=far, lean=lean)
    turn = mix(mix(mix((30, 0), (215, 0), back), (70, 0), hit), (-60, 0), after)[0]
    way = (math.cos(math.radians(turn)), -math.sin(math.radians(turn)))
    tip = (hand[0] + way[0] * 36, hand[1] + way[1] * 36)
    limb(pen, [hand, (hand[0] + way[0] * 18, hand[1] + way[1] * 18)], 3.5, "#2a2a2a")
    disc(pen, tip, 15, "#2a2a2a", 1.0)
    disc(pen, tip, 12, "#d9dccb", 1.0)
    disc(pen, ball_of(time_s), 4.5, "#dff24a")


def ball_of(time_s: float) -> Point:
    if time_s < 0.9:
        return mix((152.0, 120.0), (140.0, 38.0), (time_s - 0.5) / 0.6)
    if time_s < 1.8:
        rise = (time_s - 0.9) / 0.9
        return 140.0 + 8 * rise, 44.0 - 60 * rise * (1 - rise)
    return 148.0 + 420 * (time_s - 1.8), 44.0 + 170 * (time_s - 1.8)


def ball(pen: ImageDraw.ImageDraw, time_s: float) -> None:
    """A ball bounces across a meadow: nobody is there."""
    ground(pen, 150, "#a8d4f2", "#6fae62")
    along = time_s / SECONDS
    x, floor, radius = 30 + 260 * along, 214.0, 22.0
    y = floor - radius - abs(math.sin(along * 3 * math.pi)) * 140 * (1 - 0.5 * along)
    disc(pen, (x, floor), 24, "#578f4d", 0.25)
    disc(pen, (x, y), radius, "#e2602c")
    disc(pen, (x - 7, y - 8), 7, "#f0a27f")


SCENES: dict[str, tuple[Scene, float]] = {"handshake": (handshake, 2.4), "serve": (serve, 1.35), "ball": (ball, 0.9)}
"""By name: what is drawn, and the second that the poster shows."""


def picture(scene: Scene, time_s: float) -> Image.Image:
    large = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE))
    scene(ImageDraw.Draw(large), time_s)
    return large.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def write_clips(folder: Path) -> list[Path]:
    """A video and a poster for each scene."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (scene, poster_s) in SCENES.items():
        path = folder / f"{name}.mp4"
        _write(path, scene)
        poster = folder / f"{name}.webp"
        picture(scene, poster_s).resize((160, 120), Image.Resampling.LANCZOS).save(poster, quality=60, method=6)
        written += [path, poster]
    return written


def _write(path: Path, scene: Scene) -> None:
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "27", "preset": "veryslow", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        for number in range(round(SECONDS * RATE)):
            for packet in stream.encode(av.VideoFrame.from_image(picture(scene, number / RATE))):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def main(folder: Path) -> None:
    for path in write_clips(folder):
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("service/web/clips"))
