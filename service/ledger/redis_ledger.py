"""The ledger of many replicas, in Redis: the twin of `sqlite` and `memory`. Knows Redis through redis-py alone.

Every time that matters (leases, ids, reads) is Redis's own: replicas' clocks need not agree.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from fovea.errors import Unavailable
from service.ledger import keys, scripts
from service.ledger.base import (
    BEFORE_ALL,
    LAST_WORDS_S,
    REMOVED_S,
    Adding,
    Event,
    Keeping,
    Kind,
    LedgerRefused,
    Note,
    Record,
    fenced,
    free,
    id_key,
)
from service.ledger.counters import KEPT_DAYS, Counters
from service.ledger.keys import Keys

# redis-py's replies are typed for every protocol and encoding at once: `Any` here, checked by what is made of them.
ANSWER_S = 2.0  # a Redis that takes longer counts as unreachable
MAX_BLOCK_S = 2.0  # of one XREAD; waiting longer is several of them
LEAST_VERSION = 7


class _Connections:
    """Raises Unavailable where Redis cannot be reached, and works again when it can."""

    def __init__(self, url: str) -> None:
        # A write that is tried again might be done twice; a read may meet a connection that a restart has cut.
        self.writing = _client(url, num_retries=0, timeout_s=ANSWER_S)
        self.reading = _client(url, num_retries=1, timeout_s=ANSWER_S)
        self.waiting = _client(url, num_retries=1, timeout_s=MAX_BLOCK_S + ANSWER_S)

    async def run(self, script: str, touched: Sequence[str], arguments: Sequence[Any]) -> Any:
        async with _translated():
            try:
                return await self.writing.eval(script, len(touched), *touched, *arguments)
            except (RedisError, OSError):
                await self.writing.connection_pool.disconnect(inuse_connections=False)  # what idles may be cut, too
                raise

    async def close(self) -> None:
        for client in (self.writing, self.reading, self.waiting):
            await client.aclose()


class RedisBook:
    def __init__(self, connections: _Connections, kind: Kind, events_kept: int) -> None:
        self._redis = connections
        self._keys = Keys(kind)
        self._events_kept = events_kept

    async def add(self, record: Record, limit: int) -> Adding:
        touched = [self._keys.records, self._keys.removed(record.id)]
        return cast(Adding, await self._redis.run(scripts.ADD, touched, [record.id, record.text, limit]))

    async def records(self) -> list[Record]:
        async with _translated():
            kept = await self._redis.reading.hgetall(self._keys.records)
        return [Record(record_id, text) for record_id, text in sorted(kept.items())]

    async def record(self, record_id: str) -> Record | None:
        async with _translated():
            text = await self._redis.reading.hget(self._keys.records, record_id)
        return None if text is None else Record(record_id, text)

    async def remove(self, record_id: str, last: Note | None = None) -> bool:
        name, data = ("", "") if last is None else (last.name, last.data)
        keys = self._keys
        touched = [
            keys.records,
            keys.lease(record_id),
            keys.events(record_id),
            keys.removed(record_id),
            keys.report(record_id),
            keys.read,
            keys.blob(record_id),
        ]
        arguments = [record_id, name, data, self._events_kept, int(REMOVED_S), int(LAST_WORDS_S)]
        return bool(await self._redis.run(scripts.REMOVE, touched, arguments))

    async def read(self, record_id: str) -> None:
        await self._redis.run(scripts.READ, [self._keys.read], [record_id])

    async def unread_s(self, record_id: str) -> float:
        return float(await self._redis.run(scripts.UNREAD, [self._keys.read], [record_id])) / 1000

    async def take(self, record_id: str, token: str, lease_s: float) -> bool:
        touched = [self._keys.records, self._keys.lease(record_id)]
        return bool(await self._redis.run(scripts.TAKE, touched, [record_id, token, _ms(lease_s)]))

    async def keep(self, record: Record, token: str, lease_s: float, report: str | None = None) -> Keeping:
        keys = self._keys
        touched = [keys.records, keys.lease(record.id), keys.removed(record.id), keys.report(record.id)]
        arguments = [record.id, token, _ms(lease_s), record.text, report or ""]
        return cast(Keeping, await self._redis.run(scripts.KEEP, touched, arguments))

    async def give_up(self, record_id: str, token: str) -> None:
        await self._redis.run(scripts.GIVE_UP, [self._keys.lease(record_id)], [token])

    async def append(
        self, record_id: str, token: str, note: Note, *, after: str | None = None, report: str | None = None
    ) -> str:
        id_key(after or BEFORE_ALL)
        arguments = [token, note.name, note.data, self._events_kept, after or BEFORE_ALL, report or ""]
        keys = self._keys
        touched = [keys.lease(record_id), keys.removed(record_id), keys.events(record_id), keys.report(record_id)]
        return _ours(record_id, await self._redis.run(scripts.APPEND, touched, arguments))

    async def report(self, record_id: str) -> str | None:
        async with _translated():
            return cast(str | None, await self._redis.reading.get(self._keys.report(record_id)))

    async def reports(self, record_ids: Sequence[str]) -> dict[str, str]:
        if not record_ids:
            return {}
        async with _translated():
            texts = await self._redis.reading.mget([self._keys.report(record_id) for record_id in record_ids])
        return {record_id: text for record_id, text in zip(record_ids, texts, strict=True) if text is not None}

    async def events(self, record_id: str, after: str, *, wait_s: float = 0.0, limit: int = 100) -> list[Event]:
        id_key(after)
        key, left_s = self._keys.events(record_id), wait_s
        async with _translated():
            while True:
                block_ms = _ms(min(left_s, MAX_BLOCK_S)) if left_s > 0 else None
                client = self._redis.reading if block_ms is None else self._redis.waiting
                answer = await client.xread({key: after}, count=limit, block=block_ms)
                if answer:
                    entries = answer[key][0] if isinstance(answer, dict) else answer[0][1]
                    return [Event(event_id, said["before"], said["name"], said["data"]) for event_id, said in entries]
                left_s -= MAX_BLOCK_S
                if left_s <= 0:
                    return []

    async def last_id(self, record_id: str) -> str | None:
        async with _translated():
            last = await self._redis.reading.xrevrange(self._keys.events(record_id), count=1)
        return last[0][0] if last else None

    async def put_blob(self, record_id: str, token: str, blob: bytes, for_s: float) -> None:
        keys = self._keys
        touched = [keys.lease(record_id), keys.removed(record_id), keys.blob(record_id)]
        arguments = [token, base64.b64encode(blob).decode(), _ms(for_s)]
        _ours(record_id, await self._redis.run(scripts.PUT_BLOB, touched, arguments))

    async def blob(self, record_id: str) -> bytes | None:
        async with _translated():
            text = await self._redis.reading.get(self._keys.blob(record_id))
        return None if text is None else base64.b64decode(text)

    async def present(self, replica: str, about: str, for_s: float) -> dict[str, str]:
        touched = [self._keys.replicas, self._keys.about]
        told = await self._redis.run(scripts.PRESENT, touched, [replica, _ms(for_s), about])
        return dict(sorted(zip(told[::2], told[1::2], strict=True)))

    async def leave(self, replica: str) -> None:
        await self._redis.run(scripts.LEAVE, [self._keys.replicas, self._keys.about], [replica])


class RedisCounters:
    def __init__(self, connections: _Connections) -> None:
        self._redis = connections

    async def add(self, day: date, amounts: Mapping[str, int]) -> None:
        pairs = [one for pair in amounts.items() for one in pair]
        await self._redis.run(scripts.COUNT, [keys.counters(day)], [KEPT_DAYS * 86_400, *pairs])

    async def of(self, days: Sequence[date]) -> list[dict[str, int]]:
        async with _translated():
            found = [await self._redis.reading.hgetall(keys.counters(day)) for day in days]
        return [{name: int(amount) for name, amount in one.items()} for one in found]


class RedisLedger:
    """Raises LedgerRefused where `url` is none."""

    def __init__(self, url: str) -> None:
        try:
            self._connections = _Connections(url)
        except (ValueError, TypeError):  # the text of which may hold the password
            raise LedgerRefused(
                "FOVEA_REDIS_URL is no URL of a Redis; write redis://:password@host:6379/0, rediss:// for TLS"
            ) from None

    async def open(self) -> None:
        """A Redis that cannot be reached is waited for; one that answers has to be of use."""
        try:
            about = await self._connections.reading.info("server")
        except AuthenticationError:
            raise LedgerRefused(
                "Redis refuses the user or password of FOVEA_REDIS_URL; write redis://user:password@host:6379/0"
            ) from None
        except ResponseError as error:
            if not str(error).startswith("NOPERM"):
                raise LedgerRefused(f"Redis at FOVEA_REDIS_URL refuses: {str(error)[:80]}") from None
            return  # a user that may not ask; what it may not do either is told when it is tried
        except (RedisError, OSError):
            return
        version = str(about.get("redis_version", "0"))
        if int(version.partition(".")[0]) < LEAST_VERSION:
            raise LedgerRefused(
                f"Redis at FOVEA_REDIS_URL is version {version}; Fovea needs {LEAST_VERSION}.0 or newer"
            )

    def book(self, kind: Kind, *, events_kept: int) -> RedisBook:
        return RedisBook(self._connections, kind, events_kept)

    def counters(self) -> Counters:
        return RedisCounters(self._connections)

    async def close(self) -> None:
        await self._connections.close()


class _Client(Redis):
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Redis-py sends through `asyncio.wait_for`, which loses a cancellation that comes as it is done (Python before
        3.12): whoever asks in a loop would go on for ever. The task has counted it all the same.
        """
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        finally:
            if task.cancelling() > before:
                raise asyncio.CancelledError


def _client(url: str, *, num_retries: int, timeout_s: float) -> Any:
    return _Client.from_url(
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


def _ours(record_id: str, answer: str) -> str:
    """The answer, unless it is a verdict against us."""
    if answer == "fenced":
        raise fenced(record_id)
    if answer == "free":
        raise free(record_id)
    return answer


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
