"""A camera's packets with when they came, those of one keyframe put together. Knows no decoder."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

from av.packet import Packet
from av.video.stream import VideoStream

WAITED_S = 0.001  # a read that took so long found nothing to read at first


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """`was_awaited`: whoever reads has caught up with what came; else it lay there for an unknown time."""

    packet: "Packet[VideoStream]"
    arrived_s: float  # monotonic
    was_awaited: bool


def arrivals(packets: "Iterable[Packet[VideoStream]]") -> Iterator[Arrival]:
    """libav's empty last packet is left out."""
    asked_s = time.monotonic()
    for packet in packets:
        now_s = time.monotonic()
        if packet.size:
            yield Arrival(packet, now_s, now_s - asked_s > WAITED_S)
        asked_s = time.monotonic()


def whole_keyframes(arrived: Iterable[Arrival], codec: str) -> Iterator[Arrival]:
    """The packets, those of one keyframe put together.

    Where a camera repeats its parameter sets before each slice of a keyframe, libav takes each for its own picture.
    So a keyframe waits for the packet after it: one frame's time.
    """
    held: Arrival | None = None
    for one in arrived:
        this = one
        if held is not None and one.packet.is_keyframe and continues_picture(bytes(one.packet), codec):
            this = replace(held, packet=joined(held.packet, one.packet))
        elif held is not None:
            yield held
        held = this if this.packet.is_keyframe else None
        if held is None:
            yield this
    if held is not None:
        yield held


def joined(first: "Packet[VideoStream]", second: "Packet[VideoStream]") -> "Packet[VideoStream]":
    packet = cast("Packet[VideoStream]", Packet(bytes(first) + bytes(second)))
    packet.pts, packet.dts, packet.time_base, packet.is_keyframe = second.pts, second.dts, second.time_base, True
    return packet


def continues_picture(data: bytes, codec: str) -> bool:
    """Whether its first slice is not the first of a picture (H.264 7.3.3, H.265 7.3.6.1)."""
    if codec not in {"h264", "hevc"}:
        return False
    at = data.find(b"\0\0\1")
    while at >= 0 and at + 5 < len(data):
        header = data[at + 3]
        if codec == "h264" and header & 0x1F in {1, 5}:
            return not data[at + 4] & 0x80  # first_mb_in_slice, 0 is the bit 1
        if codec == "hevc" and header >> 1 & 0x3F < 32:
            return not data[at + 5] & 0x80  # first_slice_segment_in_pic_flag
        at = data.find(b"\0\0\1", at + 3)
    return False
