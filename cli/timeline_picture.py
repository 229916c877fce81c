"""A timeline drawn into its video, or as a contact sheet: `fovea timeline --render`. Knows no model."""

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from cli.render.drawing import COLOURS, INK, PAPER, RULE, SOFT, fitting, font
from cli.render.film import QUALITY, TICKS
from cli.render.footage import Footage, open_footage
from cli.timeline_text import clock, score_of
from fovea.answers import Video
from fovea.timeline_answers import Segment, TimelineAnswer
from video.clip import VideoLimits

STRIP_PX, LINE_PX, GAP_PX = 16, 30, 8
COLUMNS, TILE_PX, MAX_TILES = 4, 320, 60


def render(video: Path, answer: TimelineAnswer, out: Path, limits: VideoLimits) -> None:
    """The file at `out` is whole or not there. Raises VideoError kin, ValueError."""
    seen = answer.video
    facts = Video(
        duration_s=seen.duration_s,
        width=seen.width,
        height=seen.height,
        codec=seen.codec,
        frames_decoded=seen.frames_decoded,
        frames_sampled=0,
    )
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        footage = open_footage(video, facts, limits)
        (_write_film if out.suffix.lower() == ".mp4" else _write_sheet)(footage, answer, part)
        part.replace(out)
    except OSError as error:
        raise ValueError(f"{out} could not be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def colours_of(answer: TimelineAnswer) -> dict[str, str]:
    """A colour for each label; the ninth label has the first one's."""
    labels = dict.fromkeys(one.label for one in answer.segments if one.label is not None)
    return {label: COLOURS[1 + number % (len(COLOURS) - 1)] for number, label in enumerate(labels)}


def strip(answer: TimelineAnswer, width_px: int) -> Image.Image:
    """The whole video as a strip of its labels' colours."""
    picture = Image.new("RGB", (width_px, STRIP_PX), RULE)
    pen, colours = ImageDraw.Draw(picture), colours_of(answer)
    for one in answer.segments:
        if one.label is not None:
            left, right = (round(time_s / answer.video.duration_s * width_px) for time_s in (one.start_s, one.end_s))
            pen.rectangle((left, 2, max(left, right - 1), STRIP_PX - 3), fill=colours[one.label])
    return picture


def _write_film(footage: Footage, answer: TimelineAnswer, out: Path) -> None:
    width, height = footage.size
    below, colours = strip(answer, width), colours_of(answer)
    latest = -1
    with av.open(str(out), "w", format="mp4") as output:
        stream = output.add_stream("libx264", rate=max(1, round(footage.frame_rate)), options=QUALITY)
        stream.width, stream.height, stream.pix_fmt = width, height + STRIP_PX + LINE_PX, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        remaining = list(answer.segments)
        for now_s, frame_HWC in footage.pictures():
            if round(now_s * TICKS) <= latest:
                continue  # two frames at one time: a player shows one of them
            latest = round(now_s * TICKS)
            while len(remaining) > 1 and now_s >= remaining[0].end_s:
                remaining.pop(0)
            page = Image.new("RGB", (width, stream.height), PAPER)
            page.paste(Image.fromarray(frame_HWC), (0, 0))
            page.paste(below, (0, height))
            pen = ImageDraw.Draw(page)
            x = round(min(1.0, now_s / answer.video.duration_s) * (width - 1))
            pen.rectangle((x - 1, height, x + 1, height + STRIP_PX - 1), fill=INK)
            _say(pen, remaining[0], colours, height + STRIP_PX, width)
            frame = av.VideoFrame.from_ndarray(np.asarray(page), format="rgb24")
            frame.pts, frame.time_base = latest, Fraction(1, TICKS)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _say(pen: ImageDraw.ImageDraw, segment: Segment, colours: dict[str, str], top: int, width: int) -> None:
    if segment.label is None:
        pen.text((GAP_PX, top + LINE_PX // 2), "no label", font=font(16), fill=SOFT, anchor="lm")
        return
    text = fitting(f"{segment.name} {score_of(segment):.2f}", width - 4 * GAP_PX, 16)
    pen.rectangle((GAP_PX, top + 9, GAP_PX + 12, top + 21), fill=colours[segment.label])
    pen.text((GAP_PX + 20, top + LINE_PX // 2), text, font=font(16), fill=INK, anchor="lm")


def _write_sheet(footage: Footage, answer: TimelineAnswer, out: Path) -> None:
    """The middle picture of each segment that has a label, the longest ones where there are many."""
    named = [one for one in answer.segments if one.label is not None]
    shown: Sequence[Segment] = sorted(named, key=lambda one: one.start_s - one.end_s)[:MAX_TILES]
    shown = sorted(shown, key=lambda one: one.start_s)
    width = COLUMNS * (TILE_PX + GAP_PX) + GAP_PX
    height = round(TILE_PX * footage.size[1] / footage.size[0])
    rows, colours = -(-len(shown) // COLUMNS), colours_of(answer)
    sheet = Image.new("RGB", (width, 2 * GAP_PX + STRIP_PX + rows * (height + LINE_PX + GAP_PX)), PAPER)
    sheet.paste(strip(answer, width - 2 * GAP_PX), (GAP_PX, GAP_PX))
    pen = ImageDraw.Draw(sheet)
    middles = [(one.start_s + one.end_s) / 2 for one in shown]
    for number, (one, frame_HWC) in enumerate(zip(shown, footage.pictures_at(middles), strict=True)):
        row, column = divmod(number, COLUMNS)
        x, y = GAP_PX + column * (TILE_PX + GAP_PX), 2 * GAP_PX + STRIP_PX + row * (height + LINE_PX + GAP_PX)
        sheet.paste(Image.fromarray(frame_HWC).resize((TILE_PX, height), Image.Resampling.LANCZOS), (x, y))
        assert one.label is not None
        pen.rectangle((x, y + height + 9, x + 12, y + height + 21), fill=colours[one.label])
        said = f"{clock(one.start_s)}-{clock(one.end_s)} {one.name} {score_of(one):.2f}"
        text = fitting(said, TILE_PX - 20, 14)
        pen.text((x + 20, y + height + LINE_PX // 2), text, font=font(14), fill=INK, anchor="lm")
    sheet.save(out, format="PNG", optimize=True)
