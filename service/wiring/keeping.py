"""What outlives a request: the ledger, what keys use, answers given once. Needs no HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from service.engine.admission import Admission
from service.jobs.once import Once
from service.keys.quota import Meter
from service.keys.ring import KeyRing
from service.keys.spending import Accounts
from service.keys.usage import Usage
from service.ledger.base import Ledger
from service.ledger.peers import Peers
from service.ledger.redis_ledger import RedisLedger
from service.ledger.sqlite import SqliteLedger
from service.metrics import Metrics
from service.settings import Settings


@contextlib.asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """What outlives a request: in Redis where replicas share it, else in a file. Raises LedgerRefused."""
    redis_url = settings.redis_url
    ledger: Ledger
    ledger = SqliteLedger(settings.state_dir) if redis_url is None else RedisLedger(redis_url.get_secret_value())
    try:
        await ledger.open()
        yield ledger
    finally:
        await ledger.close()


@contextlib.asynccontextmanager
async def open_accounts(
    settings: Settings, metrics: Metrics, ledger: Ledger, ring: KeyRing | None
) -> AsyncIterator[Accounts]:
    """What keys use: limited where replicas share it, counted in the ledger; brought there on the way out."""
    redis_url = settings.redis_url
    accounts = Accounts(Meter(None if redis_url is None else redis_url.get_secret_value()), Usage(metrics), ring)
    counting = asyncio.create_task(accounts.usage.run(ledger.counters()))
    try:
        yield accounts
    finally:
        await accounts.close()
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)


@contextlib.asynccontextmanager
async def open_peers(settings: Settings, ledger: Ledger, admission: Admission) -> AsyncIterator[None]:
    """Replicas that share a Redis tell each other how full they are: a full one's refusal says who has room."""
    if settings.redis_url is None:
        yield
        return
    peers = Peers(ledger.book("load", events_kept=1), lambda: admission.load)
    admission.others_load = lambda: peers.least_load
    telling = asyncio.create_task(peers.run())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


@contextlib.asynccontextmanager
async def open_once(settings: Settings, ledger: Ledger) -> AsyncIterator[Once]:
    """Answers that are given once, by the client's key."""
    once = Once(ledger.book("key", events_kept=1), retention_s=settings.idempotency_retention_s)
    once.start()
    try:
        yield once
    finally:
        await once.close()
