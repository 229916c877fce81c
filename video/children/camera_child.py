"""The program of a camera's process: opens the camera when told to and sends its pictures, until its socket closes.

Knows nothing of the service around it; the camera's URL comes over the socket, never in arguments or environment.
`python -m video.children.camera_child FD ADDRESS_SPACE_BYTES NICENESS PARENT_PID`
"""

import gc
import select
import socket
import sys

from fovea.words import Mode
from video.camera.feed import watch
from video.camera.live import Cell, Message
from video.children import camera_wire
from video.children.confinement import confine
from video.children.messages import pack, receive


class Talk:
    """The child's end of the socket."""

    def __init__(self, connection: socket.socket, mode: Mode) -> None:
        self._connection = connection
        self._mode = mode

    def mode(self) -> Mode:
        """The latest that the parent asked for. Ends the process when the parent has closed the socket."""
        while select.select([self._connection], [], [], 0)[0]:
            header = receive(self._connection)
            if header is None:
                raise SystemExit(0)
            self._mode = header["mode"]
        return self._mode

    def send(self, message: Message) -> None:
        self._connection.sendall(camera_wire.pack(message))
        if isinstance(message, Cell) and message.picture is not None:
            # A frame of PyAV's and its side data refer to each other: left to itself, Python would keep a hundred
            # megabytes of them. What there was at the start is frozen, so this takes microseconds.
            gc.collect()


def main(arguments: list[str]) -> None:
    descriptor, address_space_bytes, niceness, parent_pid = (int(argument) for argument in arguments)
    confine(address_space_bytes, niceness, parent_pid)
    gc.freeze()
    with socket.socket(fileno=descriptor) as connection:
        connection.sendall(pack({}))
        while (header := receive(connection)) is not None:
            if "open" in header:  # else it is a word about the mode that came after the camera was lost
                source, patience, sampling, mode = camera_wire.read_open_request(header)
                talk = Talk(connection, mode)
                watch(source, patience, sampling, talk.mode, talk.send)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (BrokenPipeError, ConnectionResetError):  # the parent has gone
        sys.exit(0)
