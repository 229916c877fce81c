"""Answers that are paid for once: who asks again for the same video stops at a step that is held, or goes on from it.

Knows no HTTP and no Redis. What is held is its owner's alone: neither an answer nor the time that it takes tells one
key what another has posted.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cachetools import TTLCache

from fovea.words import ExitReason
from service.engine.budget import Offer
from service.engine.request import Plan
from service.metrics import Metrics
from service.results.held import HeldSteps
from service.results.paused import Paused, PausedVideos
from video.clip import Clip

log = logging.getLogger(__name__)

MAX_TELLING = 64  # texts on their way to other replicas; more are not told


class SharedResults(Protocol):
    """What replicas tell each other. Where it is away nothing is found, and nothing raised."""

    async def get(self, key: str) -> str | None: ...

    async def put(self, key: str, text: str) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """Steps that need not be taken. `reason`: why the plan stops after them; else `paused` is what to go on from."""

    held: HeldSteps
    plan: Plan  # what holds of them: all that was asked for where it is paid for, whatever load leaves
    reason: ExitReason | None = None
    paused: Paused | None = None

    @property
    def clip(self) -> Clip:
        """The frames to go on with; black ones where no step looks at them any more."""
        return self.held.clip if self.paused is None else self.paused.clip


class Results:
    """`max_bytes` of steps as text, each for `ttl_s`, here and in `shared`; `paused` here alone.

    `conditions`: all that changes answers and stands in no bundle. One event loop's.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        ttl_s: float,
        paused: PausedVideos,
        conditions: tuple[object, ...],
        metrics: Metrics,
        shared: SharedResults | None = None,
    ) -> None:
        self._texts: TTLCache[str, str] = TTLCache(max_bytes, ttl_s, getsizeof=len)
        self._paused = paused
        self._conditions = conditions
        self._metrics = metrics
        self._shared = shared
        self._telling: set[asyncio.Task[None]] = set()
        metrics.result_cache_bytes.set_function(lambda: self._texts.currsize)
        metrics.resumable_bytes.set_function(lambda: paused.num_bytes)

    async def key(self, path: Path, owner: str, offer: Offer, *look: object) -> str:
        """Of all that the steps depend on. `look`: what else of the request does."""
        content = await asyncio.to_thread(_digest, path)
        depends_on = [owner, content, offer.name, offer.digest, offer.computed_by, self._conditions, look]
        return hashlib.sha256(json.dumps(depends_on, default=str).encode()).hexdigest()

    async def find(self, key: str, plan: Plan) -> Found | None:
        """What is held of it. What can be gone on from is the caller's alone: `keep` gives it back."""
        found = self._stopped(self._text(key), plan)
        if found is None and self._shared is not None:
            text = await self._shared.get(key)
            found = self._stopped(text, plan)
            if found is not None and text is not None:
                self._put(key, text)
        found = found or self._paused_at(key, plan)
        outcome = "miss" if found is None else "resumed" if found.reason is None else "hit"
        self._metrics.result_cache_lookups_total.labels(outcome=outcome).inc()
        return found

    def keep(self, key: str, held: HeldSteps, paused: Paused | None) -> None:
        """Of two answers the one that went further stays. `paused`: where more steps are left."""
        text = held.text()
        if self._put(key, text) and self._shared is not None and len(self._telling) < MAX_TELLING:
            self._beside(self._shared.put(key, text))
        if paused is not None:
            self.give_back(key, paused)

    def give_back(self, key: str, paused: Paused) -> None:
        """Somebody else may go on from it, for a while."""
        self._paused.keep(key, paused)
        asyncio.get_running_loop().call_later(self._paused.ttl_s, self._paused.forget_old)

    async def close(self) -> None:
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)
        if self._shared is not None:
            await self._shared.close()

    def _stopped(self, text: str | None, plan: Plan) -> Found | None:
        held = None if text is None else HeldSteps.of_text(text)
        return None if held is None else _where_it_stops(held, plan)

    def _paused_at(self, key: str, plan: Plan) -> Found | None:
        paused = self._paused.take(key)
        if paused is None:
            return None
        found = _where_it_stops(paused.held, plan)
        if found is None:
            return Found(paused.held, plan, paused=paused)
        self._paused.keep(key, paused)
        return found

    def _text(self, key: str) -> str | None:
        try:
            return self._texts[key]
        except KeyError:
            return None

    def _put(self, key: str, text: str) -> bool:
        """Whether it is news: of two texts the longer one has more steps."""
        if len(self._text(key) or "") >= len(text):
            return False
        if len(text) <= self._texts.maxsize:
            self._texts[key] = text
        return True

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)


def _where_it_stops(held: HeldSteps, plan: Plan) -> Found | None:
    """Among the steps that are held, which cost nothing now; None: after them."""
    for one in (plan,) if plan.asked is None else (plan.asked, plan):
        stop = held.exit(one)
        if stop is not None:
            return Found(held.up_to(stop[0]), one, stop[1])
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
