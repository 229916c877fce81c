"""A running digest of a stream's packets: where two readings of a file agree, they have seen the same up to there.

Packets are told by what the container says of them, and where they lie: bytes that have arrived do not change.
"""

import struct
from hashlib import blake2b

from av.packet import Packet
from av.video.stream import VideoStream

_FACTS = struct.Struct("<qqqqq??")
_NONE = -(2**63)  # what libav itself writes for "no time"


class Trail:
    """Told of each packet in order; `digest` is of all so far, and of what decoding them depends on."""

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        said = (context.name, context.width, context.height, stream.time_base, stream.sample_aspect_ratio or 1)
        self._digest = blake2b(repr(said).encode() + (context.extradata or b""), digest_size=16).digest()

    def take(self, packet: "Packet[VideoStream]") -> None:
        facts = _FACTS.pack(
            _NONE if packet.pts is None else packet.pts,
            _NONE if packet.dts is None else packet.dts,
            packet.duration or 0,
            packet.size,
            _NONE if packet.pos is None else packet.pos,
            packet.is_keyframe,
            packet.is_discard,
        )
        self._digest = blake2b(self._digest + facts, digest_size=16).digest()

    @property
    def digest(self) -> str:
        return self._digest.hex()
