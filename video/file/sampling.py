"""Which frames of a video to take, and which packets to decode for them: index arithmetic over packet times.

Knows neither libav nor pixels. Times are integer ticks of the stream's time base; indices are in decode order.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PacketFacts:
    """What the container says of one packet."""

    pts: int | None  # when its frame is shown; None where the container does not say
    duration: int  # 0 where unknown
    is_key: bool  # decoding can start here
    is_shown: bool  # False: decoded for reference only (before an edit list's cut)


@dataclass(frozen=True, slots=True)
class Run:
    """Packets first..last to decode in one go from a fresh decoder, for the sake of `targets` among them."""

    first: int
    last: int
    targets: frozenset[int]


@dataclass(frozen=True, slots=True)
class Choice:
    """Packet index of the frame taken for each segment, in order of time; an index repeats in a short video."""

    targets: tuple[int, ...]
    keyframes_only: bool


def segment_centres(start: int, end: int, num_frames: int) -> list[int]:
    """Centres of `num_frames` equal segments of [start, end), in ticks times 2 * num_frames (so that they are exact).

    num_frames = 2:  |----c----|----c----|
    """
    return [2 * num_frames * start + (2 * index + 1) * (end - start) for index in range(num_frames)]


def middle(start: int, end: int, ticks: int | None) -> tuple[int, int]:
    """The stretch of `ticks` in the middle of [start, end); all of it where it is no longer, or where None is asked."""
    if ticks is None or ticks >= end - start:
        return start, end
    first = start + (end - start - max(1, ticks)) // 2
    return first, first + max(1, ticks)


def choose(packets: Sequence[PacketFacts], start: int, end: int, num_frames: int) -> Choice:
    """For each of `num_frames` equal segments of [start, end) the frame nearest to its centre; the earlier on a tie.

    Where every segment holds a keyframe, keyframes alone are taken: each the nearest to its segment's centre, and
    several times cheaper to decode (decision 0002). Every shown packet must have a pts.
    """
    assert num_frames > 0
    assert end > start
    scale = 2 * num_frames
    centres = segment_centres(start, end, num_frames)
    half = end - start  # half a segment, in the same scale
    times = ((packet.pts, index) for index, packet in enumerate(packets) if packet.is_shown)
    shown = sorted((pts, index) for pts, index in times if pts is not None)
    keys = [(pts, index) for pts, index in shown if packets[index].is_key]
    by_key = [_nearest(keys, centre, scale) for centre in centres] if keys else []
    if keys and all(abs(pts * scale - centre) <= half for (pts, _), centre in zip(by_key, centres, strict=True)):
        return Choice(tuple(index for _, index in by_key), keyframes_only=True)
    return Choice(tuple(_nearest(shown, centre, scale)[1] for centre in centres), keyframes_only=False)


def plan_runs(packets: Sequence[PacketFacts], targets: Sequence[int]) -> list[Run]:
    """The least stretches of packets that give the targets' frames, each from a keyframe, none overlapping.

    A frame shown before the keyframe that precedes it in decode order (an open GOP's leading frame) may refer to the
    group before, so its run starts a keyframe earlier. Packets that share a frame (a field's second half has no pts)
    stay together.
    """
    runs: list[Run] = []
    for target in sorted(set(targets)):
        first, last = _run_start(packets, target), target
        while last + 1 < len(packets) and packets[last + 1].pts is None:
            last += 1
        wanted = {target}
        while runs and first <= runs[-1].last:
            before = runs.pop()
            first, last, wanted = min(first, before.first), max(last, before.last), wanted | before.targets
        runs.append(Run(first, last, frozenset(wanted)))
    return runs


def _run_start(packets: Sequence[PacketFacts], target: int) -> int:
    target_pts = packets[target].pts
    for index in range(target, -1, -1):
        pts = packets[index].pts
        if packets[index].is_key and pts is not None and target_pts is not None and pts <= target_pts:
            return index
    return 0


def _nearest(times: Sequence[tuple[int, int]], centre: int, scale: int) -> tuple[int, int]:
    """The (pts, index) of sorted `times` whose pts * scale is nearest to `centre`."""
    right = bisect_left(times, centre, key=lambda entry: entry[0] * scale)
    around = times[max(0, right - 1) : right + 1]
    return min(around, key=lambda entry: abs(entry[0] * scale - centre))
