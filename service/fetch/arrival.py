"""How a fetched video comes: from front to back, but for its end, which may be wanted first. Knows no network."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Length:
    """So many bytes will come. Said before the first of them, if at all."""

    num_bytes: int


@dataclass(frozen=True, slots=True)
class End:
    """The last bytes, from `place` on, before their turn. They do not come again."""

    place: int
    content: bytes


Piece = bytes | Length | End
EndWanted = Callable[[bytes, int], int | None]  # (first bytes, number of bytes so far): from where on the end is wanted

FIRST_BYTES = 2**16  # that may say where an end lies
END_S = 2.0  # that it may take to come: the rest waits meanwhile


def not_wanted(first: bytes, num_bytes: int) -> int | None:
    """Front to back."""
    return None


async def end_when_wanted(
    pieces: AsyncGenerator[bytes, None],
    length: int,
    wanted: EndWanted,
    fetch_end: Callable[[int], Awaitable[bytes | None]],
) -> AsyncGenerator[Piece, None]:
    """`pieces` of `length` bytes in all; once `wanted` names a place, what lies from there on comes next, and the rest
    up to there. `fetch_end(place)`: these bytes; None where they cannot be had apart, and come in their turn; so they
    do after END_S. Raises ConnectionError where fewer bytes come."""
    yield Length(length)
    num_bytes, end_from, first = 0, length, b""
    async with aclosing(pieces):
        async for piece in pieces:
            left = end_from - num_bytes
            num_bytes += len(piece)
            yield piece[:left]
            if num_bytes >= end_from:
                return
            if len(first) < FIRST_BYTES:
                first += piece
            place = wanted(first, num_bytes) if end_from == length else None
            if place is not None and num_bytes < place < length:
                try:
                    async with asyncio.timeout(END_S):
                        content = await fetch_end(place)
                except TimeoutError:
                    content = None
                if content is not None:
                    end_from = place
                    yield End(place, content)
    if num_bytes < end_from:
        raise ConnectionError(f"{num_bytes} bytes came of {end_from}")
