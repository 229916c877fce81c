"""Opens a camera, and says in our own words why it cannot. Knows no process and no retry.

libav's error texts carry the whole URL with its password: none of them leaves this file.
"""

import errno
import ipaddress
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from urllib.parse import urljoin, urlsplit, urlunsplit

import av
import av.logging
from av.container import InputContainer
from av.error import ExitError, InvalidDataError
from av.video.stream import VideoStream

from fovea.words import ErrorClass
from video.camera.live import CameraLost, CameraSource, Patience
from video.camera.refusals import meaning_of
from video.camera.relay import Relay
from video.clip import VideoLimits
from video.file.probe import CODECS

# What else a camera's description could make libav open is left out: no http, no file.
PROTOCOLS = "rtsp,rtp,tcp,udp"

# The description (SDP) names the codec, so nothing needs to be read ahead: 0.05 s to open instead of 1.1.
FAST_OPEN = {"probesize": "32", "analyzeduration": "0", "fpsprobesize": "0"}
MAX_MOVES = 3  # a camera that says "moved" more often goes round in circles
DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}


@contextmanager
def opened(
    source: CameraSource, patience: Patience, limits: VideoLimits
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The camera's container and its video stream, playing. Raises CameraLost, also for errors in the body."""
    av.logging.set_level(None)
    for _ in range(MAX_MOVES + 1):
        with ExitStack() as stack:
            relay = stack.enter_context(Relay(source, patience))
            try:
                container = stack.enter_context(_container(source, relay, patience))
                yield container, _video_stream(container, limits)
                return
            except (MemoryError, CameraLost):
                raise
            except (OSError, av.FFmpegError) as error:
                if relay.moved_to is None:
                    raise CameraLost(*_meaning(error, source, patience, relay)) from None
        source = _moved(source, relay.moved_to)
    raise CameraLost(ErrorClass.PROTOCOL, f"{source.host} says more than {MAX_MOVES} times that it has moved")


def _container(source: CameraSource, relay: Relay, patience: Patience) -> InputContainer:
    options = FAST_OPEN | {
        "rtsp_transport": source.transport,
        "allowed_media_types": "video",
        "protocol_whitelist": PROTOCOLS,
        "codec_whitelist": CODECS,
    }
    # As PyAV takes it: reading, libav waits twice as long as it is told before it gives up.
    return av.open(_at(source, relay.port), options=options, timeout=(patience.open_s, patience.stall_s / 2))


def _at(source: CameraSource, port: int) -> str:
    """The camera's URL as libav opens it: at our own end of the relay, which does TLS, too."""
    parts = urlsplit(source.url)
    userinfo, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(("rtsp", f"{userinfo}{at}127.0.0.1:{port}", parts.path, parts.query, ""))


def _moved(source: CameraSource, location: str) -> CameraSource:
    """Where a camera says that it is now. Followed on its own address alone: the policy was asked about no other.

    Raises CameraLost. Nothing was sent there.
    """
    parts = urlsplit(source.url)
    userinfo, at, _ = parts.netloc.rpartition("@")
    try:
        there = urlsplit(urljoin(source.url, location))
        host, port = there.hostname or "", there.port or DEFAULT_PORTS.get(there.scheme, 0)
    except ValueError:
        raise CameraLost(ErrorClass.PROTOCOL, f"{source.host} says that it has moved, but not where to") from None
    if there.scheme not in DEFAULT_PORTS or (parts.scheme == "rtsps" and there.scheme == "rtsp"):
        raise CameraLost(
            ErrorClass.ADDRESS,
            f"{source.host} sends on to {there.scheme[:16]!r}, which is not followed; subscribe to it",
        )
    if not _is_same(host, source) or not any(first <= port <= last for first, last in source.ports):
        raise CameraLost(
            ErrorClass.ADDRESS,
            f"{source.host} sends to another address ({host[:253]}:{port}), which is not followed; where that is "
            "wanted, subscribe to it",
        )
    netloc = f"{userinfo}{at}{_in_url(source.address)}:{port}"
    url = urlunsplit((there.scheme, netloc, there.path or "/", there.query, ""))
    return replace(source, url=url, port=port)


def _is_same(host: str, source: CameraSource) -> bool:
    if host == source.host:
        return True
    try:
        return ipaddress.ip_address(host) == ipaddress.ip_address(source.address)
    except ValueError:
        return False


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _video_stream(container: InputContainer, limits: VideoLimits) -> VideoStream:
    if not container.streams.video:
        raise CameraLost(ErrorClass.UNSUPPORTED, "the camera offers no video stream that is read here")
    stream = container.streams.video[0]
    name = stream.codec_context.name
    if name not in CODECS.split(","):
        raise CameraLost(ErrorClass.UNSUPPORTED, f"the camera sends {name!r}; set it to H.264 or H.265")
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(2 * limits.frame_pixels)}
    return stream


def _meaning(error: Exception, source: CameraSource, patience: Patience, relay: Relay) -> tuple[ErrorClass, str]:
    """What the camera answered or, where it did not, what libav said: in our own words."""
    if relay.refusal is not None and not relay.has_played:
        error_class, words = meaning_of(relay.refusal)
    elif relay.has_hung_up:
        error_class, words = (
            ErrorClass.ENDED,
            "{host} hung up before it played: it may have a viewer already",
        )
    elif relay.asked is not None and not relay.has_played and isinstance(error, _TOO_SLOW):
        error_class, words = ErrorClass.TIMEOUT, "{host} did not answer {asked} within {open_s} s"
    else:
        kinds = ((error_class, words) for kind, error_class, words in _BY_KIND if isinstance(error, kind))
        number = getattr(error, "errno", None)
        error_class, words = next(
            kinds, _BY_NUMBER.get(number, (ErrorClass.PROTOCOL, f"{{host}} answers no RTSP (error {number})"))
        )
    return error_class, words.format(
        host=source.host, port=source.port, transport=source.transport, asked=relay.asked or "",
        open_s=f"{patience.open_s:g}", stall_s=f"{patience.stall_s:g}",
    )  # fmt: skip


_TOO_SLOW = (ExitError, TimeoutError, InvalidDataError)  # libav says the last where opening took too long, too

_BY_KIND: tuple[tuple[type[Exception], ErrorClass, str], ...] = (
    (ExitError, ErrorClass.STALLED, "{host} sent nothing for {stall_s} s"),
    (TimeoutError, ErrorClass.TIMEOUT, "{host} did not answer within {open_s} s"),
    (InvalidDataError, ErrorClass.PROTOCOL, "{host} speaks no RTSP, or not within {open_s} s"),
)

_BY_NUMBER: dict[int | None, tuple[ErrorClass, str]] = {
    errno.EPROTONOSUPPORT: (ErrorClass.PROTOCOL, "{host} does not send over {transport}; ask for the other transport"),
    errno.ECONNRESET: (ErrorClass.ENDED, "{host} closed the connection"),
    errno.EPIPE: (ErrorClass.ENDED, "{host} closed the connection"),
}
