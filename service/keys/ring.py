"""The keys that are in force: those of the file, read again when it changes. Knows no HTTP.

A file that has become unreadable changes nothing: the keys it held last stay in force, and the log says why.
"""

import hmac
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from fovea.errors import Unauthenticated
from service.keys.file import KeyFileError, read_keys
from service.keys.key import Key, digest_of

log = logging.getLogger(__name__)

MAX_SECRET = 512  # characters that are looked at


class KeyRing:
    """Of one file. Raises KeyFileError where it cannot be read at the start."""

    def __init__(self, path: Path, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path = path
        self._now = now
        self._seen = self._stamp()
        self._keys = read_keys(path)

    @property
    def keys(self) -> tuple[Key, ...]:
        """All of them, also those that open nothing any more."""
        self._look_again()
        return self._keys

    @property
    def in_force(self) -> list[Key]:
        now = self._now()
        return [key for key in self.keys if key.objection(now) is None]

    def named(self, name: str) -> Key | None:
        """The key of that name, if it is in force."""
        return next((key for key in self.in_force if key.name == name), None)

    def key_of(self, secret: str) -> Key:
        """Whose secret it is. Raises Unauthenticated where nobody's, or where that key opens nothing any more.

        Every key is compared with, each in constant time: how long it takes tells nothing of how near a guess was.
        """
        given = digest_of(secret[:MAX_SECRET])
        found: Key | None = None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, given):
                found = key
        if found is None:
            raise Unauthenticated("this key is not known here; check it, or ask the operator for one")
        if (objection := found.objection(self._now())) is not None:
            raise Unauthenticated(f"the key {found.name!r} {objection}; ask the operator for another")
        return found

    def _look_again(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._keys = read_keys(self._path)
            log.info("read %d keys from %s", len(self._keys), self._path)
        except KeyFileError as error:
            log.error("the keys read before stay in force: %s", error)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
