"""Bytes on disk that are costly to make again: one self-checking file each.

Knows no model and no runtime.
"""

import hashlib
import logging
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_log = logging.getLogger(__name__)
WRITING = "writing-"
ABANDONED_S = 3600.0
_DIGEST_BYTES = hashlib.sha256().digest_size


class FileCache:
    """A folder of `sha256(content) | content` files that processes may share.

    A file is written aside and renamed, so that a reader sees all of it or none, and of two writers the later wins. One
    that does not hold what its digest says counts as absent. Where the folder cannot be used, nothing is kept, with a
    warning: it costs time, not answers.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sweep()

    def _sweep(self) -> None:
        """Remove what a killed process was writing: nothing takes as long as ABANDONED_S."""
        for aside in self._folder.glob(f"{WRITING}*"):
            with suppress(OSError):
                if time.time() - aside.stat().st_mtime > ABANDONED_S:
                    shutil.rmtree(aside, ignore_errors=True)

    def path(self, identity: str) -> Path:
        return self._folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.cached"

    def load(self, identity: str) -> bytes | None:
        """What was stored under this name; None when there is nothing, or nothing whole."""
        path = self.path(identity)
        try:
            digest_and_content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("cached file %s cannot be read: %s", path, error)
            return None
        content = digest_and_content[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest_and_content[:_DIGEST_BYTES]:
            _log.warning("cached file %s is damaged; making it anew", path)
            return None
        return content

    def store(self, identity: str, content: bytes) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=WRITING) as aside:
                whole = Path(aside, "whole")
                whole.write_bytes(hashlib.sha256(content).digest() + content)
                os.replace(whole, self.path(identity))
        except OSError as error:
            _log.warning("nothing kept in %s: %s", self._folder, error)
