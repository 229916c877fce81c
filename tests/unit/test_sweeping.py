"""What is looked after is looked after at once, soon after a nudge, and again whatever went wrong."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from fovea.errors import Unavailable
from service.sweeping import Sweeping

PATIENCE_S = 30.0
HOUR_S = 3600.0


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.sweeping.AGAIN_S", 0.01)


@asynccontextmanager
async def running(sweep: Callable[[], Awaitable[None]], every_s: float) -> AsyncIterator[Sweeping]:
    sweeping = Sweeping("things", sweep)
    task = asyncio.create_task(sweeping.run(every_s))
    try:
        yield sweeping
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_it_is_done_at_the_start_and_soon_after_a_nudge() -> None:
    done = asyncio.Semaphore(0)

    async def sweep() -> None:
        done.release()

    async with running(sweep, HOUR_S) as sweeping, asyncio.timeout(PATIENCE_S):
        await done.acquire()
        assert done.locked(), "an hour has not passed"
        sweeping.nudge()
        await done.acquire()


async def test_a_ledger_that_is_away_is_asked_again_soon() -> None:
    away, done = [Unavailable("nobody answers"), Unavailable("nobody answers")], asyncio.Event()

    async def sweep() -> None:
        if away:
            raise away.pop()
        done.set()

    async with running(sweep, HOUR_S), asyncio.timeout(PATIENCE_S):
        await done.wait()


async def test_what_fails_is_logged_and_done_again_at_its_next_turn(caplog: pytest.LogCaptureFixture) -> None:
    failures, done = [RuntimeError("a row of another kind")], asyncio.Event()

    async def sweep() -> None:
        if failures:
            raise failures.pop()
        done.set()

    with caplog.at_level(logging.ERROR):
        async with running(sweep, 0.01), asyncio.timeout(PATIENCE_S):
            await done.wait()
    assert "looking after things failed; going on" in caplog.text
