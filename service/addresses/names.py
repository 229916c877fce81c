"""Looks up names in threads of its own, bounded in number: a name whose servers are silent makes no other one wait.

`getaddrinfo` cannot be stopped; it may take half a minute. So one lookup a name at a time, whoever asks; and names that
took too long the last time are looked up beside the others, not before them. Knows no camera.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable
from typing import Any

QUICK_THREADS, SLOW_THREADS = 32, 32
MAX_SLOW = 1024  # names that are remembered as slow; whoever asks makes them up

Lookup = Callable[[str], list[str]]


def system_lookup(name: str) -> list[str]:
    """Addresses as the system finds them (DNS, hosts file, multicast DNS); raises OSError or UnicodeError."""
    answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


class Names:
    """Of one event loop."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._running: dict[str, asyncio.Future[list[str]]] = {}
        self._slow: dict[str, None] = {}  # in the order in which they came
        self._quick_places = asyncio.Semaphore(QUICK_THREADS)
        self._slow_places = asyncio.Semaphore(SLOW_THREADS)

    async def addresses(self, name: str, timeout_s: float) -> list[str]:
        """Raises OSError or UnicodeError where it does not resolve, TimeoutError where nobody says within that time."""
        if is_address(name):
            return [name]
        try:
            async with asyncio.timeout(timeout_s):
                while (running := self._running.get(name)) is None:
                    await self._start(name)
                return await asyncio.shield(running)
        except TimeoutError:
            self._slow[name] = None
            if len(self._slow) > MAX_SLOW:
                del self._slow[next(iter(self._slow))]
            raise

    async def _start(self, name: str) -> None:
        places = self._slow_places if name in self._slow else self._quick_places
        await places.acquire()
        if name in self._running:  # somebody else was faster
            places.release()
            return
        loop = asyncio.get_running_loop()
        running: asyncio.Future[list[str]] = loop.create_future()
        self._running[name] = running

        def done(addresses: list[str] | None, error: Exception | None) -> None:
            places.release()
            del self._running[name]
            if error is not None:
                running.set_exception(error)
                running.exception()  # read, should nobody wait for it any more
            else:
                self._slow.pop(name, None)
                running.set_result(addresses or [])

        def look() -> None:
            found: tuple[Any, ...]
            try:
                found = self._lookup(name), None
            except Exception as error:  # the thread's edge: whoever waits is told
                found = None, error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(done, *found)

        # Not a pool's: Python waits for those at its end, however long a name takes.
        threading.Thread(target=look, name="name-lookup", daemon=True).start()


def is_address(name: str) -> bool:
    """Whether it is one of IPv4 or IPv6, written out, and needs no lookup."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
