"""A camera's packets to pictures on a time grid, every frame decoded or keyframes alone. Knows no socket and no retry.

Runs in a process of its own (`camera_child`), in one thread.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import cast

import av
from av.error import ArgumentError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fovea.errors import VideoLimitExceeded
from fovea.words import ErrorClass, Mode
from video.camera.grid import Grid, Settled
from video.camera.live import Broken, CameraSource, Cell, Message, Opened, Patience, Picture, Progress, Sampling
from video.camera.rtsp import CameraLost, opened
from video.camera.timeline import Timeline
from video.file.picture import Painter
from video.file.probe import MAX_ASPECT, check_size

MAX_KEPT_BYTES = 8 * 2**20  # of the group of pictures that full decoding could start from
BLIND_S = 10.0  # that packets may come without any of them giving a picture
LATE_S, CAUGHT_UP_S = 1.0, 0.3  # behind the camera: where frames begin to be left out, and where that ends
NO_KEYFRAME_S = 10.0  # then decoding starts without: some cameras refresh in stripes and send none

Send = Callable[[Message], None]


def watch(source: CameraSource, patience: Patience, sampling: Sampling, mode: Callable[[], Mode], send: Send) -> None:
    """Open the camera and send what it shows until it is lost; the last message is `Lost`. `mode` is asked often."""
    try:
        with opened(source, patience, sampling.limits) as (container, stream):
            send(Opened(stream.codec_context.codec.canonical_name))
            feed = Feed(stream, sampling, mode(), send)
            for packet in whole_keyframes(container.demux(stream)):
                feed.take(packet, mode())
            raise CameraLost(ErrorClass.ENDED, f"{source.host} ended the stream")
    except CameraLost as error:
        send(error.lost)
    except VideoLimitExceeded as error:
        send(CameraLost(ErrorClass.LIMIT, error.detail).lost)


def whole_keyframes(packets: "Iterable[Packet[VideoStream]]") -> "Iterator[Packet[VideoStream]]":
    """The packets, those of one keyframe put together; libav's empty last one left out.

    Where a camera repeats its parameter sets before each slice of a keyframe, libav takes each for its own picture.
    So a keyframe waits for the packet after it: one frame's time.
    """
    held: Packet[VideoStream] | None = None
    for packet in packets:
        if not packet.size:
            continue
        if held is not None and packet.is_keyframe and held.pts in {None, packet.pts}:
            packet = joined(held, packet)  # noqa: PLW2901 - the same keyframe, longer
        elif held is not None:
            yield held
        held = packet if packet.is_keyframe else None
        if held is None:
            yield packet
    if held is not None:
        yield held


def joined(first: "Packet[VideoStream]", second: "Packet[VideoStream]") -> "Packet[VideoStream]":
    packet = cast("Packet[VideoStream]", Packet(bytes(first) + bytes(second)))
    packet.pts, packet.dts, packet.time_base, packet.is_keyframe = second.pts, second.dts, second.time_base, True
    return packet


class Feed:
    """What one connection to a camera gives."""

    def __init__(self, stream: VideoStream, sampling: Sampling, mode: Mode, send: Send) -> None:
        assert stream.time_base is not None
        self._context = stream.codec_context
        self._time_base = stream.time_base
        self._painter = Painter(sampling.rule, stream.sample_aspect_ratio)
        self._limits = sampling.limits
        self._cell_s = Fraction(*sampling.cell_us) / 10**6
        self._mode = mode
        self._send = send
        self._decoded = self._dropped = 0
        self._keyframe_s: Fraction | None = None
        self._keyframe_interval_s: float | None = None
        self._group: list[Packet[VideoStream]] = []  # since the latest keyframe, where full decoding may have to start
        self._group_bytes = 0
        self._started = False  # a keyframe was there
        self._is_late = False  # packets come faster than they can be decoded: keyframes alone, until that is over
        self._seen_s = self._began_s = time.monotonic()  # the latest good picture
        self._start_anew()

    def _start_anew(self) -> None:
        self._grid: Grid[VideoFrame] = Grid(self._cell_s)
        self._timeline = Timeline()

    def take(self, packet: "Packet[VideoStream]", mode: Mode) -> None:
        """The next packet, in the order in which it came. Raises CameraLost, VideoLimitExceeded."""
        now_s = time.monotonic()
        time_s = None if packet.pts is None else packet.pts * self._time_base
        if time_s is not None:
            if self._timeline.jumps_to(time_s):
                self._break_off()
            self._timeline.note(time_s, now_s)
        if packet.is_keyframe:
            self._note_keyframe(time_s)
        if not self._started and not packet.is_keyframe and now_s - self._began_s < NO_KEYFRAME_S:
            return
        self._started = True
        self._keep(packet)
        self._note_lateness(packet, time_s, now_s)
        if mode != self._mode:
            self._switch(mode)
        elif mode == "all" and not self._is_late:
            self._see(self._decode(packet))
        elif packet.is_keyframe:
            self._see(self._decode_alone(packet))
        else:
            self._dropped += mode == "all"
        if (self._mode == "keyframes" or self._is_late) and time_s is not None:
            self._tell(self._grid.advance(time_s))
        if now_s - self._seen_s > BLIND_S:
            raise CameraLost(ErrorClass.UNSUPPORTED, f"nothing could be decoded for {BLIND_S:g} s; opening it anew")

    def _note_lateness(self, packet: "Packet[VideoStream]", time_s: Fraction | None, now_s: float) -> None:
        """Results must be fresh: what cannot be decoded in time is left out, not queued up."""
        if self._mode != "all" or time_s is None:
            return
        late_s = now_s - self._timeline.arrival_s(time_s)
        if self._is_late:
            self._is_late = not (packet.is_keyframe and late_s < CAUGHT_UP_S)
        elif late_s > LATE_S:
            self._is_late = True
            self._context.flush_buffers()

    def _break_off(self) -> None:
        self._context.flush_buffers()
        self._start_anew()
        self._keyframe_s, self._started, self._is_late, self._began_s = None, False, False, time.monotonic()
        self._group, self._group_bytes = [], 0
        self._send(Broken())

    def _note_keyframe(self, time_s: Fraction | None) -> None:
        if time_s is not None:
            if self._keyframe_s is not None:
                self._keyframe_interval_s = float(time_s - self._keyframe_s)
            self._keyframe_s = time_s

    def _keep(self, packet: "Packet[VideoStream]") -> None:
        if packet.is_keyframe:
            self._group, self._group_bytes = [], 0
        if self._mode == "keyframes" and (self._group or packet.is_keyframe):
            self._group.append(packet)
            self._group_bytes += packet.size
            if self._group_bytes > MAX_KEPT_BYTES:  # then full decoding starts with the next keyframe
                self._group, self._group_bytes = [], 0

    def _switch(self, mode: Mode) -> None:
        self._mode, self._is_late = mode, False
        if mode == "keyframes":
            self._see(self._decode(None))
            self._context.flush_buffers()
        elif self._group:
            for packet in self._group:  # catch up from the latest keyframe
                self._see(self._decode(packet))
        else:
            self._started, self._began_s = False, time.monotonic()
        self._group, self._group_bytes = [], 0

    def _decode(self, packet: "Packet[VideoStream] | None") -> list[VideoFrame]:
        try:
            return self._context.decode(packet)
        except ArgumentError:
            raise VideoLimitExceeded("the camera's picture has a size far beyond the limit, or none") from None
        except MemoryError:
            raise
        except av.FFmpegError:  # one damaged packet; the next may do
            self._dropped += 1
            return []

    def _decode_alone(self, packet: "Packet[VideoStream]") -> list[VideoFrame]:
        """A decoder may hold a frame back for those that are shown before it: here none comes."""
        frames = self._decode(packet) + self._decode(None)
        self._context.flush_buffers()
        return frames

    def _see(self, frames: list[VideoFrame]) -> None:
        for frame in frames:
            self._decoded += 1
            check_size(frame.width, frame.height, self._limits)
            if frame.is_corrupt:
                self._dropped += 1
                continue
            self._seen_s = time.monotonic()
            if frame.pts is None:
                continue  # libav does not know the time of the very first one
            time_s = frame.pts * self._time_base
            self._dropped += self._grid.is_late(time_s) and self._mode == "keyframes"
            self._tell(self._grid.frame(time_s, frame))

    def _tell(self, cells: Iterator[Settled[VideoFrame]]) -> None:
        for cell in cells:
            picture = None if cell.frame is None else self._picture(cell.frame, cell.time_s)
            self._send(Cell(cell.index, picture, self._progress()))

    def _picture(self, frame: VideoFrame, time_s: Fraction) -> Picture:
        width_px, height_px = self._painter.displayed_size(frame)
        if max(width_px, height_px) > MAX_ASPECT * min(width_px, height_px):
            raise VideoLimitExceeded.too_elongated(width_px, height_px, MAX_ASPECT)
        assert frame.pts is not None
        frame_HWC, view_B = self._painter.paint(frame)
        captured_s = self._timeline.arrival_s(frame.pts * self._time_base)
        return Picture(frame_HWC, view_B, float(time_s), captured_s, width_px, height_px)

    def _progress(self) -> Progress:
        return Progress(self._decoded, self._dropped, self._keyframe_interval_s, self._mode)
