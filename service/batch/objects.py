"""Videos in S3-compatible stores: listed below a prefix, fetched to a file. Knows no journal and no answer.

Where S3 is and who asks is obstore's own environment: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_REGION, and what else it reads. Whoever runs a batch has these credentials; no bucket is kept from them.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from fovea.errors import UrlNotFetched
from video.file.suffixes import is_video_name

if TYPE_CHECKING:  # 12 MB of extension module: not where all videos are files
    from obstore.store import RetryConfig, S3Store

SCHEME = "s3://"
PIECE_BYTES = 2**20
RETRIES = 5
RETRY_S = 60.0  # for all tries of one request together


class StoreAway(ValueError):
    """The store cannot be asked at all: no fault of one video."""


def is_object(source: str) -> bool:
    return source.startswith(SCHEME)


def list_objects(url: str) -> Iterator[tuple[str, str]]:
    """The URL itself where it names a video, else all videos below that prefix, sorted. Raises StoreAway.

    Beside each its ETag; empty where nobody has asked for it.
    """
    bucket, prefix = _parts(url)
    if is_video_name(prefix.rsplit("/", 1)[-1]):
        yield url, ""
        return
    from obstore.exceptions import BaseError  # noqa: PLC0415 - slow to load

    try:
        pages = _store(bucket).list(prefix or None)
        found = sorted((entry["path"], entry["e_tag"] or "") for page in pages for entry in page)
    except (BaseError, OSError) as error:
        raise StoreAway(_told(url, error)) from None
    yield from ((f"{SCHEME}{bucket}/{key}", tag) for key, tag in found if is_video_name(key.rsplit("/", 1)[-1]))


async def fetch_object(url: str, path: Path) -> None:
    """Write the object to `path`. Raises UrlNotFetched where it is not there or not for us, else StoreAway."""
    from obstore.exceptions import BaseError, PermissionDeniedError  # noqa: PLC0415

    bucket, key = _parts(url)
    if not key:
        raise UrlNotFetched(f"{url} names no object; give s3://bucket/key")
    try:
        found = await _store(bucket).get_async(key)
        with path.open("wb") as file:
            async for piece in found.stream(min_chunk_size=PIECE_BYTES):
                file.write(piece)
    except (FileNotFoundError, PermissionDeniedError) as error:
        what = "is not there" if isinstance(error, FileNotFoundError) else "may not be read with these keys"
        raise UrlNotFetched(f"{url} {what}") from None
    except BaseError as error:
        raise StoreAway(_told(url, error)) from None


def _parts(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise ValueError(f"{url} names no bucket; give s3://bucket/prefix")
    return bucket, key


@lru_cache(maxsize=16)
def _store(bucket: str) -> "S3Store":
    from obstore.store import S3Store  # noqa: PLC0415

    retry = cast("RetryConfig", {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_S)})
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    return S3Store(bucket, retry_config=retry, client_options={"allow_http": plain, "timeout": timedelta(hours=1)})


def _told(url: str, error: Exception) -> str:
    """obstore's errors tell of headers, too: their kind and their first line are enough."""
    told = str(error).split("\n", 1)[0][:200]
    return f"{url} cannot be read ({type(error).__name__}: {told}); see AWS_ENDPOINT_URL and the keys, then go on"
