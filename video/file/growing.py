"""A file that is read front to back while it is still being written. Knows not who writes it, nor how that is told."""

from collections.abc import Callable
from io import FileIO


class GrowingFile:
    """What `av.open` takes for a file that cannot seek. A read waits for bytes that are not there yet."""

    def __init__(self, file: FileIO, wait: Callable[[int], int]) -> None:
        """`wait(n)`: returns how many bytes are there once that is more than n, or no more will come."""
        self._file = file
        self._wait = wait
        self._place = 0
        self._num_bytes = 0

    def read(self, size: int) -> bytes:
        """At least one byte and at most `size`; none at the end."""
        if self._place >= self._num_bytes:
            self._num_bytes = self._wait(self._place)
        self._file.seek(self._place)
        content = self._file.read(max(0, min(size, self._num_bytes - self._place)))
        self._place += len(content)
        return content
