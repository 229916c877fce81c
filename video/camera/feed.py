"""A camera's packets to pictures on a time grid, every frame decoded or keyframes alone. Knows no socket and no retry.

Runs in a process of its own (`camera_child`), in one thread.
"""

import time
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
from av.codec.context import Flags
from av.error import ArgumentError
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from fovea.errors import VideoLimitExceeded
from fovea.words import ErrorClass, Mode
from video.camera.arrivals import Arrival, arrivals, whole_keyframes
from video.camera.blind import Blind
from video.camera.clock import StreamClock
from video.camera.grid import Grid, Settled
from video.camera.live import (
    Broken,
    CameraLost,
    CameraSource,
    Cell,
    Message,
    Opened,
    Patience,
    Picture,
    Progress,
    Sampling,
    Waiting,
)
from video.camera.rtsp import opened
from video.camera.timeline import FORWARD_S
from video.file.picture import Painter
from video.file.probe import MAX_ASPECT, check_size

MAX_KEPT_BYTES = 8 * 2**20  # of the group of pictures that full decoding could start from
BLIND_S, BLIND_PACKETS = 10.0, 10  # that packets may come without any of them giving a picture
LATE_S, LATE_PACKETS, CAUGHT_UP_S = 1.0, 25, 0.3  # without having caught up: where frames begin to be left out; its end
PATIENT = 4  # times that, where the next picture to begin with is far
MISSED_S = 1.0  # of silence before a break: what came meanwhile may be lost, and pictures refer to it
NEEDED = 3  # keyframes that stand alone, once one did not
STILL_S, STILL_PACKETS = 15.0, 50  # pictures, and no cell is ever over: time stands still
OVERDUE = 2.5  # keyframe distances without a keyframe, after which all is decoded

Send = Callable[[Message], None]


def watch(source: CameraSource, patience: Patience, sampling: Sampling, mode: Callable[[], Mode], send: Send) -> None:
    """Open the camera and send what it shows until it is lost; the last message is `Lost`. `mode` is asked often."""
    try:
        with opened(source, patience, sampling.limits) as (container, stream):
            codec = stream.codec_context.codec.canonical_name
            send(Opened(codec))
            gap_s = max(float(FORWARD_S), 1.5 * patience.stall_s)
            feed = Feed(stream, sampling, mode(), send, StreamClock(sampling.clock, gap_s))
            for arrival in whole_keyframes(arrivals(container.demux(stream)), codec):
                feed.take(arrival, mode())
            raise CameraLost(ErrorClass.ENDED, f"{source.host} ended the stream")
    except CameraLost as error:
        send(error.lost)
    except VideoLimitExceeded as error:
        send(CameraLost(ErrorClass.LIMIT, error.detail).lost)


class Feed:
    """What one connection to a camera gives."""

    def __init__(self, stream: VideoStream, sampling: Sampling, mode: Mode, send: Send, clock: StreamClock) -> None:
        assert stream.time_base is not None
        self._context = stream.codec_context
        self._time_base = stream.time_base
        self._painter = Painter(sampling.rule, stream.sample_aspect_ratio)
        self._limits = sampling.limits
        self._cell_s = Fraction(*sampling.cell_us) / 10**6
        self._grid: Grid[VideoFrame] = Grid(self._cell_s)
        self._clock = clock
        self._asked = mode
        self._send = send
        self._decoded = self._dropped = 0
        self._keyframe_s: Fraction | None = None
        self._keyframe_interval_s: float | None = None
        self._keyframes_do = True  # each can be decoded alone, and they keep coming
        self._intra_seen = True  # since the latest keyframe packet, a picture that refers to no other
        self._alone, self._needed = 0, 1  # keyframes in a row that stood alone; so many until they are relied on again
        self._group: list[Packet[VideoStream]] = []  # since the latest keyframe, where full decoding may have to start
        self._group_bytes = 0
        self._is_late = False  # packets come faster than they can be decoded: keyframes alone, until that is over
        self._arrived_s = self._caught_up_s = self._seen_s = time.monotonic()  # latest packet, awaited one, picture
        self._unseen = self._unawaited = 0  # packets since the latest picture, since the latest awaited one
        self._told_s, self._untold = self._seen_s, 0  # the latest cell; packets since
        self._has_faith = False  # libav takes pictures for damaged that are not
        self._blind: Blind | None = Blind(self._context, self._limits, self._seen_s)

    @property
    def _mode(self) -> Mode:
        """What is done: more than what was asked where keyframes do not do."""
        return self._asked if self._keyframes_do else "all"

    def take(self, arrival: Arrival, mode: Mode) -> None:
        """The next packet, in the order in which it came. Raises CameraLost, VideoLimitExceeded."""
        packet = arrival.packet
        self._note_time(arrival)
        if packet.is_keyframe:
            self._note_keyframe()
        self._keep(packet)
        before, self._asked = self._mode, mode
        self._note_lateness(packet, arrival.arrived_s)
        self._unseen += 1
        self._untold += 1
        if self._blind is not None:
            self._look_for(self._blind, packet)
            return
        if self._mode != before:
            self._switch(packet)
        elif self._mode == "all" and not self._is_late:
            self._see(self._decode(packet))
        elif packet.is_keyframe:
            self._see_alone(packet)
        else:
            self._dropped += self._mode == "all"
        self._check_sight()
        time_s = self._clock.now_s()
        if self._blind is None and (self._mode == "keyframes" or self._is_late) and time_s is not None:
            self._tell(self._grid.advance(time_s))

    def _note_time(self, arrival: Arrival) -> None:
        packet, now_s = arrival.packet, arrival.arrived_s
        self._unawaited += 1
        if arrival.was_awaited:
            self._caught_up_s, self._unawaited = now_s, 0
        silence_s, self._arrived_s = now_s - self._arrived_s, now_s
        camera_s = None if packet.pts is None else packet.pts * self._time_base
        if not self._clock.take(camera_s, now_s, arrival.was_awaited):
            return
        if self._clock.is_wild:
            raise CameraLost(
                ErrorClass.UNSUPPORTED, "the camera's clock jumps again and again; subscribe with clock=auto or arrival"
            )
        self._grid = Grid(self._cell_s)
        self._keyframe_s, self._keyframe_interval_s = None, None
        self._send(Broken())
        if silence_s > MISSED_S:  # else its clock alone has jumped: pictures go on from those before
            self._go_blind()

    def _note_keyframe(self) -> None:
        """Where keyframes refer to pictures before them (intra refresh), they are none that could be decoded alone."""
        time_s = self._clock.now_s()
        if self._blind is None and self._mode == "all" and not self._is_late:
            if self._intra_seen:
                self._alone += 1
                self._keyframes_do = self._alone >= self._needed
            else:
                self._rely_on_all()
            self._intra_seen = False
        if time_s is not None:
            if self._keyframe_s is not None:
                self._keyframe_interval_s = float(time_s - self._keyframe_s) if self._keyframes_do else None
            self._keyframe_s = time_s

    def _keep(self, packet: "Packet[VideoStream]") -> None:
        if packet.is_keyframe:
            self._group, self._group_bytes = [], 0
        if self._mode == "keyframes" and (self._group or packet.is_keyframe):
            self._group.append(packet)
            self._group_bytes += packet.size
            if self._group_bytes > MAX_KEPT_BYTES:  # then full decoding starts with the next keyframe
                self._group, self._group_bytes = [], 0

    def _note_lateness(self, packet: "Packet[VideoStream]", now_s: float) -> None:
        """Results must be fresh: what cannot be decoded in time is left out, not queued up."""
        late_s = now_s - self._caught_up_s
        is_near = self._keyframes_do and (self._keyframe_interval_s or 0.0) <= PATIENT * LATE_S
        times = 1 if is_near else PATIENT
        if self._blind is not None or self._mode != "all":
            self._is_late = False
        elif not self._is_late and late_s > times * LATE_S and self._unawaited > times * LATE_PACKETS:
            self._is_late = True
            self._context.flush_buffers()
        elif self._is_late and late_s < CAUGHT_UP_S:
            if not self._keyframes_do:
                self._go_blind()
            elif packet.is_keyframe:
                self._is_late = False

    # -- without a true picture

    def _go_blind(self) -> None:
        self._blind = Blind(self._context, self._limits, self._arrived_s)
        self._is_late, self._has_faith = False, False

    def _look_for(self, blind: Blind, packet: "Packet[VideoStream]") -> None:
        """Decode everything, show nothing, until pictures are true."""
        dropped = self._dropped
        frames = blind.true_frames(packet, self._decode(packet), self._arrived_s)
        self._dropped = dropped  # what cannot be decoded yet is not damaged
        if not frames:
            blind.check(self._arrived_s)
            if blind.is_due(self._arrived_s):
                self._send(Waiting(self._arrived_s - blind.began_s))
            return
        self._blind, self._has_faith = None, blind.needs_faith
        self._told_s, self._untold = self._arrived_s, 0
        if not self._has_faith:
            self._context.flags &= ~Flags.output_corrupt
        self._intra_seen = not self._has_faith and frames[0].pict_type == PictureType.I
        self._keyframes_do = self._intra_seen and self._needed == 1
        self._see(frames)
        if self._mode == "keyframes":
            self._context.flush_buffers()

    def _check_sight(self) -> None:
        """Packets come, and no picture: begin anew, without hanging up."""
        if self._untold > STILL_PACKETS and self._arrived_s - self._told_s > STILL_S + float(self._cell_s):
            raise CameraLost(
                ErrorClass.UNSUPPORTED, "the camera's clock stands still; subscribe with clock=auto or arrival"
            )
        unseen_s = self._arrived_s - self._seen_s
        if self._blind is not None or self._is_late:
            return
        if self._mode == "keyframes":
            interval_s = self._keyframe_interval_s
            if interval_s is not None and unseen_s > max(BLIND_S, OVERDUE * interval_s):
                self._rely_on_all()
                self._switch(None)
        elif unseen_s > BLIND_S and self._unseen > BLIND_PACKETS:
            self._go_blind()

    def _rely_on_all(self) -> None:
        self._keyframes_do, self._alone, self._needed = False, 0, NEEDED

    # -- decoding

    def _switch(self, packet: "Packet[VideoStream] | None") -> None:
        """From all to keyframes or back; `packet` has not been decoded."""
        self._is_late = False
        group, self._group, self._group_bytes = self._group, [], 0
        if self._mode == "keyframes":
            self._see(self._decode(None))
            self._context.flush_buffers()
            if packet is not None and packet.is_keyframe:
                self._see_alone(packet)
        elif group:
            for kept in group:  # catch up from the latest keyframe
                self._see(self._decode(kept))
        else:
            self._go_blind()

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

    def _see_alone(self, packet: "Packet[VideoStream]") -> None:
        """A decoder may hold a frame back for those that are shown before it: here none comes."""
        frames = self._decode(packet) + self._decode(None)
        self._context.flush_buffers()
        self._see(frames)
        if not any(frame.pict_type == PictureType.I and not frame.is_corrupt for frame in frames):
            self._rely_on_all()
            self._go_blind()

    def _see(self, frames: list[VideoFrame]) -> None:
        for frame in frames:
            self._decoded += 1
            check_size(frame.width, frame.height, self._limits)
            if not frame.is_corrupt and self._has_faith:
                self._has_faith = False
                self._context.flags &= ~Flags.output_corrupt
            if frame.is_corrupt and not self._has_faith:
                self._dropped += 1
                continue
            self._seen_s, self._unseen = self._arrived_s, 0
            self._intra_seen |= frame.pict_type == PictureType.I
            time_s = self._clock.time_s(None if frame.pts is None else frame.pts * self._time_base)
            if time_s is None:
                continue  # libav does not know the time of the very first one
            self._dropped += self._grid.is_late(time_s) and self._mode == "keyframes"
            self._tell(self._grid.frame(time_s, frame))

    # -- telling

    def _tell(self, cells: Iterator[Settled[VideoFrame]]) -> None:
        for cell in cells:
            picture = None if cell.frame is None else self._picture(cell.frame, cell.time_s)
            self._told_s, self._untold = self._arrived_s, 0
            self._send(Cell(cell.index, picture, self._progress()))

    def _picture(self, frame: VideoFrame, time_s: Fraction) -> Picture:
        width_px, height_px = self._painter.displayed_size(frame)
        if max(width_px, height_px) > MAX_ASPECT * min(width_px, height_px):
            raise VideoLimitExceeded.too_elongated(width_px, height_px, MAX_ASPECT)
        frame_HWC, view_B = self._painter.paint(frame)
        assert self._grid.anchor_s is not None
        captured_s = self._clock.arrival_s(self._grid.anchor_s + time_s)
        return Picture(frame_HWC, view_B, float(time_s), captured_s, width_px, height_px)

    def _progress(self) -> Progress:
        return Progress(self._decoded, self._dropped, self._keyframe_interval_s, self._mode, self._clock.used)
