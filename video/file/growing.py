"""A file that is read while it is still being written. Knows not who writes it, nor how that is told."""

import os
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
        return self._read(min(size, self._num_bytes - self._place))

    def _read(self, size: int) -> bytes:
        self._file.seek(self._place)
        content = self._file.read(max(0, size))
        self._place += len(content)
        return content


class GrowingBeforeItsEnd(GrowingFile):
    """A file whose last bytes are there, and that grows up to them: so it can seek."""

    def __init__(self, file: FileIO, wait: Callable[[int], int], end_from: int) -> None:
        """`end_from`: from there on all bytes are there. `wait(n)`: as above, of those before."""
        super().__init__(file, wait)
        self._end_from = end_from
        self._size = os.fstat(file.fileno()).st_size

    def read(self, size: int) -> bytes:
        return self._read(size) if self._place >= self._end_from else super().read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place
