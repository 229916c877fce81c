"""What a decoder must know of packets that are left out: parameter sets, wherever they come. Knows no file and no time.

They come beside a packet (libav's NEW_EXTRADATA: another sample description of an MP4, a sequence header in FLV) or at
its head: NAL units of H.264 and HEVC, headers of MPEG-1, -2, -4 and VC-1.
"""

from collections.abc import Iterator
from typing import cast

from av.bitstream import BitStreamFilterContext
from av.packet import Packet, PacketSideData
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

_HEAD_BYTES = 1 << 16  # of a packet: what comes before its first slice is a few hundred
_START_CODE = b"\x00\x00\x01"
H264_SETS, H264_SLICES, H264_SEI = frozenset({7, 8, 13, 15}), frozenset(range(1, 6)), 6
_HEVC_SETS, _HEVC_SLICES, _HEVC_SEI = frozenset({32, 33, 34}), frozenset(range(32)), 39
_DISPLAY_ORIENTATION = 47  # SEI payload type, the same in both
# Codecs whose headers libav's filter finds, and how a packet begins that has its own.
_HEADED = {
    name: frozenset(_START_CODE + bytes([code]) for code in codes)
    for name, codes in {
        "mpeg1video": (0xB3,),
        "mpeg2video": (0xB3,),
        "mpeg4": (0xB0, 0xB5, *range(0x30)),
        "vc1": (0x0F,),
    }.items()
}


class ParameterSets:
    """Follows one reading of a stream: told of each packet left out, it completes the one where decoding begins."""

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        self._name, self._length_bytes = context.name, _length_bytes(context)
        self._filter = BitStreamFilterContext("extract_extradata", stream) if self._name in _HEADED else None
        self._beside: PacketSideData | None = None
        self._heads: dict[bytes, None] = {}  # in the order of their latest appearance

    def left_out(self, packet: "Packet[VideoStream]") -> None:
        """The packet is not decoded. It may be used up by this."""
        if packet.has_sidedata("new_extradata"):
            self._beside = packet.get_sidedata("new_extradata")
            self._heads.clear()  # it replaces them
        for head in self._heads_of(packet):
            self._heads.pop(head, None)
            self._heads[head] = None

    def completed(self, packet: "Packet[VideoStream]") -> "Packet[VideoStream]":
        """The packet at which decoding begins, with what was left out before it."""
        beside, heads = self._beside, list(self._heads)
        self._beside = None
        self._heads.clear()
        if packet.has_sidedata("new_extradata"):
            beside, heads = packet.get_sidedata("new_extradata"), []
        if heads and bytes(memoryview(packet)[:4]) not in _HEADED.get(self._name, ()):
            packet = _prefixed(packet, b"".join(heads))
        if beside is not None and not packet.has_sidedata("new_extradata"):
            packet.set_sidedata(beside)
        return packet

    def _heads_of(self, packet: "Packet[VideoStream]") -> Iterator[bytes]:
        """Parameter sets as they stand in the packet, with what separates them."""
        if self._filter is not None:
            for filtered in self._filter.filter(packet):
                if filtered.has_sidedata("new_extradata"):
                    yield bytes(filtered.get_sidedata("new_extradata"))
        elif self._name in {"h264", "hevc"}:
            kinds = H264_SETS if self._name == "h264" else _HEVC_SETS
            for unit in _head_units(packet, self._name, self._length_bytes):
                if _kind(unit, self._name) in kinds:
                    yield len(unit).to_bytes(self._length_bytes) + unit if self._length_bytes else _START_CODE + unit


def turns_by_message(packet: "Packet[VideoStream]", context: VideoCodecContext) -> bool:
    """Whether a packet of H.264 or HEVC holds a display orientation (SEI): sent once, it holds for all."""
    if context.name not in {"h264", "hevc"}:
        return False
    sei, head = (H264_SEI, 1) if context.name == "h264" else (_HEVC_SEI, 2)
    units = _head_units(packet, context.name, _length_bytes(context))
    return any(_DISPLAY_ORIENTATION in sei_types(unit[head:]) for unit in units if _kind(unit, context.name) == sei)


def _length_bytes(context: VideoCodecContext) -> int:
    """Of the length before each NAL unit; 0 where start codes separate them."""
    extradata = context.extradata
    if not extradata or extradata[0] != 1:
        return 0
    if context.name == "h264" and len(extradata) > 4:
        return (extradata[4] & 3) + 1
    return (extradata[21] & 3) + 1 if context.name == "hevc" and len(extradata) > 21 else 0


def _head_units(packet: "Packet[VideoStream]", name: str, length_bytes: int) -> Iterator[bytes]:
    """NAL units before the packet's first slice."""
    head = bytes(memoryview(packet)[:_HEAD_BYTES])
    slices = H264_SLICES if name == "h264" else _HEVC_SLICES
    for unit in units_by_length(head, length_bytes) if length_bytes else _by_start_code(head):
        if not unit or _kind(unit, name) in slices:
            return
        yield unit


def units_by_length(head: bytes, length_bytes: int) -> Iterator[bytes]:
    """NAL units that their lengths separate; the last one as far as it is there."""
    place = 0
    while place + length_bytes < len(head):
        length = int.from_bytes(head[place : place + length_bytes])
        place += length_bytes
        yield head[place : place + length]
        place += length


def _by_start_code(head: bytes) -> Iterator[bytes]:
    place = head.find(_START_CODE)
    while place >= 0:
        following = head.find(_START_CODE, place + 3)
        unit = head[place + 3 : following if following >= 0 else len(head)]
        yield unit if following < 0 else unit.rstrip(b"\x00")
        place = following


def _kind(unit: bytes, name: str) -> int:
    return unit[0] & 31 if name == "h264" else unit[0] >> 1 & 63


def sei_types(payload: bytes) -> set[int]:
    """Types of the messages in one SEI unit, behind its header."""
    types: set[int] = set()
    place = 0
    while place + 2 < len(payload):
        numbers = []
        for _ in ("type", "size"):
            number = 0
            while place < len(payload) and payload[place] == 255:
                number, place = number + 255, place + 1
            if place == len(payload):
                return types
            numbers.append(number + payload[place])
            place += 1
        types.add(numbers[0])
        place += numbers[1]
    return types


def _prefixed(packet: "Packet[VideoStream]", head: bytes) -> "Packet[VideoStream]":
    longer = cast("Packet[VideoStream]", Packet(head + bytes(packet)))
    longer.pts, longer.dts, longer.time_base = packet.pts, packet.dts, packet.time_base
    longer.is_keyframe = packet.is_keyframe
    return longer
