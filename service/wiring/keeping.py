"""What outlives a request: the ledger, what keys use, answers given once or held. Needs no HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version

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
from service.results.paused import PausedVideos
from service.results.redis_results import RedisResults
from service.results.results import Results
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
    peers = Peers(ledger.book("load", events_kept=1), lambda: admission.told_load)
    admission.others_load = lambda: peers.least_load
    telling = asyncio.create_task(peers.run())
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


@contextlib.asynccontextmanager
async def open_once(settings: Settings, ledger: Ledger, accounts: Accounts) -> AsyncIterator[Once]:
    """Answers that are given once, by the client's key."""
    once = Once(
        ledger.book("key", events_kept=1),
        retention_s=settings.idempotency_retention_s,
        weight_of=accounts.weight_of,
    )
    once.start()
    try:
        yield once
    finally:
        await once.close()


@contextlib.asynccontextmanager
async def open_results(settings: Settings, metrics: Metrics) -> AsyncIterator[Results | None]:
    """Answers that are held for whoever asks again; None where there is no room for any."""
    if settings.result_cache_bytes == 0:
        yield None
        return
    redis_url, ttl_s = settings.redis_url, settings.result_cache_ttl_s
    results = Results(
        max_bytes=settings.result_cache_bytes,
        ttl_s=ttl_s,
        paused=PausedVideos(max_bytes=settings.resume_bytes, ttl_s=settings.resume_ttl_s),
        conditions=(version("fovea-server"), settings.video_limits()),
        metrics=metrics,
        shared=None if redis_url is None else RedisResults(redis_url.get_secret_value(), ttl_s=ttl_s),
    )
    try:
        yield results
    finally:
        await results.close()
