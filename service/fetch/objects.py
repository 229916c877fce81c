"""Bytes of an object of S3, from the buckets that the operator has named. Knows no HTTP.

Where S3 is and who asks is obstore's own environment: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_REGION, and what else it reads.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing, suppress
from typing import Any

from fovea.errors import InvalidOption, UploadTooLarge, UrlNotFetched
from service.fetch.arrival import EndWanted, Piece, end_when_wanted, not_wanted
from service.fetch.source import S3Source

CHUNK_BYTES = 2**20
SMALL_CHUNK_BYTES = 2**14  # where it may be decoded while the rest comes


async def fetch_object(
    source: S3Source,
    buckets: Collection[str],
    *,
    max_bytes: int,
    timeout_s: float,
    end_wanted: EndWanted = not_wanted,
) -> AsyncGenerator[Piece, None]:
    """Piece by piece, the end first where that is wanted.

    Raises InvalidOption where the bucket is not among `buckets`, UrlNotFetched, UploadTooLarge.
    """
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
        store = S3Store(source.bucket, retry_config=retries)
        async with asyncio.timeout_at(deadline_s):
            found = await obstore.get_async(store, source.key)
        length, version = found.meta["size"], found.meta["e_tag"]
        if length > max_bytes:
            raise UploadTooLarge(
                f"{source} has {length} bytes, and {max_bytes} are allowed; shorten the video or encode it smaller",
                max_bytes=max_bytes,
            )

        async def streamed() -> AsyncGenerator[bytes, None]:
            size = CHUNK_BYTES if end_wanted is not_wanted else SMALL_CHUNK_BYTES
            async for piece in found.stream(min_chunk_size=size):
                yield bytes(piece)

        async def fetch_end(place: int) -> bytes | None:
            """Of the same version; None where it is another by now."""
            options: Any = {"range": {"offset": place}, "if_match": version}
            with suppress(BaseError):
                content = bytes(await (await obstore.get_async(store, source.key, options=options)).bytes_async())
                return content if len(content) == length - place else None
            return None

        wanted = not_wanted if version is None else end_wanted
        async with aclosing(end_when_wanted(streamed(), length, wanted, fetch_end)) as pieces:
            while True:
                async with asyncio.timeout_at(deadline_s):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                yield piece
    except TimeoutError:
        raise UrlNotFetched(f"{source} was not complete after {timeout_s:g} s") from None
    except (BaseError, OSError) as error:  # whose text may hold more than the client should know
        kind = type(error).__name__.removesuffix("Error")
        raise UrlNotFetched(
            f"{source} cannot be had ({kind}); it must exist, and be readable for this service"
        ) from None
