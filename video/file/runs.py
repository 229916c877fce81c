"""Decodes stretches of packets, each from a keyframe, and paints the frames among them that are wanted.

Knows neither which frames are wanted nor where packets come from.
Shape suffixes: H rows, W columns, C colour channels, B box sides.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from av.error import ArgumentError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fovea.errors import VideoLimitExceeded
from video.clip import VideoLimits
from video.file.parameter_sets import ParameterSets
from video.file.picture import Painter
from video.file.probe import MAX_ASPECT, check_size

_FILTERED = "h264"  # the codec whose filter libav can leave out, and of which what that costs was measured


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame taken."""

    pts: int
    frame_HWC: NDArray[np.uint8]
    view_B: NDArray[np.float32]
    displayed: tuple[int, int]


class FalseKeyframe(Exception):
    """A packet that claims to be a keyframe is none: what is decoded from it on is made up."""


def decoded(
    context: VideoCodecContext, packet: "Packet[VideoStream] | None", limits: VideoLimits
) -> "list[VideoFrame]":
    """What comes out for the packet; None: what the decoder holds back. Raises av.FFmpegError, VideoLimitExceeded."""
    try:
        frames = context.decode(packet)
    except ArgumentError:  # a size that libav itself refuses: see max_pixels in probe
        raise VideoLimitExceeded(
            f"a frame claims a size far beyond the {limits.frame_pixels} pixels taken here, or none at all; "
            "send the video at a lower resolution",
            limit_pixels=limits.frame_pixels,
        ) from None
    for frame in frames:
        check_size(frame.width, frame.height, limits)  # of the frame itself: headers may lie
    return frames


def shot_of(painter: Painter, pts: int, frame: VideoFrame) -> Shot:
    """Raises VideoLimitExceeded."""
    displayed = painter.displayed_size(frame)
    if max(displayed) > MAX_ASPECT * min(displayed):
        raise VideoLimitExceeded.too_elongated(*displayed, MAX_ASPECT)
    return Shot(pts, *painter.paint(frame), displayed)


class RunDecoder:
    """Goes through a stream's packets in decode order: `leave_out` those between runs; `begin` a run with its first,
    `feed` all of it, `end` it.

    `shots` are those that came out whole, by packet; `wanted` says which packet's frame is shown when, and may grow.
    """

    def __init__(
        self,
        stream: VideoStream,
        painter: Painter,
        limits: VideoLimits,
        wanted: Mapping[int | None, int],
        *,
        skip_loop_filter: bool = False,
    ) -> None:
        """`skip_loop_filter`: as `FirstLook` has it; of a stream that nothing has been decoded of."""
        if skip_loop_filter and stream.codec_context.name == _FILTERED:
            # where slices are intra alone, edges of blocks are filtered all the same: it is there that they show most
            stream.codec_context.options = {**stream.codec_context.options, "skip_loop_filter": "nointra"}
        self._context = stream.codec_context
        self._sets = ParameterSets(stream)
        self._painter = painter
        self._limits = limits
        self._wanted = wanted
        # frames that no other refers to are left out; dav1d takes this setting once, when it opens, not per packet
        self._skips = self._context.name != "libdav1d"
        self._first_pts: int | None = None
        self._num_of_run = 0
        self.num_decoded = 0
        self.shots: dict[int, Shot] = {}

    def leave_out(self, packet: "Packet[VideoStream]") -> None:
        self._sets.left_out(packet)

    def begin(self, packet: "Packet[VideoStream]", pts: int | None) -> "Packet[VideoStream]":
        """The same packet, with what it needs of those left out: to be fed."""
        self._first_pts, self._num_of_run = pts, 0
        return self._sets.completed(packet)

    def feed(self, packet: "Packet[VideoStream]", pts: int | None, *, is_wanted: bool) -> None:
        """Raises FalseKeyframe, av.FFmpegError where the packet cannot be decoded, VideoLimitExceeded."""
        packet.pts = pts
        if pts is not None and self._first_pts is not None and pts < self._first_pts:
            return  # a frame shown before the keyframe it follows cannot be decoded from here
        if self._skips:
            self._context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
        self._take(packet)

    def end(self) -> None:
        """What the decoder holds back comes out. Raises what `feed` does."""
        self._take(None)
        self._context.flush_buffers()

    def _take(self, packet: "Packet[VideoStream] | None") -> None:
        frames = decoded(self._context, packet, self._limits)
        self.num_decoded += len(frames)
        if frames and self._num_of_run == 0 and not frames[0].key_frame:
            raise FalseKeyframe
        self._num_of_run += len(frames)
        for frame in frames:
            target = self._wanted.get(frame.pts) if frame.pts is not None else None
            if target is not None and target not in self.shots and not frame.is_corrupt:
                assert frame.pts is not None
                self.shots[target] = shot_of(self._painter, frame.pts, frame)
