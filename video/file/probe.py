"""Opens a video file behind allow-lists, and finds its film. Knows neither which frames are wanted nor their pixels."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import av
import av.logging
from av.codec.context import CodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from fovea.errors import NoVideoStream, VideoLimitExceeded, VideoUnreadable
from video.clip import VideoLimits
from video.file.avc_headers import headers_tell_all
from video.file.growing import GrowingFile
from video.file.mp4_claims import check_claims

# Containers that hold their own pictures. Left out on purpose: whatever names other files or addresses (concat, hls,
# dash, sdp, image sequences), whatever renders text, and the long tail of game and camera formats.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf"

# libav's decoder names (two of them for AV1).
CODECS = (
    "h264,hevc,vp8,vp9,av1,libdav1d,mpeg4,mpeg2video,mpeg1video,mjpeg,prores,dnxhd,ffv1,h263,flv,"
    "msmpeg4v1,msmpeg4v2,msmpeg4,wmv1,wmv2,wmv3,vc1,theora"
)

# Major brands of ISO/IEC 23008-12: libav opens them as a video of one frame, or of one for each tile.
_PICTURES = {
    **dict.fromkeys(("heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs"), "HEIC"),
    **dict.fromkeys(("avif", "avis"), "AVIF"),
    **dict.fromkeys(("mif1", "mif2", "msf1", "miaf", "jpeg", "jpgs"), "HEIF"),
}
_MAGIC = {b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"\x89PNG": "PNG", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"BM": "BMP"}
# Matroska's ContentEncoding of type 1, encryption, with ContentEncryption in it.
_ENCRYPTED_MATROSKA = re.compile(rb"\x62\x40.{1,40}?\x50\x33\x81\x01.{0,40}?\x50\x35", re.DOTALL)
_HEAD_BYTES = 1 << 16

MAX_ASPECT = 32  # wider or taller than 32:1 is no camera's picture, and filling a square with it would take a huge one

_log = logging.getLogger(__name__)


@contextmanager
def opened(
    path: str, limits: VideoLimits, source: GrowingFile | None = None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The file's container and its video stream, nothing decoded; raises VideoError kin without naming the path.

    `source`: what to read the file by while it grows; `path` tells what is there of it.
    FileNotFoundError and PermissionError are of the file itself.
    """
    kinds = check_claims(path)
    av.logging.set_level(None)
    try:
        container = _by_headers(path) if source is None and kinds == (b"avc1",) else None
        container = container or _container(source or "file:" + path)
    except (MemoryError, FileNotFoundError):
        raise
    except av.FFmpegError as error:  # of whatever kind: libav gives damage any number, EPERM among them
        _log.debug("open failed: %r", error)
        _check_is_no_picture(path)
        raise VideoUnreadable(
            "the file is empty, damaged at its start, or of a kind that is not read here; "
            "send a complete video as mp4, mov, mkv, webm, avi, ts, mpg, flv, ogv or wmv"
        ) from None
    with container:
        _check_is_film(path, container)
        stream = _video_stream(container)
        stream.codec_context.thread_count = 1
        # Twice the limit, since decoders round up: `check_size` is the exact rule, this bounds what libav allocates.
        # Not for opening, too: many formats tell their size by the first frame alone, and it would be lost.
        stream.codec_context.options = {"max_pixels": str(2 * limits.frame_pixels)}
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all  # neither parsed nor, in mp4, even read
        yield container, stream


def _by_headers(path: str) -> InputContainer | None:
    """The file without a frame decoded, where its headers tell all that those would. Raises av.FFmpegError."""
    container = _container("file:" + path, skip_frame="all", pixel_format="yuv420p")
    if headers_tell_all(path, container):
        return container
    container.close()
    return None


def _container(source: str | GrowingFile, **options: str) -> InputContainer:
    """`source`: "file:..." of a path, so that a name like "concat:a|b" stays a name. `options`: of the decoders that
    libav opens for itself. Raises av.FFmpegError."""
    allowed = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "codec_whitelist": CODECS}
    # titles in a broken encoding are none of our business
    return av.open(source, "r", options=allowed | options, metadata_errors="replace")


def packets_of(container: InputContainer, stream: VideoStream) -> "Iterator[Packet[VideoStream]]":
    """The stream's packets in decode order, without empty ones and libav's end mark: the same at each reading."""
    while True:
        try:
            yield from (packet for packet in container.demux(stream) if packet.size)
            return
        except IndexError:  # PyAV's, where another stream begins late: it goes on behind that packet
            continue


def check_not_encrypted(packet: "Packet[VideoStream]") -> None:
    """Raises VideoUnreadable."""
    if packet.has_sidedata("encryption_info"):
        raise _encrypted()


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


def _check_is_no_picture(path: str) -> None:
    """Raises VideoUnreadable for the common formats of pictures, which are none of a video's."""
    with open(path, "rb") as file:
        head = file.read(12)
    kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        kind = "WebP"
    if kind is not None:
        raise VideoUnreadable(f"the file is a picture ({kind}), no video; send a file with moving pictures")


def _check_is_film(path: str, container: InputContainer) -> None:
    """Raises VideoUnreadable for pictures in a video's container, and for what nobody without its key can read."""
    kind = _PICTURES.get(container.metadata.get("major_brand", ""))
    if kind is not None:
        raise VideoUnreadable(f"the file is a picture ({kind}), no video; send a file with moving pictures")
    if "matroska" in container.format.name:
        with open(path, "rb") as file:
            if _ENCRYPTED_MATROSKA.search(file.read(_HEAD_BYTES)):
                raise _encrypted()


def _encrypted() -> VideoUnreadable:
    return VideoUnreadable("the video is encrypted (DRM); send one that plays without a key")
