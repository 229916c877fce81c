"""The child's side of a video that still arrives: hears over its socket how much of it is there, and when that is all.

Knows nothing of the service around it, and not what a video is.
"""

import select
import socket
import time

from video.children.messages import Header, receive


class Arrivals:
    """What the parent tells while a file grows. Raises ConnectionError once the parent has gone."""

    def __init__(self, connection: socket.socket, num_bytes: int) -> None:
        self._connection = connection
        self._num_bytes = num_bytes
        self._has_ended = False
        self._is_over = False
        self.waited_s = 0.0

    def wait(self, num_bytes: int) -> int:
        """How many bytes are there, once that is more than `num_bytes`; or all there will be."""
        began_s = time.monotonic()
        while self._num_bytes <= num_bytes and not self._has_ended and not self._is_over:
            self._hear(receive(self._connection))
        self.waited_s += time.monotonic() - began_s
        return self._num_bytes

    def is_over(self) -> bool:
        """Whether this process is needed elsewhere."""
        while not self._is_over and select.select([self._connection], [], [], 0)[0]:
            self._hear(receive(self._connection))
        return self._is_over

    def _hear(self, header: Header | None) -> None:
        if header is None:
            raise ConnectionResetError("the parent has gone")
        self._num_bytes = max(self._num_bytes, int(header.get("arrived", 0)))
        self._has_ended |= "ended" in header
        self._is_over |= "over" in header
