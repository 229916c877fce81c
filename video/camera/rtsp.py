"""Opens a camera, and says in our own words why it cannot. Knows no process and no retry.

libav's error texts carry the whole URL with its password: none of them leaves this file.
"""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import av
import av.logging
from av.container import InputContainer
from av.error import (
    ExitError,
    HTTPForbiddenError,
    HTTPNotFoundError,
    HTTPUnauthorizedError,
    InvalidDataError,
)
from av.video.stream import VideoStream

from fovea.words import ErrorClass
from video.camera.live import CameraSource, Lost, Patience
from video.clip import VideoLimits
from video.file.probe import CODECS

# What else a camera's description could make libav open is left out: no http, no file.
PROTOCOLS = "rtsp,rtp,tcp,udp,tls,crypto"

# The description (SDP) names the codec, so nothing needs to be read ahead: 0.05 s to open instead of 1.1.
FAST_OPEN = {"probesize": "32", "analyzeduration": "0", "fpsprobesize": "0"}


class CameraLost(Exception):
    """There are no pictures (any more)."""

    def __init__(self, error_class: ErrorClass, detail: str) -> None:
        super().__init__(detail)
        self.lost = Lost(error_class, detail)


@contextmanager
def opened(
    source: CameraSource, patience: Patience, limits: VideoLimits
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The camera's container and its video stream, playing. Raises CameraLost, also for errors in the body."""
    _knock(source, patience)
    av.logging.set_level(None)
    try:
        with av.open(source.url, options=_options(source), timeout=_timeout(patience)) as container:
            _check_not_redirected(source)
            yield container, _video_stream(container, limits)
    except (MemoryError, CameraLost):
        raise
    except (OSError, av.FFmpegError) as error:
        raise CameraLost(*_meaning(error, source, patience)) from None


def _knock(source: CameraSource, patience: Patience) -> None:
    """Connect and hang up: libav neither tells a dead address from a slow camera, nor gives up on it in time."""
    try:
        socket.create_connection((source.address, source.port), timeout=patience.connect_s).close()
    except ConnectionRefusedError:
        raise CameraLost(ErrorClass.REFUSED, f"nothing listens on port {source.port} of {source.host}") from None
    except TimeoutError:
        raise CameraLost(
            ErrorClass.UNREACHABLE, f"{source.host} does not answer within {patience.connect_s:g} s"
        ) from None
    except OSError as error:
        raise CameraLost(ErrorClass.UNREACHABLE, f"{source.host} cannot be reached: {error.strerror}") from None


def _check_not_redirected(source: CameraSource) -> None:
    """A camera may answer "moved", and libav then goes wherever it says: also to where nobody may subscribe."""
    if others := _peers() - {source.address}:
        raise CameraLost(
            ErrorClass.ADDRESS,
            f"{source.host} sends to another address ({', '.join(sorted(others))}), which is not followed; where that "
            "is wanted, subscribe to it",
        )


def _peers() -> set[str]:
    """What addresses this process has TCP connections to."""
    found = set()
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # most are no sockets
            connection = socket.socket(fileno=int(name))
            try:
                if connection.family in {socket.AF_INET, socket.AF_INET6} and connection.type == socket.SOCK_STREAM:
                    found.add(connection.getpeername()[0].partition("%")[0])
            finally:
                connection.detach()  # it is libav's
    return found


def _options(source: CameraSource) -> dict[str, str]:
    options = FAST_OPEN | {
        "rtsp_transport": source.transport,
        "allowed_media_types": "video",
        "protocol_whitelist": PROTOCOLS,
        "codec_whitelist": CODECS,
    }
    if source.url.startswith("rtsps:"):
        options |= {"tls_verify": "1" if source.verify else "0", "verifyhost": source.host}
        if source.ca_file is not None:
            options["ca_file"] = source.ca_file
    return options


def _timeout(patience: Patience) -> tuple[float, float]:
    """As PyAV takes it: reading, libav waits twice as long as it is told before it gives up."""
    return patience.open_s, patience.stall_s / 2


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


def _meaning(error: Exception, source: CameraSource, patience: Patience) -> tuple[ErrorClass, str]:
    """What libav said, in our own words."""
    known = next(((error_class, words) for kind, error_class, words in _BY_KIND if isinstance(error, kind)), None)
    if known is not None:
        error_class, words = known
    else:
        number = getattr(error, "errno", None)
        error_class, words = _BY_NUMBER.get(number, (ErrorClass.PROTOCOL, f"{{host}} answers no RTSP (error {number})"))
        if number == errno.EIO and source.url.startswith("rtsps:"):
            error_class, words = _UNVERIFIED
    facts = {"host": source.host, "port": source.port, "transport": source.transport}
    return error_class, words.format(**facts, open_s=f"{patience.open_s:g}", stall_s=f"{patience.stall_s:g}")


_BY_KIND: tuple[tuple[type[Exception], ErrorClass, str], ...] = (
    (HTTPUnauthorizedError, ErrorClass.AUTH, "{host} refuses the user name or the password"),
    (HTTPForbiddenError, ErrorClass.AUTH, "{host} refuses this user"),
    (HTTPNotFoundError, ErrorClass.NOT_FOUND, "{host} has no stream at this path (404), or its source is away"),
    (ExitError, ErrorClass.STALLED, "{host} sent nothing for {stall_s} s"),
    (ConnectionRefusedError, ErrorClass.REFUSED, "nothing listens on port {port} of {host}"),
    (TimeoutError, ErrorClass.TIMEOUT, "{host} did not answer within {open_s} s"),
    # libav says the same where opening took too long
    (InvalidDataError, ErrorClass.PROTOCOL, "{host} speaks no RTSP, or not within {open_s} s"),
)

_BY_NUMBER: dict[int | None, tuple[ErrorClass, str]] = {
    errno.EPROTONOSUPPORT: (ErrorClass.PROTOCOL, "{host} does not send over {transport}; ask for the other transport"),
    errno.EHOSTUNREACH: (ErrorClass.UNREACHABLE, "{host} cannot be reached"),
    errno.ENETUNREACH: (ErrorClass.UNREACHABLE, "{host} cannot be reached"),
    errno.ECONNRESET: (ErrorClass.ENDED, "{host} closed the connection"),
    errno.EPIPE: (ErrorClass.ENDED, "{host} closed the connection"),
}
_UNVERIFIED = (
    ErrorClass.TLS,
    "the certificate of {host} does not verify; FOVEA_STREAM_CA_FILE names an authority of your own",
)
