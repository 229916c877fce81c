"""A timeline as text: bars on a terminal, subtitles, lines of a table. Knows the API's answer and no model."""

import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from fovea.timeline_answers import Segment, TimelineAnswer

BLOCKS = " ▁▂▃▄▅▆▇█"
MAX_LABEL, LEAST_BAR = 28, 20  # columns
MAX_ROWS = 60  # segments that are listed; of more, the bars tell


def draw(console: Console, title: Path | str, answer: "TimelineAnswer") -> None:
    """A bar for each label over the length of the video, then the segments, then what it cost."""
    console.print(Text.assemble("\n", (str(title), "bold"), f"  {clock(answer.video.duration_s)}"))
    if not answer.trained:
        console.print(f"{answer.model} is untrained: its labels mean nothing", style="yellow")
    if not answer.calibrated:
        console.print(f"{answer.model} could not be calibrated: its scores are a guess", style="yellow")
    labels = {one.label: one.name or "" for one in answer.segments if one.label is not None}
    name_width = min(MAX_LABEL, max(map(len, labels.values()), default=0))
    width = max(LEAST_BAR, console.width - name_width - 2)
    for label, name in labels.items():
        own = [one for one in answer.segments if one.label == label]
        console.print(f"{_shortened(name, name_width):<{name_width}} {bar(own, answer.video.duration_s, width)}")
    if labels:
        end = clock(answer.video.duration_s)
        console.print(f"{'':<{name_width}} {clock(0)}{end:>{width - len(clock(0))}}", style="dim")
    named = [one for one in answer.segments if one.label is not None]
    table = Table("from", "to", "label", "score", "entropy / nats", "GFLOPs", box=None, pad_edge=False)
    for one in named[:MAX_ROWS]:
        entropy = "" if one.entropy_nats is None else f"{one.entropy_nats:.3f}"
        table.add_row(
            clock(one.start_s), clock(one.end_s), one.name, f"{score_of(one):.2f}", entropy, f"{one.spent_gflops:.4g}"
        )
    console.print(table)
    if len(named) > MAX_ROWS:
        console.print(f"and {len(named) - MAX_ROWS} more: --csv lists them all")
    windows, video = answer.compute.windows, answer.video
    console.print(
        f"{answer.end.reason} after {clock(answer.end.at_s)}: spent {answer.compute.spent_gflops:.4g} GFLOPs on "
        f"{windows.count} windows, {windows.full} looked at closely, {windows.carried} carried on; "
        f"{video.frames_decoded} of {video.frames} frames decoded; {answer.timing_ms.total / 1e3:.1f} s"
    )
    if answer.end.detail is not None:
        console.print(answer.end.detail, style="yellow")
    if windows.unpaid:
        console.print(f"{windows.unpaid} windows were not paid for; a larger budget sees them", style="yellow")


def bar(segments: "list[Segment]", duration_s: float, width: int) -> str:
    """A block for each column of time, as high as the label's share of it."""
    shares = [0.0] * width
    for one in segments:
        first, last = (min(width, width * time_s / max(duration_s, 1e-9)) for time_s in (one.start_s, one.end_s))
        for column in range(int(first), min(width, int(last) + 1)):
            shares[column] += max(0.0, min(last, column + 1) - max(first, column))
    return "".join(BLOCKS[min(len(BLOCKS) - 1, math.ceil(share * (len(BLOCKS) - 1)))] for share in shares)


def subtitles(answer: "TimelineAnswer") -> str:
    """SubRip: what a player shows while a segment lasts; those without a label are left out."""
    named = [one for one in answer.segments if one.label is not None]
    return "".join(
        f"{number}\n{_srt_time(one.start_s)} --> {_srt_time(one.end_s)}\n{one.name} {score_of(one):.2f}\n\n"
        for number, one in enumerate(named, 1)
    )


def table(answer: "TimelineAnswer") -> str:
    """Comma-separated lines, a header first; an empty label where there is none."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("start_s", "end_s", "label", "score", "entropy_nats", "spent_gflops"))
    for one in answer.segments:
        score = "" if one.label is None else score_of(one)
        lines.writerow((one.start_s, one.end_s, one.label or "", score, one.entropy_nats, one.spent_gflops))
    return text.getvalue()


def score_of(segment: "Segment") -> float:
    """Of its own label, in the mean over its windows; 0 where that is below min_score."""
    return next((one.score for one in segment.predictions if one.label == segment.label), 0.0)


def clock(seconds: float) -> str:
    """1:02:03.5; hours where there are some."""
    tenths = round(seconds * 10)
    minutes, hours = tenths // 600 % 60, tenths // 36_000
    rest = f"{tenths // 10 % 60:02d}.{tenths % 10}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"


def _srt_time(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    minutes, hours = thousandths // 60_000 % 60, thousandths // 3_600_000
    return f"{hours:02d}:{minutes:02d}:{thousandths // 1000 % 60:02d},{thousandths % 1000:03d}"


def _shortened(label: str, width: int) -> str:
    return label if len(label) <= width else label[: width - 1] + "…"
