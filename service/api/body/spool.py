"""Where an upload lies while more of it may be decoded: a file that is gone afterwards. Knows no HTTP and no video.

A file is locked for as long as its process lives. What is not locked belongs to a process that was killed: `sweep`.
"""

import asyncio
import fcntl
import logging
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import IO, Protocol

from fovea.errors import InvalidUpload, Unavailable
from service.fetch.arrival import End, Length, Piece

log = logging.getLogger(__name__)

PREFIX, SUFFIX = "fovea-", ".upload"
WRITE_BYTES = 2**20  # what is held of an upload before it is written


@contextmanager
def spooled(folder: Path) -> Iterator[Path]:
    """An empty file for an upload; it is gone afterwards, whatever happened. Raises Unavailable when there is none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = _new_file(folder)
    except OSError as error:
        raise _not_stored(error) from error
    path = Path(held.name)
    try:
        with held:
            yield path
    finally:
        path.unlink(missing_ok=True)


def _new_file(folder: Path) -> IO[bytes]:
    """Locked. A process that starts at this moment may have swept it before: then another one is made."""
    while True:
        file = tempfile.NamedTemporaryFile(dir=folder, prefix=PREFIX, suffix=SUFFIX, delete=False)  # noqa: SIM115
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def drop(path: Path) -> None:
    """Give back the disk under a spooled upload, though whoever holds it may hold it for longer."""
    with suppress(OSError):
        os.truncate(path, 0)


def sweep(folder: Path) -> int:
    """Remove the uploads that killed processes left in `folder`; how many there were."""
    num_swept = 0
    for path in folder.glob(f"{PREFIX}*{SUFFIX}"):
        with suppress(OSError), path.open("rb") as found:  # another replica may sweep, too
            if _lock(found):
                path.unlink()
                num_swept += 1
    return num_swept


def _lock(file: IO[bytes]) -> bool:
    """False where another process holds it, and where the file system has no locks: then nothing is swept."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class Arriving(Protocol):
    """Who hears how much of an upload lies in its file."""

    @property
    def patience_s(self) -> float:
        """How long what arrives may wait before it is written there."""
        ...

    def expects(self, num_bytes: int) -> None:
        """So many bytes will come."""
        ...

    def end_arrived(self, end_from: int) -> None:
        """The last bytes lie there, from there on."""
        ...

    async def arrived(self, num_bytes: int) -> None:
        """So many bytes lie there, from the file's beginning."""
        ...

    def ended(self, num_bytes: int) -> None:
        """All do."""
        ...


async def save(video: AsyncGenerator[Piece, None], path: Path, arriving: Arriving | None = None) -> float:
    """Write the `video` of an upload to `path`; returns the seconds it took. `arriving` hears of it.

    Raises InvalidUpload when it is empty, Unavailable when the disk does not take it. The file is written in a thread,
    a megabyte at a time, or what has come where somebody wants it soon: a full page cache or a network disk may take
    its time.
    """
    started_s = written_s = time.monotonic()
    num_bytes = num_at_end = 0
    pending = bytearray()
    try:
        with path.open("wb", buffering=0) as file:
            async with aclosing(video):
                async for piece in video:
                    match piece:
                        case Length(expected):
                            if arriving is not None:
                                arriving.expects(expected)
                            continue
                        case End(place, content):
                            num_at_end = len(content)
                            await asyncio.to_thread(_write_at, file, place, content)
                            if arriving is not None:
                                arriving.end_arrived(place)
                            continue
                        case _:
                            pending += piece
                    is_awaited = arriving is not None and time.monotonic() - written_s > arriving.patience_s
                    if len(pending) >= WRITE_BYTES or is_awaited:
                        num_bytes += len(pending)
                        await asyncio.to_thread(_write, file, pending)
                        pending, written_s = bytearray(), time.monotonic()
                        if arriving is not None:
                            await arriving.arrived(num_bytes)
            num_bytes += len(pending)
            await asyncio.to_thread(_write, file, pending)
            num_bytes += num_at_end
            if arriving is not None:
                arriving.ended(num_bytes)
    except OSError as error:
        raise _not_stored(error) from error
    if num_bytes == 0:
        raise InvalidUpload("the video is empty: 0 bytes came; check the file, and curl's @ before its name")
    return time.monotonic() - started_s


def _write(file: RawIOBase, content: bytes | bytearray) -> None:
    view = memoryview(content)
    while view:  # a raw file may take less than it is given
        view = view[file.write(view) or 0 :]


def _write_at(file: RawIOBase, place: int, content: bytes) -> None:
    """What comes next is still written where it would have been."""
    before = file.tell()
    file.seek(place)
    _write(file, content)
    file.seek(before)


def _not_stored(error: OSError) -> Unavailable:
    log.error("an upload could not be stored: %s", error)  # the client cannot help it, the operator must
    return Unavailable(f"the service could not store the upload ({error.strerror}); try again later", retry_after_s=30)
