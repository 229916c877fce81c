"""An upload whose decoding may begin before its last byte: when that pays, and what came of it. Knows no HTTP.

It pays where the file tells its length already, the rest will come soon, and no sooner than decoding could begin.
"""

import asyncio
import math
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from service.fetch.arrival import FIRST_BYTES
from video.children.followed_upload import FollowedUpload
from video.clip import ClipRule, EarlyFrames, Look
from video.file.stated import MAX_INDEX_BYTES, Said, head_of, index_behind_pictures

LEAST_S = 0.1  # of upload before it, and still to come: less is not worth another opening of the file
FOLLOWED_S = 0.02  # that bytes may wait to be written where a child waits for them: not a write for each packet
SOON_S = 10.0  # within which the last byte must be expected: a child is not held by a trickle

Follow = Callable[[Path, ClipRule, Look, int, int | None], FollowedUpload | None]


class EarlyDecoding:
    """One upload's. Told of its bytes as they come to lie in the file; a context manager that ends it."""

    def __init__(
        self,
        path: Path,
        rule: ClipRule,
        look: Look,
        follow: Follow,
        expected_bytes: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`follow`: has it decoded from now on, or finds no room for that; `expected_bytes`: of all; None: not said."""
        self.rule = rule
        self.look = look
        self._path = path
        self._follow = follow
        self._expected_bytes = expected_bytes
        self._end_from: int | None = None  # from there on the last bytes lie in the file
        self._may_want_end = True
        self._clock = clock
        self._began_s = clock()
        self._may_begin = True
        self._said = Said.NOT_YET
        self._following: FollowedUpload | None = None

    @property
    def patience_s(self) -> float:
        """How long what arrives may wait before it is written to the file."""
        if self._following is not None and not self._following.is_done:
            return FOLLOWED_S
        return LEAST_S if self._may_begin else math.inf

    def expects(self, num_bytes: int) -> None:
        """So many bytes will come; where that is said late, before the first of them. Until then nothing came."""
        self._expected_bytes = num_bytes
        self._began_s = self._clock()

    def wants_end(self, first: bytes, num_bytes: int) -> int | None:
        """From where on the last bytes should come now: an MP4's index that lies behind its pictures. None: not now.

        `first`: what the file begins with; `num_bytes`: that have come.
        """
        if self._following is not None or not self._may_want_end or self._expected_bytes is None:
            return None
        if not self._pays(num_bytes):
            return None
        place = index_behind_pictures(first, self._expected_bytes)
        self._may_want_end = place is None and len(first) < FIRST_BYTES
        return place

    def end_arrived(self, end_from: int) -> None:
        """The last bytes lie in the file from there on; those before them still come."""
        if self._following is None:
            self._end_from, self._said, self._may_begin = end_from, Said.NOT_YET, True

    async def arrived(self, num_bytes: int) -> None:
        """So many bytes lie in the file, from its beginning. Its index may have megabytes: it is read in a thread."""
        if self._following is not None:
            self._following.arrived(num_bytes)
        elif self._may_begin and self._pays(num_bytes):
            if self._said is Said.NOT_YET:
                self._said = await asyncio.to_thread(self._look, num_bytes)
            self._may_begin = self._said is Said.NOT_YET and num_bytes <= 2 * MAX_INDEX_BYTES
            if self._said is Said.AT_HEAD:
                self._following = self._follow(self._path, self.rule, self.look, num_bytes, self._end_from)
                self._may_begin = self._following is None  # another child may be idle a moment later

    def ended(self, num_bytes: int) -> None:
        """All of it lies in the file."""
        self._may_begin = False
        if self._following is not None:
            self._following.arrived(num_bytes)
            self._following.ended()

    async def frames(self) -> EarlyFrames | None:
        """What was decoded, once; the child that follows is through with it then."""
        if self._following is None:
            return None
        frames = await self._following.frames()
        self._following = None
        return frames

    def close(self) -> None:
        """Nobody waits for it any more."""
        self._may_begin = False
        if self._following is not None:
            self._following.stop()

    def __enter__(self) -> "EarlyDecoding":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pays(self, num_bytes: int) -> bool:
        elapsed_s = self._clock() - self._began_s
        if elapsed_s < LEAST_S or not num_bytes:
            return False
        if self._expected_bytes is None:
            return True  # slow so far; how long it goes on is not known
        return LEAST_S <= elapsed_s / num_bytes * (self._expected_bytes - num_bytes) <= SOON_S

    def _look(self, num_bytes: int) -> Said:
        try:
            with self._path.open("rb") as file:
                return head_of(file, num_bytes, self._end_from).said
        except OSError:  # it is gone
            return Said.NOTHING
