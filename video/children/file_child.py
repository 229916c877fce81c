"""The program of a decoding process: answers one request at a time over its socket, until that closes.

Knows nothing of the service around it: av and numpy are all it imports, and no secret is in its environment.
`python -m video.children.file_child FD ADDRESS_SPACE_BYTES NICENESS PARENT_PID`
"""

import socket
import sys

from fovea.errors import VideoError, VideoLimitExceeded, VideoUnreadable
from video.children import file_wire
from video.children.confinement import confine
from video.children.messages import Header, pack, receive
from video.file.decode import decode


def main(arguments: list[str]) -> None:
    descriptor, address_space_bytes, niceness, parent_pid = (int(argument) for argument in arguments)
    confine(address_space_bytes, niceness, parent_pid)
    with socket.socket(fileno=descriptor) as connection:
        connection.sendall(pack({}))
        while (header := receive(connection)) is not None:
            connection.sendall(pack({}))
            answer, payload = _answer(header, address_space_bytes)
            connection.sendall(pack(answer))
            connection.sendall(payload)


def _answer(header: Header, address_space_bytes: int) -> tuple[Header, bytes]:
    try:
        return file_wire.answer(decode(*file_wire.read_request(header)))
    except VideoError as error:
        return file_wire.failure(error), b""
    except FileNotFoundError:
        return file_wire.failure(VideoUnreadable("the upload was removed while it was read: its client has left")), b""
    except MemoryError:
        too_much = VideoLimitExceeded(
            f"decoding needs more than the {address_space_bytes / 2**20:.0f} MiB of memory a video may take; "
            "send it at a lower resolution",
            limit_bytes=address_space_bytes,
        )
        return file_wire.failure(too_much), b""


if __name__ == "__main__":
    main(sys.argv[1:])
