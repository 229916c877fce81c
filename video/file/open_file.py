"""A file whose packets were read and are kept: to decode some of them it need not be opened again.

Opening may cost as much as a keyframe: libav decodes one to learn what headers leave open. Knows not which packets are
wanted.
"""

from collections.abc import Collection, Iterator
from contextlib import ExitStack

from av.packet import Packet
from av.video.stream import VideoStream

from video.clip import VideoLimits
from video.file.probe import opened
from video.file.scan import Track, scan_opened
from video.file.trail import Trail

MOST_BYTES = 32 * 2**20  # of packets that are kept: 30 s at 8 Mbit/s; of longer videos none are


class OpenFile:
    """Raises what `scan` does. Close it; one that is forgotten closes itself."""

    def __init__(self, path: str, limits: VideoLimits, marks: Collection[int] = ()) -> None:
        """`marks`: numbers of packets whose digest is wanted."""
        self._marks = frozenset(marks)
        self.digests: dict[int, str] = {}  # of those that were met
        self._num_packets = 0
        self._kept: list[Packet[VideoStream]] | None = []
        self._num_bytes = 0
        self._closing = ExitStack()
        with ExitStack() as stack:
            container, self._stream = stack.enter_context(opened(path, limits))
            self._trail = Trail(self._stream) if marks else None
            self.track: Track = scan_opened(container, self._stream, limits, self._keep)
            self._closing = stack.pop_all()

    def take(self) -> "tuple[VideoStream, Iterator[Packet[VideoStream]]] | None":
        """The stream and all packets, in decode order, nothing decoded yet; None the second time, or where there were
        too many: open the file again."""
        kept, self._kept = self._kept, None
        return None if kept is None else (self._stream, iter(kept))

    def close(self) -> None:
        self._kept = None
        self._closing.close()

    def _keep(self, packet: "Packet[VideoStream]") -> None:
        if self._trail is not None:
            self._trail.take(packet)
            if self._num_packets in self._marks:
                self.digests[self._num_packets] = self._trail.digest
        self._num_packets += 1
        self._num_bytes += packet.size
        if self._kept is not None and self._num_bytes <= MOST_BYTES:
            self._kept.append(packet)
        else:
            self._kept = None
