"""What a pass over a long file's packets tells: how long it is, where its keyframes lie, where it breaks off.

Nothing is decoded, and no packet is kept: an hour takes the memory of a minute, but for eight bytes a keyframe.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from fovea.errors import VideoLimitExceeded, VideoUnreadable
from video.clip import VideoLimits
from video.file.clock import REORDERED
from video.file.probe import check_not_encrypted, check_size, opened, packets_of

BACK_S = Fraction(1)  # reordered frames go back less than that, unless they are slow
MAX_GAP_S = Fraction(10)  # in formats that do not say how long a picture stays: more is a jump of the clock
GUESSED_DURATIONS = frozenset({"mpegts", "mpeg", "flv", "ogg", "asf"})
BEAT_PACKETS = 2048  # read between two signs of life
_FIRST_PACKETS = 64  # the first frame shown is among those
_BROKEN_S = 1.0  # missing at the end; containers' own lengths are off by less


@dataclass(frozen=True, slots=True)
class Survey:
    """Times are seconds from the first frame; the file's own clock may have begun anywhere."""

    codec: str
    width_px: int  # as coded
    height_px: int
    start_ticks: int
    duration_s: float
    declared_s: float | None  # what the file says of itself
    num_packets: int
    clock_breaks: int
    failure: str | None  # what ended the reading before the end
    key_packets: "array[int]"  # number of each keyframe's packet
    key_times_s: "array[float]"

    @property
    def keyframe_interval_s(self) -> float | None:
        """In the mean; None with less than two."""
        count = len(self.key_times_s)
        return None if count < 2 else (self.key_times_s[-1] - self.key_times_s[0]) / (count - 1)

    @property
    def is_broken(self) -> bool:
        """Whether the file should be longer than what can be read."""
        return self.failure is not None or (
            self.declared_s is not None and self.duration_s < self.declared_s - max(_BROKEN_S, 0.01 * self.declared_s)
        )

    def key_before(self, time_s: float) -> int:
        """The number of the packet from which to decode what is shown at that time."""
        found = bisect_right(self.key_times_s, time_s + 1e-6)
        return self.key_packets[found - 1] if found else 0

    def strike_off(self, packet: int) -> None:
        """That one claims to be a keyframe, and is none."""
        place = bisect_left(self.key_packets, packet)
        if place < len(self.key_packets) and self.key_packets[place] == packet:
            del self.key_packets[place], self.key_times_s[place]


class RunningClock:
    """Packets' times in ticks, on one clock that runs on where the file's own restarts or jumps.

    A function of the packets so far: readings of one file agree.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, limits: VideoLimits) -> None:
        assert stream.time_base is not None
        guesses = container.format.name in GUESSED_DURATIONS
        gap_s = MAX_GAP_S if guesses else Fraction(limits.duration_s)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        self._usual = max(1, round(1 / (rate * stream.time_base)))
        self._back = max(BACK_S / stream.time_base, Fraction(REORDERED * self._usual))
        self._forward = max(gap_s / stream.time_base, Fraction(REORDERED * self._usual))
        self._shift = 0
        self.latest: int | None = None
        self.breaks = 0

    def take(self, packet: "Packet[VideoStream]") -> int:
        """When the packet's frame is shown; when it is decoded where the file does not say that."""
        told = packet.pts if packet.pts is not None else packet.dts
        if told is None:
            ticks = 0 if self.latest is None else self.latest + self._usual
        else:
            ticks = told + self._shift
            if self.latest is not None and not self.latest - self._back <= ticks <= self.latest + self._forward:
                self._shift += self.latest + self._usual - ticks
                ticks, self.breaks = told + self._shift, self.breaks + 1
        self.latest = ticks if self.latest is None else max(self.latest, ticks)
        return ticks

    @property
    def end(self) -> int:
        """When the latest frame so far is over."""
        return 0 if self.latest is None else self.latest + self._usual


def survey(path: str, limits: VideoLimits, beat: Callable[[], None] = lambda: None) -> Survey:
    """Read all packets. `beat` is called again and again meanwhile: large files take seconds.

    Raises VideoUnreadable, NoVideoStream, VideoLimitExceeded. A file that breaks off is taken for what is there.
    """
    with opened(path, limits) as (container, stream):
        context = stream.codec_context
        check_size(context.width, context.height, limits)
        assert stream.time_base is not None
        clock, key_packets, key_ticks = RunningClock(container, stream, limits), array("q"), array("q")
        number, start, failure = 0, None, None
        try:
            for packet in packets_of(container, stream):
                if number == 0:
                    check_not_encrypted(packet)
                ticks = clock.take(packet)
                if number < _FIRST_PACKETS and not packet.is_discard:
                    start = ticks if start is None else min(start, ticks)
                if packet.is_keyframe:
                    key_packets.append(number)
                    key_ticks.append(ticks)
                number += 1
                _check_length(number, clock, start, stream, limits)
                if number % BEAT_PACKETS == 0:
                    beat()
        except MemoryError:
            raise
        except av.FFmpegError as error:
            failure = error.strerror
        if start is None:
            raise VideoUnreadable("the video stream holds no frame; it may have been cut off, send the whole file")
        base = stream.time_base
        return Survey(
            codec=context.codec.canonical_name,
            width_px=context.width,
            height_px=context.height,
            start_ticks=start,
            duration_s=float((clock.end - start) * base),
            declared_s=_declared_s(container, stream),
            num_packets=number,
            clock_breaks=clock.breaks,
            failure=failure,
            key_packets=key_packets,
            key_times_s=array("d", (float((ticks - start) * base) for ticks in key_ticks)),
        )


def _check_length(
    number: int, clock: RunningClock, start: int | None, stream: VideoStream, limits: VideoLimits
) -> None:
    if number > limits.frames:
        raise VideoLimitExceeded(
            f"the video has more than {limits.frames} frames, the most taken here; send a part of it",
            limit_frames=limits.frames,
        )
    assert stream.time_base is not None
    if start is not None and clock.latest is not None:
        length_s = float((clock.latest - start) * stream.time_base)
        if length_s > limits.duration_s:
            raise VideoLimitExceeded(
                f"the video is longer than the {limits.duration_s:g} s taken; send a part of it",
                limit_s=limits.duration_s,
            )


def _declared_s(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None and stream.duration > 0 and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration is not None and container.duration > 0 else None
