"""The program of a decoding process: answers one request at a time over its socket, until that closes.

Knows nothing of the service around it: av and numpy are all it imports, and no secret is in its environment.
`python -m video.children.file_child FD ADDRESS_SPACE_BYTES NICENESS PARENT_PID`
"""

import logging
import socket
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from fovea.errors import VideoError, VideoLimitExceeded, VideoUnreadable
from video.children import early_wire, file_wire
from video.children.confinement import confine, peak_bytes, stepping_back
from video.children.following import Arrivals
from video.children.messages import Header, pack, receive
from video.clip import EarlyFrames
from video.file.ahead import Arriving, decode_ahead
from video.file.decode import CostsMore, carry_out, plan_decoding

_SCRAP_BYTES = 1 << 16
_NEARLY_ALL = 0.85  # of the address space: the next frame of a large video does not fit

_log = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    descriptor, address_space_bytes, niceness, parent_pid = (int(argument) for argument in arguments)
    confine(address_space_bytes, niceness, parent_pid)
    with socket.socket(fileno=descriptor) as connection:
        connection.sendall(pack({}))
        while (header := receive(connection)) is not None:
            if early_wire.is_late(header):
                continue
            connection.sendall(pack({}))
            if "follow" in header:
                answer, payload = _follow(header, connection)
            else:
                early = _read_early(header, connection)  # out of memory even here, the process ends: another takes over
                answer, payload = _answer(header, early, address_space_bytes, connection)
            connection.sendall(pack(answer))
            connection.sendall(payload)


def _answer(
    header: Header, early: EarlyFrames | None, address_space_bytes: int, connection: socket.socket
) -> tuple[Header, bytes]:
    peak_before = peak_bytes()
    try:
        plan = plan_decoding(*file_wire.read_request(header), early)
        connection.sendall(pack(file_wire.price(plan.price)))
        work = partial(carry_out, plan, file_wire.read_most_pixels(header))
        return file_wire.answer(stepping_back(work) if file_wire.read_steps_back(header) else work())
    except CostsMore as more:
        return file_wire.held(more.price), b""
    except VideoError as error:
        # some decoders take memory they do not get for damage
        ran_out = peak_bytes() > max(peak_before, _NEARLY_ALL * address_space_bytes)
        if isinstance(error, VideoUnreadable) and ran_out:
            error = _too_large(address_space_bytes)
        return file_wire.failure(error), b""
    except FileNotFoundError:
        return file_wire.failure(VideoUnreadable("the upload was removed while it was read: its client has left")), b""
    except MemoryError:
        return file_wire.failure(_too_large(address_space_bytes)), b""
    except ConnectionError:  # the parent has gone
        raise
    except Exception:  # the process's edge: whatever PyAV stumbles over, the next video finds the process alive
        _log.exception("a video could not be decoded")
        failed = VideoUnreadable("the decoder gave up on this video; it may be damaged, convert it to H.264 in mp4")
        return file_wire.failure(failed), b""


def _read_early(header: Header, connection: socket.socket) -> EarlyFrames | None:
    """What stands behind a request, of frames that were decoded before.

    Where there is no memory for them they are read all the same, or the next message would be sought among them, and
    decoded anew.
    """
    if "early" not in header:
        return None
    rule = file_wire.read_request(header)[1]
    num_bytes = early_wire.payload_bytes(header, rule)
    try:
        payload = bytearray(num_bytes)
    except MemoryError:
        scrap = bytearray(min(num_bytes, _SCRAP_BYTES))
        while num_bytes:
            num_bytes -= _receive_into(memoryview(scrap)[:num_bytes], connection)
        return None
    view = memoryview(payload)
    while view:
        view = view[_receive_into(view, connection) :]
    return early_wire.read_early(header, payload, rule)


def _receive_into(view: memoryview, connection: socket.socket) -> int:
    if not (taken := connection.recv_into(view)):
        raise ConnectionResetError("the parent has gone")
    return taken


def _follow(header: Header, connection: socket.socket) -> tuple[Header, bytes]:
    """What is decoded of a video while it arrives. Whatever fails, the whole file tells it better."""
    path, rule, limits, look, num_bytes, most_pixels, end_from = early_wire.read_follow(header)
    arrivals = Arrivals(connection, num_bytes)
    began_s = time.monotonic()
    early: EarlyFrames | None = None
    try:
        arriving = Arriving(Path(path), num_bytes, arrivals.wait, arrivals.is_over, end_from)
        early = decode_ahead(arriving, rule, limits, look, most_pixels)
    except ConnectionError:
        raise
    except (MemoryError, OSError):
        pass
    except Exception:  # the process's edge, as in `_answer`
        _log.exception("a video that still arrives could not be decoded")
    if early is not None:
        early = replace(early, busy_s=time.monotonic() - began_s - arrivals.waited_s)
    return early_wire.early(early)


def _too_large(address_space_bytes: int) -> VideoLimitExceeded:
    return VideoLimitExceeded(
        f"decoding needs more than the {address_space_bytes / 2**20:.0f} MiB of memory that a decoding process may "
        "take; send the video at a lower resolution",
        limit_bytes=address_space_bytes,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
