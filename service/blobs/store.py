"""Files by key, in a folder or in an S3-compatible store: what is too large for the ledger. Knows no job and no video.

A folder is the default. `s3://bucket/prefix` reads its credentials and its endpoint from AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL, as obstore does.
"""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from fovea.errors import Unavailable

if TYPE_CHECKING:  # 12 MB of extension module: not before a file is to be kept
    from obstore.store import ObjectStore, RetryConfig

log = logging.getLogger(__name__)

RETRY_S = 5.0  # for a store to take a connection, and in all where it answers with an error of its own
PIECE_BYTES = 2**20

_KEY = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


class Blobs:
    """`url`: file:///folder or s3://bucket/prefix. All of it raises Unavailable where the store is away.

    Raises ValueError for another URL.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._shown = url.partition("?")[0]
        self._store: ObjectStore | None = None
        scheme = urlsplit(url).scheme
        if scheme not in {"file", "s3"} or (scheme == "s3" and not urlsplit(url).netloc):
            raise ValueError(
                "FOVEA_BLOBS_URL must be file:///folder, or s3://bucket/prefix with the keys in AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY"
            )

    @classmethod
    def in_folder(cls, folder: Path) -> "Blobs":
        return cls(folder.absolute().as_uri())

    async def put(self, key: str, content: Path | bytes) -> None:
        """Keep a file, or bytes, under `key`; all of it is there at once, or nothing."""
        with self._translated(key):
            await self._opened().put_async(_checked(key), content)

    async def fetch(self, key: str, path: Path) -> None:
        """Write what lies under `key` to `path`. Raises FileNotFoundError where there is nothing."""
        with self._translated(key):
            found = await self._opened().get_async(_checked(key))
            with path.open("wb") as file:
                async for piece in found.stream(min_chunk_size=PIECE_BYTES):
                    file.write(piece)

    async def read(self, key: str) -> bytes:
        """Raises FileNotFoundError where there is nothing."""
        with self._translated(key):
            found = await self._opened().get_async(_checked(key))
            return bytes(await found.bytes_async())

    async def delete(self, key: str) -> None:
        """Also where it is gone already."""
        with contextlib.suppress(FileNotFoundError), self._translated(key):
            await self._opened().delete_async(_checked(key))

    async def older(self, folder: str, age_s: float) -> list[str]:
        """The keys in a folder of what was put there longer ago than that, by this machine's clock."""
        before = datetime.now(UTC) - timedelta(seconds=age_s)
        with self._translated(folder):
            pages = self._opened().list(_checked(folder))
            return [found["path"] async for page in pages for found in page if found["last_modified"] < before]

    def _opened(self) -> "ObjectStore":
        if self._store is None:
            from obstore.store import LocalStore, S3Store  # noqa: PLC0415

            retry = cast("RetryConfig", {"max_retries": 2, "retry_timeout": timedelta(seconds=RETRY_S)})
            parts = urlsplit(self._url)
            if parts.scheme == "file":
                folder = Path(unquote(parts.path))
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._store = LocalStore(folder)
            else:
                self._store = S3Store(
                    parts.netloc,
                    prefix=parts.path.strip("/") or None,
                    retry_config=retry,
                    client_options={
                        "connect_timeout": timedelta(seconds=RETRY_S),
                        "timeout": timedelta(hours=1),
                        "allow_http": os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"),
                    },
                )
        return self._store

    @contextlib.contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """obstore's errors tell of URLs and headers: their kind goes on, their text into the log."""
        from obstore.exceptions import BaseError  # noqa: PLC0415

        try:
            yield
        except FileNotFoundError:
            raise FileNotFoundError(f"{key} is not in the blob store") from None
        except (BaseError, OSError) as error:
            log.warning("the blob store %s cannot be used: %s", self._shown, str(error).split("\n", 1)[0][:300])
            raise Unavailable(
                f"the store for files that wait cannot be used ({type(error).__name__}); try again", retry_after_s=5
            ) from None


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key: write words of letters, digits, - and _, with / between them")
    return key
