"""Clips as phones write them, 720 lines and a keyframe a second: what decoding on demand is measured with.

Made of synthetic texture, and of labelled videos where there are some. Knows no service.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from tests.clips import noise, write_clip
from training.data.dataset import read_dataset

CLIENTS = 8
PHONE_FPS = 30
X264 = "keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:mbtree=0"  # phones: a keyframe a second, no B-frames


@dataclass(frozen=True, slots=True)
class ClipSet:
    name: str
    clips: list[tuple[Path, str | None]]  # with its label, if it has one
    at_glance: bool  # asked at a budget that pays for the first step alone; else at the default


def clip_sets(folder: Path, data: Path | None, split: str, most: int, only: str) -> list[ClipSet]:
    """Those whose name holds `only`: synthetic texture; of `data` the split's videos, at most `most`, evenly spread,
    slowed down to ten seconds and as long as they are."""
    sets: list[ClipSet] = []
    name = "synthetic texture, 10 s of 720p"
    if only in name:
        synthetic = write_clip(
            folder / "synthetic.mp4",
            seconds=10,
            size=(1280, 720),
            gop=25,
            pattern=noise,
            options={"preset": "veryfast", "x264-params": X264.format(gop=25)},
        )
        sets.append(ClipSet(name, [(synthetic, None)] * CLIENTS, at_glance=True))
    if data is None:
        return sets
    dataset = read_dataset(data).split(split)
    samples = dataset.samples
    samples = samples[:: max(1, -(-len(samples) // most))]
    for how, slow_s in (("slowed down to 10 s", 10.0), ("as long as they are", None)):
        one, all_of_them = f"one real clip, {how}", f"{len(samples)} real clips, {how}"
        if only not in one and only not in all_of_them:
            continue
        made = [
            (phone_clip(sample.path, folder / f"{how}-{number}.mp4", slow_s), dataset.labels[sample.label])
            for number, sample in enumerate(samples)
        ]
        if slow_s is not None:
            sets.append(ClipSet(one, [(made[0][0], None)] * CLIENTS, at_glance=True))
        sets.append(ClipSet(all_of_them, list(made), at_glance=False))
    return [some for some in sets if only in some.name]


def phone_clip(source: Path, out: Path, seconds: float | None, crf: int = 23) -> Path:
    """Its pictures at 720 lines and 30 a second, a keyframe a second; slowed down to last for `seconds`."""
    with av.open(str(source)) as reading:
        video = reading.streams.video[0]
        frames = [frame.to_ndarray(format="yuv420p") for frame in reading.decode(video)]
        lasts_s = len(frames) / float(video.average_rate or 25) if seconds is None else seconds
        scale = Fraction(720, min(video.width, video.height))
        size = [2 * round(side * scale / 2) for side in (video.width, video.height)]
    with av.open(str(out), "w") as writing:
        options = {"preset": "superfast", "crf": str(crf), "x264-params": X264.format(gop=PHONE_FPS)}
        made = writing.add_stream("libx264", rate=PHONE_FPS, options=options)
        made.width, made.height = size
        made.pix_fmt = "yuv420p"
        count = max(1, round(lasts_s * PHONE_FPS))
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(frames[number * len(frames) // count], format="yuv420p")
            large = frame.reformat(*size, "yuv420p", interpolation="BICUBIC")
            large.pts, large.time_base = number, Fraction(1, PHONE_FPS)
            writing.mux(made.encode(large))
        writing.mux(made.encode(None))
    return out
