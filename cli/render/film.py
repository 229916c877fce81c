"""The whole video with its cubes drawn in at their times, and the answer under it. Knows nothing of contact sheets."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from cli.render.drawing import INK, PAPER, RULE, colour_of, draw_cubes, panel
from cli.render.footage import Footage
from fovea.answers import RecognitionAnswer

TIMELINE_PX = 12
TICKS = 90_000  # a second, as MPEG counts
QUALITY = {"crf": "20", "preset": "fast"}

Spans = Mapping[int, tuple[float, float]]  # step -> seconds of the video: from, to


def write_film(footage: Footage, answer: RecognitionAnswer, out: Path) -> None:
    """H.264 in MP4, every frame at its own time; sound is left out. Raises VideoError kin, OSError."""
    spans = spans_of(answer)
    width, height = footage.size
    panels = {frozenset[int](): panel(answer, width)}  # drawn once for each set of cubes that is seen together
    latest = -1
    with av.open(str(out), "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=max(1, round(footage.frame_rate)), options=QUALITY)
        stream.width, stream.height = width, height + TIMELINE_PX + panels[frozenset()].height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        for now_s, frame_HWC in footage.pictures():
            if round(now_s * TICKS) <= latest:
                continue  # two frames at one time: a player shows one of them
            latest = round(now_s * TICKS)
            shown = frozenset(step for step, (from_s, to_s) in spans.items() if from_s <= now_s < to_s)
            if shown not in panels:
                panels[shown] = panel(answer, width, shown)
            page = Image.new("RGB", (width, stream.height), PAPER)
            picture = Image.fromarray(frame_HWC)
            draw_cubes(picture, [step for step in answer.compute.steps if step.step in shown])
            page.paste(picture, (0, 0))
            _draw_timeline(page, height, spans, now_s, footage.duration_s)
            page.paste(panels[shown], (0, height + TIMELINE_PX))
            frame = av.VideoFrame.from_ndarray(np.asarray(page), format="rgb24")
            frame.pts, frame.time_base = latest, Fraction(1, TICKS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def spans_of(answer: RecognitionAnswer) -> Spans:
    """When each cube is to be seen: a sampled frame stands for the part of the video around it."""
    half_s = answer.video.duration_s / max(1, answer.video.frames_sampled) / 2
    cubes = {step.step: step.cube for step in answer.compute.steps if step.cube is not None}
    return {step: (cube.pts_s[0] - half_s, cube.pts_s[1] + half_s) for step, cube in cubes.items()}


def _draw_timeline(page: Image.Image, top: int, spans: Spans, now_s: float, duration_s: float) -> None:
    def x(seconds: float) -> int:
        return round(min(max(seconds / duration_s, 0), 1) * (page.width - 1))

    pen = ImageDraw.Draw(page)
    pen.rectangle((0, top, page.width, top + TIMELINE_PX - 1), fill=RULE)
    for step, (from_s, to_s) in spans.items():
        pen.rectangle((x(from_s), top + 2, x(to_s), top + TIMELINE_PX - 3), fill=colour_of(step))
    pen.rectangle((x(now_s) - 1, top, x(now_s) + 1, top + TIMELINE_PX - 1), fill=INK)
