"""The queue of many replicas, in Redis: streaq's. Knows streaq, and no job.

An item is handed out again where its holder is silent for `lease_s`: killed, paused or cut off. A lost connection ends
streaq's worker; a new one is made until it is closed, since Redis may have forgotten everything meanwhile.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from anyio import TASK_STATUS_IGNORED, CancelScope, CapacityLimiter
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream
from streaq import StreaqRetry, Worker
from streaq.types import StreamMessage

from fovea.errors import Unavailable
from service.jobs.queue import TryLater, WorkOn

log = logging.getLogger(__name__)

AGAIN_S = 1.0  # before a Redis that is away is tried again
ANSWER_S = 3.0  # a Redis that takes longer counts as unreachable
TASK = "work"

for chatty in ("streaq", "coredis"):  # they tell of every item, and of every try to connect
    logging.getLogger(chatty).setLevel(logging.WARNING)


class _Worker(Worker[None]):
    async def signal_handler(self, scope: CancelScope) -> None:
        """The process's signals are the server's."""

    async def run_consumers(
        self,
        receive: MemoryObjectReceiveStream[StreamMessage],
        renew_scope: CancelScope,
        produce_scope: CancelScope,
        *,
        task_status: TaskStatus[CapacityLimiter] = TASK_STATUS_IGNORED,
    ) -> None:
        """Closes its end of the stream, which streaq 7.2 leaves to the garbage collector."""
        with receive:
            await super().run_consumers(receive, renew_scope, produce_scope, task_status=task_status)


@dataclass(frozen=True, slots=True)
class _Connected(TaskStatus[None]):
    """Whom streaq tells that it works."""

    then: Callable[[], None]

    def started(self, value: None = None) -> None:
        self.then()


class RedisQueue:
    """`name`: of the queue, one of several in one Redis."""

    def __init__(self, url: str, name: str, *, concurrency: int, lease_s: float) -> None:
        self._url = url
        self._name = name
        self._concurrency = concurrency
        self._lease_s = lease_s
        self._worker: _Worker | None = None  # while it is connected
        self._connects = asyncio.Event()  # set while it is
        self._running: asyncio.Task[None] | None = None
        self._reachable = True  # what the log holds

    def start(self, work: WorkOn) -> None:
        self._running = asyncio.create_task(self._run(work))

    async def put(self, item: str, *, delay_s: float = 0.0) -> None:
        if self._reachable:  # a queue that is being opened: whoever comes first is put in first
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._connects.wait(), ANSWER_S)
        worker = self._worker
        if worker is None:
            raise _away("not connected")
        task = worker.registry[TASK].enqueue(item)
        task.id = item
        task.delay = timedelta(seconds=delay_s) if delay_s > 0 else None
        try:
            async with asyncio.timeout(ANSWER_S):
                await worker.enqueue_many([task])
        except Exception as error:  # streaq's own, coredis's, a group of them, TimeoutError
            raise _away(type(error).__name__) from None

    async def close(self) -> None:
        """streaq shields what runs from the cancellation of its worker, and ends when that is done."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _run(self, work: WorkOn) -> None:
        while True:
            worker = self._made(work)
            try:
                await worker.run_async(task_status=_Connected(partial(self._connected, worker)))
            except Exception as error:  # Redis is away, or has forgotten: a new worker sees
                if self._reachable:
                    log.warning("the queue %s in Redis cannot be used: %s", self._name, _kinds(error))
                self._reachable = False
            finally:
                self._worker = None
                self._connects.clear()
            await asyncio.sleep(AGAIN_S)

    def _connected(self, worker: _Worker) -> None:
        self._worker = worker
        self._connects.set()
        if not self._reachable:
            log.info("the queue %s in Redis is back", self._name)
        self._reachable = True

    def _made(self, work: WorkOn) -> _Worker:
        worker = _Worker(
            redis_url=self._url,
            redis_kwargs={"stream_timeout": None, "connect_timeout": ANSWER_S},
            queue_name=f"fovea:{self._name}",
            concurrency=self._concurrency,
            prefetch=1,
            serializer=lambda value: json.dumps(value, default=str),
            deserializer=json.loads,
            idle_timeout=self._lease_s,
        )

        async def run(item: str) -> None:
            try:
                await work(item)
            except TryLater as later:
                raise StreaqRetry(delay=timedelta(seconds=later.delay_s)) from None
            except Exception:  # the task's edge: one item's bug is not the others'
                log.exception("working on %s failed", item)

        worker.task(name=TASK, max_tries=None, silent=True, ttl=0)(run)
        return worker


def _away(why: str) -> Unavailable:
    return Unavailable(f"the queue cannot be reached ({why}); try again", retry_after_s=2)


def _kinds(error: BaseException) -> str:
    """Their texts may hold the URL, and the password with it."""
    kinds: set[str] = set()
    pending = [error]
    while pending:
        one = pending.pop()
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions
        else:
            kinds.add(type(one).__name__)
    return ", ".join(sorted(kinds))
