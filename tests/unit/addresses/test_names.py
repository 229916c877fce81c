"""Names are looked up beside each other: the dead do not stand in the way of the living."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from service.addresses.names import QUICK_THREADS, SLOW_THREADS, Names, system_lookup


class Servers:
    """Names that begin with `dead` get no answer until the test is over."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.over = threading.Event()

    def lookup(self, name: str) -> list[str]:
        self.asked.append(name)
        if name.startswith("dead"):
            self.over.wait()
            raise OSError("no answer")
        return ["192.0.2.1"]


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.over.set()


async def looked_up_in_vain(names: Names, name: str) -> None:
    with pytest.raises(TimeoutError):
        await names.addresses(name, 0.05)


async def all_done(names: Names) -> None:
    await asyncio.wait(list(names._running.values()))


async def test_dead_names_make_no_living_one_wait(servers: Servers) -> None:
    names = Names(servers.lookup)
    for turn in range(2):  # cameras are tried again and again
        await asyncio.gather(*(looked_up_in_vain(names, f"dead{turn}-{number}") for number in range(QUICK_THREADS - 1)))
        assert await names.addresses("living", 30.0) == ["192.0.2.1"]
        servers.over.set()
        await all_done(names)
        servers.over.clear()


async def test_names_that_took_too_long_have_threads_of_their_own(servers: Servers) -> None:
    names = Names(servers.lookup)
    dead = [f"dead{number}" for number in range(SLOW_THREADS + 8)]
    for _ in range(3):
        for start in range(0, len(dead), 8):
            await asyncio.gather(*(looked_up_in_vain(names, name) for name in dead[start : start + 8]))
            servers.over.set()
            await all_done(names)
            servers.over.clear()
    await asyncio.gather(*(looked_up_in_vain(names, name) for name in dead))
    assert len(names._running) == SLOW_THREADS
    assert await names.addresses("living", 30.0) == ["192.0.2.1"]


async def test_one_name_is_looked_up_once_at_a_time_whoever_asks(servers: Servers) -> None:
    names = Names(servers.lookup)
    await asyncio.gather(*(looked_up_in_vain(names, "dead") for _ in range(5)))
    await looked_up_in_vain(names, "dead")
    assert servers.asked == ["dead"]


async def test_what_a_lookup_says_is_told(servers: Servers) -> None:
    names = Names(servers.lookup)
    servers.over.set()
    with pytest.raises(OSError, match="no answer"):
        await names.addresses("dead", 30.0)


async def test_an_address_needs_no_lookup(servers: Servers) -> None:
    assert await Names(servers.lookup).addresses("fd12::1", 30.0) == ["fd12::1"]
    assert servers.asked == []


async def test_the_system_knows_the_loopback() -> None:
    assert set(await Names(system_lookup).addresses("localhost", 30.0)) <= {"127.0.0.1", "::1"}


async def test_only_so_many_slow_names_are_remembered(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks makes names up, without end."""
    monkeypatch.setattr("service.addresses.names.MAX_SLOW", 4)
    names = Names(servers.lookup)
    for number in range(9):
        await looked_up_in_vain(names, f"dead{number}")
    assert list(names._slow) == ["dead5", "dead6", "dead7", "dead8"]
