"""Bytes of an object of S3, from the buckets that the operator has named. Knows no HTTP.

Where S3 is and who asks is obstore's own environment: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_REGION, and what else it reads.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection
from typing import Any

from fovea.errors import InvalidOption, UploadTooLarge, UrlNotFetched
from service.fetch.source import S3Source

CHUNK_BYTES = 2**20


async def fetch_object(
    source: S3Source, buckets: Collection[str], *, max_bytes: int, timeout_s: float
) -> AsyncGenerator[bytes, None]:
    """Piece by piece. Raises InvalidOption where the bucket is not among `buckets`, UrlNotFetched, UploadTooLarge."""
    if source.bucket not in buckets:
        raise InvalidOption(
            f"url: the bucket {source.bucket!r} is not read here; the operator can add it to FOVEA_URL_S3_BUCKETS",
            option="url",
        )
    import obstore  # noqa: PLC0415 - slow to load
    from obstore.exceptions import BaseError  # noqa: PLC0415
    from obstore.store import S3Store  # noqa: PLC0415

    retries: Any = {"max_retries": 2}
    deadline_s = asyncio.get_running_loop().time() + timeout_s
    try:
        async with asyncio.timeout_at(deadline_s):
            found = await obstore.get_async(S3Store(source.bucket, retry_config=retries), source.key)
        if found.meta["size"] > max_bytes:
            raise UploadTooLarge(
                f"{source} has {found.meta['size']} bytes, and {max_bytes} are allowed; shorten the video or encode it "
                "smaller",
                max_bytes=max_bytes,
            )
        pieces = aiter(found.stream(min_chunk_size=CHUNK_BYTES))
        while True:
            async with asyncio.timeout_at(deadline_s):
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield bytes(piece)
    except TimeoutError:
        raise UrlNotFetched(f"{source} was not complete after {timeout_s:g} s") from None
    except (BaseError, OSError) as error:  # whose text may hold more than the client should know
        kind = type(error).__name__.removesuffix("Error")
        raise UrlNotFetched(
            f"{source} cannot be had ({kind}); it must exist, and be readable for this service"
        ) from None
