"""From a camera's first packets to its first true picture: at a keyframe, or once all of a picture was sent anew.

A camera is joined anywhere: its next keyframe may be half a minute away, and some send none. Nobody hangs up meanwhile,
for that would begin the wait again. Knows no grid and no clock of the camera's.
"""

from typing import Any, cast

import av
from av.codec.context import Flags, Flags2
from av.packet import Packet
from av.sidedata.motionvectors import MotionVectors
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fovea.words import ErrorClass
from video.camera.live import CameraLost
from video.camera.refresh import Refresh
from video.clip import VideoLimits

MAX_BLIND_S = 65.0  # longer than keyframes are apart; then what can be decoded counts, and else the camera is given up
IN_VAIN_S = 30.0  # after a keyframe or after that time; intra refresh takes up to ten seconds to go round
TOLD_EVERY_S = 1.0
EXPORTS_VECTORS = frozenset({"h264", "mpeg4", "mpeg2video", "mpeg1video", "h263"})


class Blind:
    """One such wait. `context` decodes everything meanwhile, untrue pictures included."""

    def __init__(self, context: VideoCodecContext, limits: VideoLimits, now_s: float) -> None:
        context.flush_buffers()
        context.flags |= Flags.output_corrupt
        self.began_s = now_s
        self._keyframe_s: float | None = None  # when the first one came
        self.needs_faith = False  # pictures are true though libav marks them as damaged
        self._told_s = now_s
        self._seer = _seer(context, limits) if context.name in EXPORTS_VECTORS else None
        self._refresh: Refresh | None = None
        self._size_px = (0, 0)

    def true_frames(self, packet: "Packet[VideoStream]", frames: list[VideoFrame], now_s: float) -> list[VideoFrame]:
        """Those of `frames`, out with the packet, that show what the camera sees: with one, the wait is over."""
        if packet.is_keyframe and self._keyframe_s is None:
            self._keyframe_s = now_s
        for index, frame in enumerate(frames):
            if self._keyframe_s is not None and not frame.is_corrupt:
                return frames[index:]
        if self._is_refreshed(packet) or now_s - self.began_s > MAX_BLIND_S:
            self.needs_faith = True
            return frames
        return []

    def check(self, now_s: float) -> None:
        """Raises CameraLost where waiting longer is no use."""
        in_vain_s = max(
            now_s - self.began_s - MAX_BLIND_S, 0.0 if self._keyframe_s is None else now_s - self._keyframe_s
        )
        if in_vain_s > IN_VAIN_S:
            raise CameraLost(
                ErrorClass.UNSUPPORTED, f"nothing could be decoded for {now_s - self.began_s:.0f} s; opening it anew"
            )

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to tell again that a keyframe is waited for."""
        if now_s - self._told_s < TOLD_EVERY_S:
            return False
        self._told_s = now_s
        return True

    def _is_refreshed(self, packet: "Packet[VideoStream]") -> bool:
        """By a decoder of its own, for the other one shall not export motion vectors for ever."""
        if self._seer is None:
            return False
        try:
            frames = self._seer.decode(packet)
        except av.FFmpegError:
            frames = []
            self._refresh = None  # a piece is missing: from here on anew
        for frame in frames:
            if self._refresh is None or self._size_px != (frame.width, frame.height):
                self._size_px = frame.width, frame.height
                self._refresh = Refresh(frame.width, frame.height)
            self._refresh.note(None if frame.pict_type == PictureType.I else _vectors(frame))
        return self._refresh is not None and self._refresh.is_whole


def _vectors(frame: VideoFrame) -> NDArray[Any] | None:
    data = cast("SideDataContainer", frame.side_data).get(SideDataType.MOTION_VECTORS)
    return None if data is None else cast(MotionVectors, data).to_ndarray()


def _seer(context: VideoCodecContext, limits: VideoLimits) -> VideoCodecContext:
    seer = av.CodecContext.create(context.name, "r")
    assert isinstance(seer, VideoCodecContext)
    seer.extradata = context.extradata
    seer.thread_count = 1
    seer.flags |= Flags.output_corrupt
    seer.flags2 |= Flags2.export_mvs
    seer.options = {"max_pixels": str(2 * limits.frame_pixels)}
    return seer
