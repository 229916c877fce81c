"""Replicas hear how full the others are."""

import asyncio
from collections.abc import Callable

from service.ledger import peers as peers_module
from service.ledger.base import Ledger
from service.ledger.peers import Peers


async def becomes(what: Callable[[], bool]) -> None:
    for _ in range(1000):
        if what():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not become so")


async def test_a_replica_hears_of_the_others_and_not_of_itself(ledger: Ledger, monkeypatch) -> None:
    monkeypatch.setattr(peers_module, "EVERY_S", 0.02)
    book = ledger.book("load", events_kept=1)
    full, free, third = Peers(book, lambda: 1.2), Peers(book, lambda: 0.25), Peers(book, lambda: 0.5)
    telling = [asyncio.create_task(one.run()) for one in (full, free, third)]
    try:
        await becomes(lambda: (full.least_load, free.least_load, third.least_load) == (0.25, 0.5, 0.25))
        telling[1].cancel()  # it takes back its presence
        await becomes(lambda: full.least_load == 0.5)
    finally:
        for task in telling:
            task.cancel()
        await asyncio.gather(*telling, return_exceptions=True)


async def test_what_another_version_says_is_passed_over(ledger: Ledger) -> None:
    book = ledger.book("load", events_kept=1)
    await book.present("rep_other", "busy", 10.0)
    one = Peers(book, lambda: 0.0)
    telling = asyncio.create_task(one.run())
    await asyncio.sleep(0.1)
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    assert one.least_load is None
