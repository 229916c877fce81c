"""The state of many replicas, in Redis: the twin of `memory`. Knows Redis's protocol through redis-py alone.

Every time that matters (leases, ids, reads) is Redis's own: replicas' clocks need not agree.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fovea.errors import Unavailable
from service.ledger import keys, scripts
from service.ledger.base import Event, Keeping, Record, fenced, free, id_key

# redis-py's replies are typed for every protocol and encoding at once: `Any` here, checked by what is made of them.
ANSWER_S = 2.0  # a Redis that takes longer counts as unreachable
MAX_BLOCK_S = 2.0  # of one XREAD; waiting longer is several of them


class RedisLedger:
    """`events_kept` of each stream. Raises Unavailable where Redis cannot be reached, and works again when it can."""

    def __init__(self, url: str, *, events_kept: int) -> None:
        # A write that is tried again might be done twice; a read may meet a connection that a restart has cut.
        self._writing = _client(url, num_retries=0, timeout_s=ANSWER_S)
        self._reading = _client(url, num_retries=1, timeout_s=ANSWER_S)
        self._waiting = _client(url, num_retries=1, timeout_s=MAX_BLOCK_S + ANSWER_S)
        self._events_kept = events_kept

    async def add(self, record: Record, limit: int) -> bool:
        return bool(await self._run(scripts.ADD, [keys.STREAMS], [record.id, record.text, limit]))

    async def records(self) -> list[Record]:
        async with _translated():
            kept = await self._reading.hgetall(keys.STREAMS)
        return [Record(stream, text) for stream, text in sorted(kept.items())]

    async def record(self, stream: str) -> Record | None:
        async with _translated():
            text = await self._reading.hget(keys.STREAMS, stream)
        return None if text is None else Record(stream, text)

    async def remove(self, stream: str, last: Event | None = None) -> bool:
        name, data = ("", "") if last is None else (last.name, last.data)
        touched = [
            keys.STREAMS,
            keys.lease(stream),
            keys.events(stream),
            keys.removed(stream),
            keys.status(stream),
            keys.READ,
        ]
        return bool(await self._run(scripts.REMOVE, touched, [stream, name, data, self._events_kept]))

    async def read(self, stream: str) -> None:
        await self._run(scripts.READ, [keys.READ], [stream])

    async def unread_s(self, stream: str) -> float:
        return float(await self._run(scripts.UNREAD, [keys.READ], [stream])) / 1000

    async def take(self, stream: str, token: str, lease_s: float) -> bool:
        arguments = [stream, token, _ms(lease_s)]
        return bool(await self._run(scripts.TAKE, [keys.STREAMS, keys.lease(stream)], arguments))

    async def keep(self, record: Record, token: str, lease_s: float) -> Keeping:
        touched = [keys.STREAMS, keys.lease(record.id), keys.removed(record.id)]
        answer = await self._run(scripts.KEEP, touched, [record.id, token, _ms(lease_s), record.text])
        return cast(Keeping, answer)

    async def give_up(self, stream: str, token: str) -> None:
        await self._run(scripts.GIVE_UP, [keys.lease(stream)], [token])

    async def append(self, stream: str, token: str, name: str, data: str, *, after: str | None = None) -> str:
        after_ms = 0 if after is None else id_key(after)[0]
        arguments = [token, name, data, self._events_kept, after_ms]
        touched = [keys.lease(stream), keys.removed(stream), keys.events(stream)]
        return _ours(stream, await self._run(scripts.APPEND, touched, arguments))

    async def report(self, stream: str, token: str, status: str) -> None:
        touched = [keys.lease(stream), keys.removed(stream), keys.status(stream)]
        _ours(stream, await self._run(scripts.REPORT, touched, [token, status]))

    async def status(self, stream: str) -> str | None:
        async with _translated():
            return cast(str | None, await self._reading.get(keys.status(stream)))

    async def events(self, stream: str, after: str, *, wait_s: float = 0.0, limit: int = 100) -> list[Event]:
        id_key(after)
        key, left_s = keys.events(stream), wait_s
        async with _translated():
            while True:
                block_ms = _ms(min(left_s, MAX_BLOCK_S)) if left_s > 0 else None
                client = self._reading if block_ms is None else self._waiting
                answer = await client.xread({key: after}, count=limit, block=block_ms)
                if answer:
                    entries = answer[key][0] if isinstance(answer, dict) else answer[0][1]
                    return [Event(event_id, fields["name"], fields["data"]) for event_id, fields in entries]
                left_s -= MAX_BLOCK_S
                if left_s <= 0:
                    return []

    async def ends(self, stream: str) -> tuple[str, str] | None:
        async with _translated():
            first = await self._reading.xrange(keys.events(stream), count=1)
            last = await self._reading.xrevrange(keys.events(stream), count=1)
        return (first[0][0], last[0][0]) if first and last else None

    async def present(self, replica: str, for_s: float) -> Sequence[str]:
        return cast(list[str], await self._run(scripts.PRESENT, [keys.REPLICAS], [replica, _ms(for_s)]))

    async def close(self) -> None:
        for client in (self._writing, self._reading, self._waiting):
            await client.aclose()

    async def _run(self, script: str, touched: Sequence[str], arguments: Sequence[Any]) -> Any:
        async with _translated():
            try:
                return await self._writing.eval(script, len(touched), *touched, *arguments)
            except (RedisError, OSError):
                await self._writing.connection_pool.disconnect(inuse_connections=False)  # what idles may be cut, too
                raise


def _client(url: str, *, num_retries: int, timeout_s: float) -> Any:
    return Redis.from_url(
        url,
        decode_responses=True,
        retry=Retry(NoBackoff(), num_retries),
        socket_timeout=timeout_s,
        socket_connect_timeout=ANSWER_S,
    )


@contextlib.asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """redis-py's errors may carry the URL: none of their text goes on."""
    try:
        yield
    except (RedisError, OSError) as error:
        kind = type(error).__name__
        raise Unavailable(f"the shared state cannot be reached ({kind}); try again", retry_after_s=2) from None


def _ours(stream: str, answer: str) -> str:
    """The answer, unless it is a verdict against us."""
    if answer == "fenced":
        raise fenced(stream)
    if answer == "free":
        raise free(stream)
    return answer


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
