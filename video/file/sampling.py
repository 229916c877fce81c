"""Which frames of a video to take, and which packets to decode for them: index arithmetic over packet times.

Knows neither libav nor pixels. Times are integer ticks of the stream's time base; indices are in decode order.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class PacketFacts:
    """What the container says of one packet."""

    pts: int | None  # when its frame is shown; None where the container does not say
    duration: int  # 0 where unknown
    is_key: bool  # decoding can start here
    is_shown: bool  # False: decoded for reference only (before an edit list's cut), or not at all
    dts: int | None = None  # its place in time in the order of decoding
    is_decodable: bool = True  # False: it refers to what is not in the file (before a recording's first keyframe)


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


def choose(packets: Sequence[PacketFacts], start: int, end: int, num_frames: int, first: int | None = None) -> Choice:
    """For each of `num_frames` equal segments of [start, end) the frame shown at its centre.

    One that is nearer, and comes sooner than half the usual distance of frames, is taken instead: at a constant rate
    that is the nearest frame, and a picture that stands still for long is not passed over for the next one.
    Where every segment holds a keyframe, keyframes alone are taken: each the nearest to its segment's centre, and
    several times cheaper to decode (decision 0002). Every shown packet must have a pts.
    `first`: for so many segments alone, as far as can be told before the others' packets are known. Where one keyframe
    stands for two of them, the last one will have none.
    """
    assert num_frames > 0
    assert end > start
    scale = 2 * num_frames
    centres = segment_centres(start, end, num_frames)[:first]
    half = end - start  # half a segment, in the same scale
    times = ((packet.pts, index) for index, packet in enumerate(packets) if packet.is_shown)
    shown = sorted((pts, index) for pts, index in times if pts is not None)
    keys = [(pts, index) for pts, index in shown if packets[index].is_key]
    by_key = [_nearest(keys, centre, scale) for centre in centres] if keys else []
    are_enough = first is None or len(set(by_key)) == len(by_key)
    near = (abs(pts * scale - centre) <= half for (pts, _), centre in zip(by_key, centres, strict=True))
    if keys and are_enough and all(near):
        return Choice(tuple(index for _, index in by_key), keyframes_only=True)
    usual = usual_distance([pts for pts, _ in shown])
    return Choice(tuple(_shown_at(shown, centre, scale, usual)[1] for centre in centres), keyframes_only=False)


def stand_ins(packets: Sequence[PacketFacts], targets: Sequence[int], within: int) -> dict[int, int]:
    """For each of `targets` the nearest keyframe, where that is not itself and lies at most `within` ticks from it.

    Each keyframe stands for one target, the nearest: two equal frames tell less than two different ones.
    """
    times = ((packet.pts, index) for index, packet in enumerate(packets) if packet.is_key and packet.is_shown)
    keys = sorted((pts, index) for pts, index in times if pts is not None)
    if not keys:
        return {}
    nearest: dict[int, tuple[int, int]] = {}  # keyframe: (distance, target)
    for target in targets:
        pts = packets[target].pts
        assert pts is not None
        key_pts, key = _nearest(keys, pts, 1)
        if abs(key_pts - pts) <= within:
            nearest[key] = min(nearest.get(key, (abs(key_pts - pts), target)), (abs(key_pts - pts), target))
    return {target: key for key, (_, target) in nearest.items() if key != target}


def usual_distance(times: Sequence[int]) -> int:
    """The median distance of neighbouring times, which rise; at least 1, and 1 for a single one."""
    distances = sorted(after - before for before, after in pairwise(times) if after > before)
    return distances[len(distances) // 2] if distances else 1


def is_shown_for(before: int | None, pts: int, centre: int, scale: int, usual: int) -> bool:
    """Whether the frame of `pts`, which comes after `centre` and after the frame `before`, stands for it (`choose`)."""
    ahead = pts * scale - centre
    return before is None or (2 * ahead <= usual * scale and ahead < centre - before * scale)


def plan_runs(packets: Sequence[PacketFacts], targets: Sequence[int]) -> list[Run]:
    """The least stretches of packets that give the targets' frames, each from a keyframe, none overlapping.

    A frame shown before the keyframe that precedes it in decode order (an open GOP's leading frame) may refer to the
    group before, so its run starts a keyframe earlier. Packets that share a frame (a field's second half has no pts)
    stay together.
    """
    runs: list[Run] = []
    for target in sorted(set(targets)):
        first, last = run_start(packets, target), target
        while last + 1 < len(packets) and packets[last + 1].pts is None:
            last += 1
        wanted = {target}
        while runs and first <= runs[-1].last:
            before = runs.pop()
            first, last, wanted = min(first, before.first), max(last, before.last), wanted | before.targets
        runs.append(Run(first, last, frozenset(wanted)))
    return runs


def in_passing(packets: Sequence[PacketFacts], runs: Sequence[Run], target: int) -> bool:
    """Whether the frame of `target` comes out where `runs` are decoded."""
    return any(run.first <= run_start(packets, target) and target <= run.last for run in runs)


def run_start(packets: Sequence[PacketFacts], target: int) -> int:
    """The packet from which to decode for the frame of `target`: the keyframe that it follows."""
    target_pts = packets[target].pts
    for index in range(target, -1, -1):
        pts = packets[index].pts
        if packets[index].is_key and pts is not None and target_pts is not None and pts <= target_pts:
            return index
    return next((index for index, packet in enumerate(packets) if packet.is_decodable), 0)


def _shown_at(shown: Sequence[tuple[int, int]], centre: int, scale: int, usual: int) -> tuple[int, int]:
    """The (pts, index) of sorted `shown` that stands for `centre`."""
    after = bisect_right(shown, centre, key=lambda entry: entry[0] * scale)
    if after == len(shown):
        return shown[-1]
    before = shown[after - 1][0] if after else None
    return shown[after] if is_shown_for(before, shown[after][0], centre, scale, usual) else shown[after - 1]


def _nearest(times: Sequence[tuple[int, int]], centre: int, scale: int) -> tuple[int, int]:
    """The (pts, index) of sorted `times` whose pts * scale is nearest to `centre`."""
    right = bisect_left(times, centre, key=lambda entry: entry[0] * scale)
    around = times[max(0, right - 1) : right + 1]
    return min(around, key=lambda entry: abs(entry[0] * scale - centre))
