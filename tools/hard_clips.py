"""Draws clips that are hard, and writes down what the shipped models say of them: `python -m tools.hard_clips`.

Nobody was filmed: the scenes are those of `tools.example_clips`, made worse. A frame of each goes to
docs/pictures/hard/, the answers to results/drawn/answers.json, which scripts/cards.py shows on the cards of the models.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image, ImageDraw, ImageEnhance

from service.engine.budget import RecognitionOptions
from service.engine.request import Recognition
from service.metrics import Metrics
from service.settings import Settings
from service.wiring.recognising import open_pipeline
from tools.example_clips import HEIGHT, RATE, SECONDS, WIDTH, handshake, picture, serve

FRAMES = Path("docs/pictures/hard")
ANSWERS = Path("results/drawn/answers.json")
SHOWN_PX = (160, 120)

Change = Callable[[float], Image.Image]  # the frame at that time in seconds


@dataclass(frozen=True)
class HardClip:
    """What is drawn and what is right; `shown_s`: the time of the frame on the card."""

    name: str
    told: str
    right: str
    draw: Change
    shown_s: float


@dataclass(frozen=True)
class Said:
    """What one model answered about one clip at its default budget."""

    model: str
    clip: str
    label: str | None
    best: str
    score: float
    in_domain: float | None


def _plain(time_s: float) -> Image.Image:
    return picture(handshake, time_s)


def _small(time_s: float) -> Image.Image:
    """A seventh of the height, in a wide empty place."""
    whole = Image.new("RGB", (WIDTH, HEIGHT), "#8d9687")
    tiny = _plain(time_s).resize((WIDTH // 7, HEIGHT // 7), Image.Resampling.LANCZOS)
    whole.paste(tiny, (220, 150))
    return whole


def _dark(time_s: float) -> Image.Image:
    return ImageEnhance.Brightness(_plain(time_s)).enhance(0.06)


def _upside_down(time_s: float) -> Image.Image:
    return _plain(time_s).transpose(Image.Transpose.ROTATE_180)


def _occluded(time_s: float) -> Image.Image:
    """A wall stands before the hands."""
    whole = _plain(time_s)
    ImageDraw.Draw(whole).rectangle((112, 30, 212, HEIGHT), fill="#5f6a72")
    return whole


def _two_actions(time_s: float) -> Image.Image:
    half_s = SECONDS / 2
    return picture(handshake, 2 * time_s) if time_s < half_s else picture(serve, 2 * (time_s - half_s))


CLIPS = (
    HardClip("plain", "The drawing as the page has it", "Handshake", _plain, 2.4),
    HardClip("small", "The people are 20 pixels tall", "Handshake", _small, 2.4),
    HardClip("dark", "Six hundredths of the light", "Handshake", _dark, 2.4),
    HardClip("upside-down", "The camera hangs upside down", "Handshake", _upside_down, 2.4),
    HardClip("occluded", "A wall hides the hands", "Handshake", _occluded, 2.4),
    HardClip("two-actions", "A handshake, then a serve", "Both; one answer has room for one", _two_actions, 2.7),
)


async def answers() -> list[Said]:
    """Of every loaded model about every clip."""
    said = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {clip.name: _write(Path(folder) / f"{clip.name}.mp4", clip.draw) for clip in CLIPS}
        async with open_pipeline(Settings.read(), Metrics()) as pipeline:
            for offer in pipeline.catalogue:
                plan = pipeline.plan(RecognitionOptions(model=offer.name))
                for clip in CLIPS:
                    with pipeline.admit(plan) as ticket:
                        async for event in pipeline.recognize(paths[clip.name], plan, ticket):
                            last = event
                    assert isinstance(last, Recognition)
                    likely_C = last.steps[-1].probabilities_C
                    best = int(likely_C.argmax())
                    known = None if last.in_domain is None else round(last.in_domain, 2)
                    score = round(float(likely_C[best]), 2)
                    said.append(Said(offer.name, clip.name, last.verdict.label, offer.labels[best], score, known))
    return said


def _write(path: Path, draw: Change) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        for packet in _packets(stream, draw):
            container.mux(packet)
    return path


def _packets(stream: av.VideoStream, draw: Change) -> Iterator[av.Packet]:
    for number in range(round(SECONDS * RATE)):
        yield from stream.encode(av.VideoFrame.from_image(draw(number / RATE)))
    yield from stream.encode()


def main() -> None:
    FRAMES.mkdir(parents=True, exist_ok=True)
    for clip in CLIPS:
        frame = clip.draw(clip.shown_s).resize(SHOWN_PX, Image.Resampling.LANCZOS)
        frame.save(FRAMES / f"{clip.name}.webp", quality=70, method=6)
    said = asyncio.run(answers())
    ANSWERS.parent.mkdir(parents=True, exist_ok=True)
    clips = [{"name": clip.name, "told": clip.told, "right": clip.right} for clip in CLIPS]
    ANSWERS.write_text(json.dumps({"clips": clips, "answers": [asdict(one) for one in said]}, indent=1) + "\n")
    print(f"{len(said)} answers in {ANSWERS}, {len(CLIPS)} frames in {FRAMES}", file=sys.stderr)


if __name__ == "__main__":
    main()
