"""One running clock for a file whose own clock restarts or jumps: recordings laid end to end. Integer arithmetic.

Times are ticks of the stream's time base; packets are in decode order. Knows neither libav nor pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from video.file.sampling import PacketFacts, usual_distance

BACK_S = Fraction(1, 5)  # decoding times never go back in one recording; careless writers go back less than this
BACK_SHOWN_S = Fraction(1)  # reordered frames go back less, unless they are slow
REORDERED = 20  # usual distances of frames: those that are reordered lie nearer together, however slow the video


@dataclass(frozen=True, slots=True)
class LaidOut:
    """Packets on one clock; indices of those at which the file's own broke off, and at which decoding starts anew."""

    packets: tuple[PacketFacts, ...]
    breaks: tuple[int, ...]
    fresh_starts: tuple[int, ...]


def lay_out(packets: Sequence[PacketFacts], time_base: Fraction, max_gap_s: Fraction) -> LaidOut:
    """Each stretch of unbroken time begins where the one before ends. One stretch alone keeps its times.

    `max_gap_s`: how long one picture may stay; the clock jumps over more than that.
    A clock that goes back is another recording: what comes before its first keyframe refers to what is not there, and
    is neither decoded nor shown. A clock that jumps ahead between keyframes has jumped, and the recording goes on.
    """
    breaks = list(_breaks(packets, time_base, max_gap_s))
    fresh_starts = [index for index, goes_back in breaks if goes_back or packets[index].is_key]
    starts = [0, *(index for index, _ in breaks), len(packets)]
    laid: list[PacketFacts] = []
    end: int | None = None  # of the stretches before
    for start, stop in pairwise(starts):
        stretch = packets[start:stop]
        if start in {0, *fresh_starts}:
            stretch = _from_keyframe(stretch)
        times = shown_times(stretch)
        shift = 0 if end is None or not times else end - times[0]
        laid += stretch if shift == 0 else [_shifted(packet, shift) for packet in stretch]
        if times:
            end = times[-1] + shift + usual_distance(times)
    return LaidOut(tuple(laid), tuple(index for index, _ in breaks), tuple(fresh_starts))


def shown_times(packets: Sequence[PacketFacts]) -> list[int]:
    """When frames are shown, rising; where the file tells no times of display, those of decoding, in that order."""
    shown = [packet for packet in packets if packet.is_shown]
    times = [packet.pts for packet in shown if packet.pts is not None]
    return sorted(times or [packet.dts for packet in shown if packet.dts is not None])


def _breaks(packets: Sequence[PacketFacts], time_base: Fraction, max_gap_s: Fraction) -> Iterator[tuple[int, bool]]:
    """(index, whether the clock went back there)."""
    reordered = REORDERED * usual_distance(shown_times(packets))
    # whole ticks: fractions would take as long as reading the packets
    back = ceil(BACK_S / time_base)
    back_shown = max(floor(BACK_SHOWN_S / time_base), reordered)
    forward = max(floor(max_gap_s / time_base), reordered)
    dts: int | None = None  # the latest
    latest: int | None = None  # the greatest pts since the last break
    for index, packet in enumerate(packets):
        pts = packet.pts
        goes_back = jumps = False
        if pts is not None and latest is not None:
            decoded_back = packet.dts is not None and dts is not None and packet.dts <= dts - back
            goes_back = pts < latest - back_shown or (decoded_back and pts < latest)
            jumps = pts > latest + forward
        elif pts is None and packet.dts is not None and dts is not None:
            goes_back, jumps = packet.dts <= dts - back, packet.dts > dts + forward
        if goes_back or jumps:
            yield index, goes_back
            latest = None
        dts = packet.dts if packet.dts is not None else dts
        if pts is not None:
            latest = pts if latest is None else max(latest, pts)


def _from_keyframe(stretch: Sequence[PacketFacts]) -> list[PacketFacts]:
    first = next((index for index, packet in enumerate(stretch) if packet.is_key), 0)
    return [*(replace(packet, is_shown=False, is_decodable=False) for packet in stretch[:first]), *stretch[first:]]


def _shifted(packet: PacketFacts, shift: int) -> PacketFacts:
    return replace(
        packet,
        pts=None if packet.pts is None else packet.pts + shift,
        dts=None if packet.dts is None else packet.dts + shift,
    )
