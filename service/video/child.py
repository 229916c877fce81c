"""The program of a decoding process: answers one request at a time over its socket, until that closes.

Knows nothing of the service around it: av and numpy are all it imports, and no secret is in its environment.
`python -m service.video.child FD ADDRESS_SPACE_BYTES NICENESS PARENT_PID`
"""

import ctypes
import os
import resource
import signal
import socket
import sys

from service.errors import VideoError, VideoLimitExceeded, VideoUnreadable
from service.video import wire
from service.video.decode import decode

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    descriptor, address_space_bytes, niceness, parent_pid = (int(argument) for argument in arguments)
    _confine(address_space_bytes, niceness, parent_pid)
    with socket.socket(fileno=descriptor) as connection:
        connection.sendall(wire.pack({}))
        while (header := _receive(connection)) is not None:
            connection.sendall(wire.pack({}))
            answer, payload = _answer(header, address_space_bytes)
            connection.sendall(wire.pack(answer))
            connection.sendall(payload)


def _confine(address_space_bytes: int, niceness: int, parent_pid: int) -> None:
    """Limits that hold whatever libav is talked into: memory, no core dump, no byte written to any file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it closes the socket
    for kind, wanted in (
        (resource.RLIMIT_AS, address_space_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (limit, limit))
    os.nice(niceness)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died before we asked to be told
            raise SystemExit(1)


def _answer(header: wire.Header, address_space_bytes: int) -> tuple[wire.Header, bytes]:
    try:
        return wire.answer(decode(*wire.read_request(header)))
    except VideoError as error:
        return wire.failure(error), b""
    except FileNotFoundError:
        return wire.failure(VideoUnreadable("the upload was removed while it was read: its client has left")), b""
    except MemoryError:
        too_much = VideoLimitExceeded(
            f"decoding needs more than the {address_space_bytes / 2**20:.0f} MiB of memory a video may take; "
            "send it at a lower resolution",
            limit_bytes=address_space_bytes,
        )
        return wire.failure(too_much), b""


def _receive(connection: socket.socket) -> wire.Header | None:
    """The next request; None when the parent has closed the socket."""
    prefix = connection.recv(wire.LENGTH.size, socket.MSG_WAITALL)
    if len(prefix) < wire.LENGTH.size:
        return None
    (length,) = wire.LENGTH.unpack(prefix)
    text = connection.recv(length, socket.MSG_WAITALL)
    return wire.unpack(text) if len(text) == length else None


if __name__ == "__main__":
    main(sys.argv[1:])
