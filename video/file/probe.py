"""Opens a video file behind allow-lists, and learns its packets' times and its limits' verdict without decoding.

Knows neither how frames are chosen nor how they are turned into pixels.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import av
import av.logging
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from fovea.errors import NoVideoStream, VideoLimitExceeded, VideoUnreadable
from video.clip import VideoLimits
from video.file.sampling import PacketFacts

# Containers that hold their own pictures. Left out on purpose: whatever names other files or addresses (concat, hls,
# dash, sdp, image sequences), whatever renders text, and the long tail of game and camera formats.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf"

# libav's decoder names (two of them for AV1).
CODECS = (
    "h264,hevc,vp8,vp9,av1,libdav1d,mpeg4,mpeg2video,mpeg1video,mjpeg,prores,dnxhd,ffv1,h263,flv,"
    "msmpeg4v2,msmpeg4,wmv1,wmv2,wmv3,vc1,theora"
)

MAX_ASPECT = 32  # wider or taller than 32:1 is no camera's picture, and filling a square with it would take a huge one

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Track:
    """The video stream of a file, as its packets tell it."""

    codec: str  # "h264"
    time_base: Fraction  # seconds per pts tick
    packets: tuple[PacketFacts, ...]  # decode order; the first is a keyframe where there is any
    num_skipped: int  # packets before the first keyframe: nothing could decode them
    has_times: bool  # every packet says when it is shown
    start_pts: int
    end_pts: int

    @property
    def duration_s(self) -> float:
        return float((self.end_pts - self.start_pts) * self.time_base)


@contextmanager
def opened(path: str, limits: VideoLimits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The file's container and its video stream, nothing decoded; raises VideoError kin without naming the path."""
    av.logging.set_level(None)
    try:
        container = av.open(
            "file:" + path,  # so that a name like "concat:a|b" stays a name
            "r",
            options={"format_whitelist": FORMATS, "protocol_whitelist": "file", "codec_whitelist": CODECS},
            metadata_errors="replace",  # titles in a broken encoding are none of our business
        )
    except (MemoryError, FileNotFoundError, PermissionError):
        raise
    except av.FFmpegError as error:
        _log.debug("open failed: %r", error)
        raise VideoUnreadable(
            "the file is empty, damaged at its start, or of a kind that is not read here; "
            "send a complete video as mp4, mov, mkv, webm, avi, ts, mpg, flv, ogv or wmv"
        ) from None
    with container:
        stream = _video_stream(container)
        stream.codec_context.thread_count = 1
        # Twice the limit, since decoders round up: `check_size` is the exact rule, this bounds what libav allocates.
        # Not for opening, too: many formats tell their size by the first frame alone, and it would be lost.
        stream.codec_context.options = {"max_pixels": str(2 * limits.frame_pixels)}
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all  # neither parsed nor, in mp4, even read
        yield container, stream


def packets_of(container: InputContainer, stream: VideoStream) -> "Iterator[Packet[VideoStream]]":
    """The stream's packets in decode order, without empty ones and libav's end mark: the same at each reading."""
    return (packet for packet in container.demux(stream) if packet.size)


def scan(path: str, limits: VideoLimits) -> Track:
    """Read all packets of the video stream without decoding any; refuse what is beyond `limits`.

    What the headers declare is checked first, then what is really there: headers may lie, and Matroska, MPEG-TS and
    fragmented MP4 declare no number of frames at all. An MP4 that ends before its own index says is refused; where
    there is no such index, what is there is the video, less a last packet cut in two.
    """
    with opened(path, limits) as (container, stream):
        check_size(stream.codec_context.width, stream.codec_context.height, limits)
        declared_s = _declared_duration_s(container, stream)
        _check_duration(declared_s, limits)
        assert stream.time_base is not None
        limit_ticks = int(limits.duration_s / stream.time_base)
        packets: list[PacketFacts] = []
        is_corrupt = False  # the latest packet
        broken_by: str | None = None
        try:
            for packet in packets_of(container, stream):
                if len(packets) == limits.frames:
                    raise VideoLimitExceeded(
                        f"the video has more than {limits.frames} frames, the most taken here; send a part of it",
                        limit_frames=limits.frames,
                    )
                packets.append(PacketFacts(packet.pts, packet.duration or 0, packet.is_keyframe, not packet.is_discard))
                is_corrupt = packet.is_corrupt
                first_pts = packets[0].pts
                if first_pts is not None and packet.pts is not None and packet.pts - first_pts > limit_ticks:
                    _check_duration(float((packet.pts - first_pts) * stream.time_base), limits)
        except MemoryError:
            raise
        except av.FFmpegError as error:
            broken_by = error.strerror
        if is_corrupt:
            packets.pop()
        has_times = _has_times(packets, container, stream)
        start_pts, end_pts = _extent(packets, stream, has_times)
        if broken_by is None and "mp4" in container.format.name and len(packets) < len(stream.index_entries):
            broken_by = f"{len(packets)} of {len(stream.index_entries)} frames are there"
        if broken_by is not None:
            raise broken_off(broken_by, float((end_pts - start_pts) * stream.time_base), declared_s)
        num_skipped = next((index for index, packet in enumerate(packets) if packet.is_key), 0)
        packets = packets[num_skipped:]
        if not any(packet.is_shown for packet in packets):
            raise VideoUnreadable("the video stream holds no frame; it may have been cut off, send the whole file")
        start_pts, end_pts = _extent(packets, stream, has_times)
        track = Track(
            codec=stream.codec_context.codec.canonical_name,
            time_base=stream.time_base,
            packets=tuple(packets),
            num_skipped=num_skipped,
            has_times=has_times,
            start_pts=start_pts,
            end_pts=end_pts,
        )
        _check_duration(track.duration_s, limits)
        return track


def check_size(width: int, height: int, limits: VideoLimits) -> None:
    """Raises VideoLimitExceeded for a frame of too many pixels."""
    if width * height > limits.frame_pixels:
        raise VideoLimitExceeded(
            f"frames of {width} x {height} have {width * height} pixels, more than the {limits.frame_pixels} "
            "taken here; send the video at a lower resolution",
            width_px=width,
            height_px=height,
            limit_pixels=limits.frame_pixels,
        )


def broken_off(why: str, read_s: float, whole_s: float | None) -> VideoUnreadable:
    """A damaged or cut file: says how much of it could be read."""
    of = f" of {whole_s:.2f} s" if whole_s else ""
    return VideoUnreadable(
        f"the video breaks off or is damaged after {read_s:.2f} s{of} ({why}); send the whole file again",
        readable_s=round(read_s, 3),
    )


def _video_stream(container: InputContainer) -> VideoStream:
    """The stream a player would show; cover art is none."""
    films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not films:
        kinds = {"cover art" if stream.type == "video" else stream.type for stream in container.streams}
        others = ", ".join(sorted(kinds)) or "nothing"
        raise NoVideoStream(f"the file holds no video stream (only: {others}); send a file with moving pictures")
    best = container.streams.best("video")
    stream = next((film for film in films if best is not None and film.index == best.index), films[0])
    context: CodecContext | None = stream.codec_context
    if context is None or context.name not in CODECS.split(","):
        name = context.codec.canonical_name if context is not None else "unknown"
        raise VideoUnreadable(f"video codec {name!r} is not read here; convert the video to H.264, VP9 or AV1")
    return stream


def _declared_duration_s(container: InputContainer, stream: VideoStream) -> float | None:
    """What the headers claim; None where they claim nothing."""
    claims = []
    if container.duration is not None and container.duration > 0:
        claims.append(container.duration / av.time_base)
    if stream.duration is not None and stream.duration > 0 and stream.time_base is not None:
        claims.append(float(stream.duration * stream.time_base))
    return max(claims, default=None)


def _check_duration(duration_s: float | None, limits: VideoLimits) -> None:
    if duration_s is not None and duration_s > limits.duration_s:
        raise VideoLimitExceeded(
            f"the video is {duration_s:.1f} s long, more than the {limits.duration_s:g} s taken; send a part of it",
            duration_s=round(duration_s, 3),
            limit_s=limits.duration_s,
        )


def _has_times(packets: list[PacketFacts], container: InputContainer, stream: VideoStream) -> bool:
    """Whether the container says when each frame is shown.

    AVI holds decoding times alone, and libav's guess at the rest is off where frames are reordered.
    """
    if container.format.name == "avi" and stream.codec_context.codec.reorder:
        return False
    return all(packet.pts is not None for packet in packets if packet.is_shown)


def _extent(packets: list[PacketFacts], stream: VideoStream, has_times: bool) -> tuple[int, int]:
    """(first pts, end of the last frame) in ticks; frames without times stand at equal distances from 0."""
    assert stream.time_base is not None
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    ticks_per_frame = max(1, round(1 / (rate * stream.time_base)))
    shown = [packet for packet in packets if packet.is_shown]
    if not has_times or not shown:
        return 0, len(shown) * ticks_per_frame
    times = sorted((packet.pts, packet.duration) for packet in shown if packet.pts is not None)
    first, (last, last_duration) = times[0][0], times[-1]
    if last_duration <= 0:  # FLV and ASF tell no durations: the mean distance of frames
        last_duration = round((last - first) / (len(times) - 1)) if len(times) > 1 else ticks_per_frame
    return first, last + max(1, last_duration)
