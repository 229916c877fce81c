"""Goes through a long file and gives a picture for each cell of a time grid: from keyframes alone, or from all frames.

A file is a camera that can be sought: whoever looks may ask for a stretch's keyframes first and for all its frames
afterwards. Two readers of the same file go forward, each at its own pace, and neither keeps what it has passed. Runs
in a child process, in one thread. Knows no window and no model.
"""

import math
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import chain

import av
from av.error import ArgumentError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fovea.errors import VideoLimitExceeded
from fovea.words import Mode
from video.camera.grid import Grid, Settled
from video.clip import ClipRule, VideoLimits
from video.file.cells import CellPicture, Work
from video.file.parameter_sets import ParameterSets
from video.file.picture import Painter
from video.file.probe import MAX_ASPECT, check_size, opened, packets_of
from video.file.survey import RunningClock, Survey

LOOKAHEAD = 24  # packets known ahead of the one that is decoded: frames are reordered over fewer


class LongFile:
    """One file on a grid of cells of `cell_s`. Use as a context manager; raises VideoError kin."""

    def __init__(self, path: str, rule: ClipRule, limits: VideoLimits, seen: Survey, cell_s: Fraction) -> None:
        self._path, self._rule, self._limits, self._survey, self._cell_s = path, rule, limits, seen, cell_s
        self._open = ExitStack()
        self._readers: dict[Mode, _Reader] = {}
        self._painter: Painter | None = None  # both readers': what the first frame tells of orientation holds for all
        self.work = Work()

    def __enter__(self) -> "LongFile":
        return self

    def __exit__(self, *how: object) -> None:
        self._open.close()

    def cells(self, mode: Mode, first: int, last: int) -> Iterator[tuple[int, CellPicture | None]]:
        """Cells [first, last), each with its picture; None where it has none, and the one before holds.

        What lies before `first` is passed by: a mode's calls must go forward.
        """
        reader = self._readers.get(mode)
        if reader is None:
            kind = _Keyframes if mode == "keyframes" else _AllFrames
            container, stream = self._open.enter_context(opened(self._path, self._limits))
            packets = packets_of(container, stream)
            clock = RunningClock(container, stream, self._limits)
            reader = kind(stream, packets, clock, self._survey, self._cell_s, self._limits, self.work)
            self._readers[mode] = reader
            self._painter = self._painter or Painter(self._rule, stream.sample_aspect_ratio)
        for cell in reader.cells(first, last):
            yield cell.index, None if cell.frame is None else self._picture(cell.frame, float(cell.time_s))

    def _picture(self, frame: VideoFrame, pts_s: float) -> CellPicture:
        assert self._painter is not None
        width_px, height_px = self._painter.displayed_size(frame)
        if max(width_px, height_px) > MAX_ASPECT * min(width_px, height_px):
            raise VideoLimitExceeded.too_elongated(width_px, height_px, MAX_ASPECT)
        return CellPicture(*self._painter.paint(frame), pts_s, width_px, height_px)


class _Reader:
    """Goes forward through the packets, decodes some, and settles cells."""

    def __init__(
        self,
        stream: VideoStream,
        packets: "Iterator[Packet[VideoStream]]",
        clock: RunningClock,
        seen: Survey,
        cell_s: Fraction,
        limits: VideoLimits,
        work: Work,
    ) -> None:
        assert stream.time_base is not None
        self._context, self._time_base = stream.codec_context, stream.time_base
        self._packets, self._clock, self._survey, self._cell_s = packets, clock, seen, cell_s
        self._limits, self._work = limits, work
        self._sets = ParameterSets(stream)
        self._left_out = False
        self._base = 0  # the cell that the grid counts from
        self._grid = self._new_grid()
        self._next = 0  # the first cell that is not given yet
        self._settled: deque[Settled[VideoFrame]] = deque()
        self._is_over = False

    def cells(self, first: int, last: int) -> Iterator[Settled[VideoFrame]]:
        assert first >= self._next, f"cell {first} is passed by, the next is {self._next}"
        self._go_to(first)
        while self._next < last:
            while self._settled:
                cell = self._settled.popleft()
                if cell.index >= max(first, self._next):
                    self._next = cell.index + 1
                    yield cell
                if self._next == last:
                    return
            if not self._is_over:
                self._feed()
            elif not self._settled:
                yield Settled(max(first, self._next), None, max(first, self._next) * self._cell_s)
                self._next = max(first, self._next) + 1

    def _go_to(self, first: int) -> None:
        raise NotImplementedError

    def _feed(self) -> None:
        """Take the next packet; at the end say so."""
        raise NotImplementedError

    def _new_grid(self) -> Grid[VideoFrame]:
        grid: Grid[VideoFrame] = Grid(self._cell_s)
        grid.anchor_s = Fraction(0)
        return grid

    def _pull(self) -> "Packet[VideoStream] | None":
        """The next packet, its time on the running clock; None at the end, or where the file cannot be read on."""
        try:
            packet = next(self._packets, None)
        except MemoryError:
            raise
        except av.FFmpegError:
            return None  # as the survey found
        if packet is not None:
            packet.pts = self._clock.take(packet)
        return packet

    def _time_s(self, ticks: int) -> Fraction:
        return (ticks - self._survey.start_ticks) * self._time_base

    def _leave_out(self, packet: "Packet[VideoStream]") -> None:
        self._sets.left_out(packet)
        self._left_out = True

    def _decode(self, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
        if packet is not None and self._left_out:
            packet, self._left_out = self._sets.completed(packet), False
        try:
            frames = self._context.decode(packet)
        except ArgumentError:
            raise VideoLimitExceeded(
                f"a frame claims a size far beyond the {self._limits.frame_pixels} pixels taken here, or none at all",
                limit_pixels=self._limits.frame_pixels,
            ) from None
        except MemoryError:
            raise
        except av.FFmpegError:  # one damaged packet; the next may do
            self._work.frames_damaged += 1
            return []
        good = []
        for frame in frames:
            check_size(frame.width, frame.height, self._limits)
            self._work.frames_decoded += 1
            self._work.decode_pixels += frame.width * frame.height
            if frame.is_corrupt or frame.pts is None:
                self._work.frames_damaged += frame.is_corrupt
            else:
                good.append(frame)
        return good

    def _see(self, frames: list[VideoFrame]) -> None:
        for frame in frames:
            assert frame.pts is not None
            time_s = self._time_s(frame.pts) - self._base * self._cell_s
            if time_s >= 0:
                self._keep(self._grid.frame(time_s, frame))

    def _advance(self, time_s: Fraction) -> None:
        """Nothing before that time will come any more."""
        self._keep(self._grid.advance(time_s - self._base * self._cell_s))

    def _keep(self, cells: Iterator[Settled[VideoFrame]]) -> None:
        shift_s = self._base * self._cell_s
        self._settled.extend(Settled(cell.index + self._base, cell.frame, cell.time_s + shift_s) for cell in cells)

    def _finish(self) -> None:
        """What the decoder holds back comes out, and the last cells are settled."""
        self._see(self._decode(None))
        self._advance(Fraction(self._survey.duration_s) + self._cell_s)
        self._is_over = True


class _Keyframes(_Reader):
    """Decodes keyframes, each by itself. It goes first, and has those struck off that are none."""

    _number = -1  # of the latest packet

    def _go_to(self, first: int) -> None:
        pass

    def _feed(self) -> None:
        packet = self._pull()
        if packet is None:
            self._finish()
            return
        assert packet.pts is not None
        self._number += 1
        time_s = self._time_s(packet.pts)
        if packet.is_keyframe:
            frames = self._decode(packet) + self._decode(None)  # it may hold one back for frames shown before it
            self._context.flush_buffers()
            true = [frame for frame in frames if frame.key_frame]
            self._see(true)
            if not true:
                self._survey.strike_off(self._number)
        else:
            self._leave_out(packet)
        self._advance(time_s)


class _AllFrames(_Reader):
    """Decodes every frame that is nearest to a cell's middle, and those that others refer to."""

    def __init__(self, *parts: object) -> None:
        super().__init__(*parts)  # type: ignore[arg-type]  # the same
        self._cell_length_s = float(self._cell_s)
        self._number = 0  # of the packet that comes next out of `_ahead`
        self._ahead: deque[tuple[float, Packet[VideoStream]]] = deque()  # with their times
        self._passed: deque[float] = deque(maxlen=LOOKAHEAD)  # times of the latest packets
        self._from_cell = 0
        self._run_start_s: Fraction | None = None  # of the keyframe that decoding began with; None: it has to begin
        self._skips = self._context.name != "libdav1d"  # which takes this setting once, when it opens

    def _go_to(self, first: int) -> None:
        self._from_cell = first
        start = self._survey.key_before(float(first * self._cell_s))
        if self._number >= start and self._run_start_s is not None:
            self._advance(first * self._cell_s)  # in the same group of pictures: go on, showing nothing in between
            return
        self._context.flush_buffers()
        self._settled.clear()
        self._run_start_s, self._base, self._grid = None, first, self._new_grid()
        while self._number < start and (packet := self._next_packet()) is not None:
            self._leave_out(packet)

    def _next_packet(self) -> "Packet[VideoStream] | None":
        while len(self._ahead) <= LOOKAHEAD and (packet := self._pull()) is not None:
            assert packet.pts is not None
            self._ahead.append((float(self._time_s(packet.pts)), packet))
        if not self._ahead:
            return None
        time_s, packet = self._ahead.popleft()
        self._number += 1
        self._passed.append(time_s)
        return packet

    def _feed(self) -> None:
        packet = self._next_packet()
        if packet is None:
            self._finish()
            return
        assert packet.pts is not None
        time_s = self._time_s(packet.pts)
        if self._run_start_s is None:
            self._run_start_s = time_s
        if time_s < self._run_start_s:  # shown before the keyframe it follows: it refers to what was passed by
            self._leave_out(packet)
            return
        if self._skips:
            self._context.skip_frame = "DEFAULT" if self._is_wanted(float(time_s)) else "NONREF"
        self._see(self._decode(packet))

    def _is_wanted(self, time_s: float) -> bool:
        """Whether no frame around it is nearer to the middle of its cell. Equal ones are both wanted."""
        cell = math.floor(time_s / self._cell_length_s + 1e-9)
        if cell < self._from_cell:
            return False
        middle_s = (cell + 0.5) * self._cell_length_s
        distance_s = abs(time_s - middle_s) - 1e-6
        near = chain(self._passed, (other_s for other_s, _ in self._ahead))
        return not any(abs(other_s - middle_s) < distance_s for other_s in near)
