"""Decodes frames of a video while its file still arrives, as far as can be told which ones its clip will have.

The length that the file's head states is believed here, and nowhere else: what comes of it are `EarlyFrames`, of which
the whole file takes those that it names itself. Whatever is odd ends it, with what there is so far. Knows no process.
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from io import FileIO
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from fovea.errors import VideoError
from video.clip import ClipRule, EarlyFrames, FirstLook, Look, VideoLimits
from video.file.clock import shown_times
from video.file.decode import looked_at, stretch
from video.file.growing import GrowingBeforeItsEnd, GrowingFile
from video.file.parameter_sets import turns_by_message
from video.file.picture import Painter
from video.file.probe import check_not_encrypted, check_size, opened, packets_of
from video.file.runs import FalseKeyframe, RunDecoder
from video.file.sampling import PacketFacts, choose, run_start, segment_centres
from video.file.stated import head_of
from video.file.trail import Trail

MOST_BYTES = 32 * 2**20  # of packets that wait for the frames among them to be chosen
_TELLING = 4  # segments: before so many are there, keyframes alone may seem dense enough and turn out not to be
_FIRST_FRAMES = 64  # in order of decoding: among them is the one that is shown first
_DURATION = "DURATION"  # Matroska's tag of one track: "00:00:10.040000000"
_DURATION_TEXT = re.compile(r"(\d{1,4}):(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)", re.ASCII)


class _Odd(Exception):
    """The video is left to those who have all of it."""


@dataclass(frozen=True, slots=True)
class Arriving:
    """A file that is being written: where, how many bytes of it were there, and how to wait for more.

    `end_from`: from there on its last bytes are there, too; None: they are not.
    """

    path: Path
    num_bytes: int
    wait: Callable[[int], int]  # see GrowingFile
    is_over: Callable[[], bool]  # whether somebody else needs this process; then reading ends, too
    end_from: int | None = None

    def opened_by(self, file: FileIO) -> GrowingFile:
        if self.end_from is None:
            return GrowingFile(file, self.wait)
        return GrowingBeforeItsEnd(file, self.wait, self.end_from)


def decode_ahead(
    arriving: Arriving, rule: ClipRule, limits: VideoLimits, look: Look, most_pixels: int
) -> EarlyFrames | None:
    """Frames of the clip that `look` asks for, decoded up to the last byte; None where there are none.

    Raises FileNotFoundError, MemoryError. No more than about `most_pixels` are decoded.
    """
    with arriving.path.open("rb", buffering=0) as file:
        fragments_s = head_of(file, arriving.num_bytes, arriving.end_from).fragments_s
        ahead: _Ahead | None = None
        try:
            with opened(str(arriving.path), limits, arriving.opened_by(file)) as (container, stream):
                end = _stated_end(container, stream, fragments_s)
                if end is None:
                    return None
                check_size(stream.codec_context.width, stream.codec_context.height, limits)
                ahead = _Ahead(stream, end, rule, limits, look, most_pixels, arriving.is_over)
                ahead.read(container)
        except (MemoryError, FileNotFoundError):
            raise
        except (VideoError, FalseKeyframe, av.FFmpegError):  # the whole file tells what is wrong
            return None
        except _Odd:
            pass
        return None if ahead is None else ahead.frames()


@dataclass(frozen=True, slots=True)
class _End:
    """When the last frame is over, in ticks: from 0 or from the first frame."""

    ticks: int
    from_start: bool


def _stated_end(container: InputContainer, stream: VideoStream, fragments_s: float | None) -> _End | None:
    assert stream.time_base is not None
    if "matroska" in container.format.name:
        seconds = _tagged_s(stream.metadata.get(_DURATION, ""))
        if seconds is None and container.duration:
            seconds = Fraction(container.duration, av.time_base)
        return None if not seconds else _End(round(seconds / stream.time_base), from_start=False)
    if fragments_s is not None:
        return _End(round(Fraction(fragments_s) / stream.time_base), from_start=True)
    if "mp4" in container.format.name and stream.frames and stream.duration:
        return _End(stream.duration, from_start=True)
    return None


def _tagged_s(text: str) -> Fraction | None:
    told = _DURATION_TEXT.fullmatch(text)
    return None if told is None else 3600 * int(told[1]) + 60 * int(told[2]) + Fraction(told[3])


@dataclass(slots=True)
class _Ahead:
    """One reading."""

    stream: VideoStream
    end: _End
    rule: ClipRule
    limits: VideoLimits
    look: Look
    most_pixels: int
    is_over: Callable[[], bool]
    _facts: list[PacketFacts] = field(default_factory=list)
    _digests: list[str] = field(default_factory=list)
    _kept: "deque[tuple[int, Packet[VideoStream]]]" = field(default_factory=deque)  # not decoded, not left out
    _kept_bytes: int = 0
    _keys: list[int] = field(default_factory=list)  # packets, that are kept
    _wanted: dict[int | None, int] = field(default_factory=dict)  # time to packet
    _fed: int = -1  # the last packet that went to the decoder, or past it
    _is_open: bool = False  # whether a run is
    _dts: int = -(2**62)  # the latest
    _num_settled: int = 0
    _num_shown: int = 0  # frames, up to _FIRST_FRAMES
    _start: int | None = None  # when the first of them is shown
    _slack: int = 0  # that a keyframe may lie behind the frame that it stands in for, scaled as centres are
    _centres: list[int] = field(default_factory=list)  # of all segments, see `segment_centres`
    _decoder: RunDecoder = field(init=False)
    _trail: Trail = field(init=False)

    def __post_init__(self) -> None:
        painter = Painter(self.rule, self.stream.sample_aspect_ratio)
        skips = self.look is not None and self.look.skip_loop_filter
        self._decoder = RunDecoder(self.stream, painter, self.limits, self._wanted, skip_loop_filter=skips)
        self._trail = Trail(self.stream)

    def read(self, container: InputContainer) -> None:
        """To the end of the file, or until it is over. Raises _Odd, and what decoding raises."""
        for packet in packets_of(container, self.stream):
            if self.is_over():
                return
            self._note(packet)
            num_settled = self._count_settled()
            if num_settled > self._num_settled:
                self._num_settled = num_settled
                self._settle(num_settled)
        if not self.is_over() and self._start is not None:
            self._settle(self.rule.num_frames, is_all=True)
            if self._is_open:
                self._decoder.end()

    def frames(self) -> EarlyFrames | None:
        shots = sorted(self._decoder.shots.items())
        if not shots:
            return None
        return EarlyFrames(
            packets=tuple(packet for packet, _ in shots),
            digests=tuple(self._digests[packet] for packet, _ in shots),
            frames_NHWC=np.stack([shot.frame_HWC for _, shot in shots]),
            view_NB=np.stack([shot.view_B for _, shot in shots]).astype(np.float32, copy=False),
            displayed=tuple(shot.displayed for _, shot in shots),
            num_decoded=self._decoder.num_decoded,
            busy_s=0.0,
        )

    def _note(self, packet: "Packet[VideoStream]") -> None:
        index = len(self._facts)
        facts = PacketFacts(packet.pts, packet.duration or 0, packet.is_keyframe, not packet.is_discard, packet.dts)
        if facts.pts is None or packet.is_corrupt or not any(memoryview(packet)[:16]):
            raise _Odd
        if index == 0:
            check_not_encrypted(packet)
            if not facts.is_key or turns_by_message(packet, self.stream.codec_context):
                raise _Odd
        elif index >= self.limits.frames or (facts.dts is not None and facts.dts <= self._dts):
            raise _Odd  # too long, or its clock goes back
        if facts.dts is not None:
            self._dts = facts.dts
        self._trail.take(packet)
        self._facts.append(facts)
        self._digests.append(self._trail.digest)
        self._kept.append((index, packet))
        self._kept_bytes += packet.size
        if facts.is_shown and self._num_shown < _FIRST_FRAMES:
            self._num_shown += 1
            self._start = facts.pts if self._start is None else min(self._start, facts.pts)
            start, end = self._extent()
            self._centres = segment_centres(start, end, self.rule.num_frames)
            self._slack = _apart(self.look) * 2 * (end - start)
        if facts.is_key:
            self._keys.append(index)
            self._prune()
        if self._kept_bytes > MOST_BYTES:
            raise _Odd

    def _prune(self) -> None:
        """Leave out packets that no frame yet to be chosen lies behind."""
        if self._num_settled == len(self._centres):
            return
        scale, (start, end) = 2 * self.rule.num_frames, self._extent()
        earliest = self._centres[self._num_settled] - 2 * (end - start)  # a segment before
        while len(self._keys) > 2 and (self._facts[self._keys[2]].pts or 0) * scale < earliest:
            del self._keys[0]
            self._leave_out(self._keys[0])

    def _leave_out(self, before: int) -> None:
        if self._is_open and self._kept and self._kept[0][0] < before:
            self._end_run()
        while self._kept and self._kept[0][0] < before:
            index, packet = self._kept.popleft()
            self._kept_bytes -= packet.size
            self._fed = index
            self._decoder.leave_out(packet)

    def _end_run(self) -> None:
        self._decoder.end()
        self._is_open = False

    def _extent(self, end: int | None = None) -> tuple[int, int]:
        """`end`: None: the stated one."""
        assert self._start is not None
        assert self.stream.time_base is not None
        if end is None:
            end = self.end.ticks + (self._start if self.end.from_start else 0)
        return stretch(self._start, max(end, self._start + 1), self.stream.time_base, self.rule)

    def _count_settled(self) -> int:
        """Segments whose frame is known: packets of later times have all been decoded later."""
        if self._start is None:
            return 0
        settled = self._num_known(self._num_settled, self._slack)
        return settled if settled >= min(_TELLING, self.rule.num_frames - 1) else 0

    def _num_known(self, settled: int, slack: int = 0) -> int:
        """Of segments whose frame has come, and the one behind it, and `slack` more (scaled as centres)."""
        known = 2 * self.rule.num_frames * (self._dts - self._facts[-1].duration) - slack
        while settled < self.rule.num_frames and self._centres[settled] < known:
            settled += 1
        return settled

    def _settle(self, num_settled: int, *, is_all: bool = False) -> None:
        """Decode what is known to be wanted of so many segments. `is_all`: the file is there to its end."""
        end: int | None = None
        if is_all:
            times = shown_times(self._facts)
            last = next(facts.duration for facts in self._facts if facts.pts == times[-1])
            end = times[-1] + max(1, last)
        extent = self._extent(end)
        num_known = num_settled if is_all else self._num_known(num_settled)
        targets = choose(self._facts, *extent, self.rule.num_frames, None if is_all else num_known).targets
        look = _begun(self.look, num_known)
        if isinstance(look, FirstLook) and not look.indices:
            return
        wanted, _ = looked_at(self._facts, extent, self.rule, targets, look)
        settled = sorted({target for place, target in wanted.items() if place < num_settled})
        for target in settled:
            self._wanted[self._facts[target].pts] = target
        for target in settled:
            if target > self._fed:
                self._decode_to(target)

    def _decode_to(self, target: int) -> None:
        start = run_start(self._facts, target)
        if not self._is_open or start > self._fed:
            if self._is_open:
                self._end_run()
            self._leave_out(start)
            if not self._kept or self._kept[0][0] != start:
                return  # it began before what is kept
            index, packet = self._kept[0]
            self._kept[0] = index, self._decoder.begin(packet, self._facts[index].pts)
            self._is_open = True
        while self._kept and self._kept[0][0] <= target:
            index, packet = self._kept.popleft()
            self._kept_bytes -= packet.size
            self._fed = index
            pts = self._facts[index].pts
            self._decoder.feed(packet, pts, is_wanted=pts in self._wanted)
            if self.is_over() or self._decoder.num_decoded * self._frame_pixels > self.most_pixels:
                raise _Odd

    @property
    def _frame_pixels(self) -> int:
        return self.stream.codec_context.width * self.stream.codec_context.height


def _apart(look: Look) -> int:
    """Segments between the frames of a look in which keyframes may stand in for them, else 0: a keyframe that is yet to
    come may be nearer, and a frame that is yet to come may be nearer to the keyframe."""
    if not isinstance(look, FirstLook) or not look.tolerance:
        return 0
    return min((after - before for before, after in pairwise(look.indices)), default=1)


def _begun(look: Look, num_settled: int) -> Look:
    """What the look asks of the first so many places."""
    settled = range(num_settled)
    if not isinstance(look, FirstLook):
        return FirstLook(tuple(settled), 0.0, ())
    later = settled if look.later is None else [index for index in look.later if index < num_settled]
    indices = tuple(index for index in look.indices if index < num_settled)
    return replace(look, indices=indices, later=tuple(later))
