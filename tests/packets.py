"""Encoded packets as values, to put odd files together from: what no honest writer would write. Made with PyAV."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.packet import Packet

from tests.clips import Pattern

START_CODE = b"\x00\x00\x01"
RATE = 25


@dataclass(frozen=True)
class Coded:
    """One packet; times in frames."""

    data: bytes
    pts: int
    dts: int
    is_key: bool


def encoded(
    codec: str,
    *,
    pattern: Pattern,
    first: int = 0,
    count: int = 50,
    size: tuple[int, int] = (160, 128),
    gop: int = 10,
    options: dict[str, str] | None = None,
) -> list[Coded]:
    """Frames `first` and on of `pattern`, shown at their numbers."""
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.pix_fmt = *size, "yuv420p"
    context.time_base, context.framerate = Fraction(1, RATE), Fraction(RATE)
    context.gop_size, context.thread_count = gop, 1
    context.options = options or {}
    packets: list[Packet] = []
    for number in range(first, first + count):
        frame = av.VideoFrame.from_ndarray(pattern(number, *size), format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, RATE)
        packets += context.encode(frame)
    packets += context.encode(None)
    return [Coded(bytes(packet), packet.pts or 0, packet.dts or 0, packet.is_keyframe) for packet in packets]


def written(path: Path, codec: str, packets: Iterable[Coded], size: tuple[int, int] = (160, 128)) -> Path:
    """The packets as they are, in the container of the path's name."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = Fraction(1, RATE)
        for coded in packets:
            packet = Packet(coded.data)
            packet.stream, packet.time_base = stream, Fraction(1, RATE)
            packet.pts, packet.dts, packet.is_keyframe = coded.pts, coded.dts, coded.is_key
            output.mux(packet)
    return path


def remuxed(source: Path, path: Path, change: "Callable[[int, Packet], Packet | None]") -> Path:
    """The first stream's packets, each as `change` (number, packet) leaves it; None leaves it out."""
    with av.open(str(source)) as container, av.open(str(path), "w") as output:
        stream = container.streams.video[0]
        copy = output.add_stream_from_template(stream)
        for number, packet in enumerate(packet for packet in container.demux(stream) if packet.size):
            changed = change(number, packet)
            if changed is not None:
                changed.stream = copy
                output.mux(changed)
    return path


def without_units(packets: Sequence[Coded], is_left_out: Callable[[int], bool]) -> list[Coded]:
    """All but the first packet without the NAL units whose first byte `is_left_out`."""
    first, *others = packets
    return [first, *(replace(packet, data=_kept(packet.data, is_left_out)) for packet in others)]


def _kept(data: bytes, is_left_out: Callable[[int], bool]) -> bytes:
    units = [unit for unit in data.split(START_CODE)[1:] if unit]
    kept = [unit.rstrip(b"\x00") for unit in units[:-1]] + units[-1:]
    return b"".join(b"\x00" + START_CODE + unit for unit in kept if not is_left_out(unit[0]))


def broken_but(path: Path, out: Path, kept: set[int]) -> Path:
    """A copy in which all packets are noise, but those of `kept` (numbers in decode order)."""
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    with av.open(str(path)) as container:
        for number, packet in enumerate(packet for packet in container.demux(video=0) if packet.size):
            if number not in kept:
                assert packet.pos is not None
                data[packet.pos + 5 : packet.pos + packet.size] = rng.bytes(packet.size - 5)
    out.write_bytes(data)
    return out
