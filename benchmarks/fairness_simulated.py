"""The same in simulated time, on two cores that nobody else uses: the real admission, gate and scheduler.

Event loop, decoding children, device threads and the clients' work share the cores as an operating system divides them.
What each costs was measured (a clip of 2 s, 214 x 160, the compact model). Says what the order of things does, and
nothing of how fast a machine is.
"""

import argparse
import asyncio
import json
import random
import statistics
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fovea.errors import Overloaded
from service.api.edge.refusing import Refusing
from service.engine import gate as gates
from service.engine.admission import Admission
from service.engine.engine import QUANTUM_S
from service.engine.gate import Gate
from service.engine.lanes import Lane, Owner
from service.engine.request import Plan, Request
from service.engine.scheduler import Scheduler, kind_of
from video.rate import Rate

GREEDY, MODEST = Owner("greedy"), Owner("modest")
T = TypeVar("T")


@dataclass(frozen=True)
class Costs:
    """Seconds of one core."""

    http_s: float = 0.003  # of an answer
    refusal_s: float = 0.0008
    client_s: float = 0.001  # of each ask, beside the service
    decode_s: float = 0.015
    s_per_gflop: float = 0.012
    batch_s: float = 0.0005  # whatever is in it
    cores: int = 2
    steps_gflops: tuple[float, ...] = (0.44, 0.24, 0.24)


class Loop(asyncio.SelectorEventLoop):
    """Time is what happens next."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0

    def time(self) -> float:
        return self._now_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now_s = max(self._now_s, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


class Cores:
    """Of n pieces of work each gets min(1, cores / n) of a core."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._left: dict[asyncio.Future[None], float] = {}
        self._noted_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def work(self, seconds: float) -> None:
        self._catch_up()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left[done] = seconds
        self._set_timer()
        await done

    def _catch_up(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._left:
            each_s = (now_s - self._noted_s) * min(1.0, self._number / len(self._left))
            self._left = {done: left - each_s for done, left in self._left.items()}
        self._noted_s = now_s

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._left:
            rate = min(1.0, self._number / len(self._left))
            after_s = max(0.0, min(self._left.values()) / rate)
            self._timer = asyncio.get_running_loop().call_later(after_s, self._ring)

    def _ring(self) -> None:
        self._catch_up()
        for done in [done for done, left in self._left.items() if left <= 1e-9]:
            del self._left[done]
            if not done.cancelled():
                done.set_result(None)
        self._set_timer()


class Service:
    """One replica. `mended`: smaller batches, a decoder kept free, refusals held back."""

    def __init__(self, costs: Costs, *, mended: bool) -> None:
        self._costs, self._mended = costs, mended
        loop = asyncio.get_running_loop()
        self._cores = Cores(costs.cores)
        self._http = asyncio.Lock()
        gates.ABOUT_S = 5.0 if mended else -1.0
        self._scheduler = Scheduler(max_batch_flops=16 * 10**9, max_batch_size=32)
        self._decode_rate, self._flop_rate = Rate(), Rate()
        self._admission = Admission(
            max_places=64,
            max_requests=256,
            max_flops=500 * 10**9,
            max_costly_decode_s=120.0,
            num_decoders=costs.cores,
            decode_rate=self._decode_rate,
            flop_rate=self._flop_rate,
            max_wait_s=5.0,
            clock=loop.time,
        )
        self._gate = Gate(costs.cores, loop.time, self._num_ahead)
        self._refusing = Refusing(loop.time)
        self._ready = asyncio.Event()
        self.device = loop.create_task(self._run_batches())

    def _num_ahead(self, owner: Owner) -> int:
        return self._admission.shares.of(owner).ahead if self._mended else 0

    async def ask(self, owner: Owner, num_steps: int) -> bool:
        """Whether it was answered."""
        costs = self._costs
        await self._cores.work(costs.client_s)
        flops = tuple(int(gflops * 1e9) for gflops in costs.steps_gflops[:num_steps])
        plan = Plan("m", flops, (-1.0,) * (len(flops) - 1), sum(flops), None, None, 5)
        try:
            ticket = self._admission.admit(plan.most_flops, owner, expected_flops=plan.expected_flops)
        except Overloaded:
            await self._on_loop(costs.refusal_s)
            if self._mended:
                await asyncio.sleep(self._refusing.pause_s(owner.name))
            return False
        with ticket:
            await self._on_loop(costs.http_s / 2)
            ticket.decodes()
            leave = await self._gate.enter(owner)
            began_s = self._now_s
            await self._cores.work(costs.decode_s)
            self._decode_rate.observe(1, self._now_s - began_s)
            leave.close()
            ticket.decoded()
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            clip: Any = None
            request = Request(plan, clip, None, lambda event: done.set_result(None), Lane("upload", 1.0, owner))
            self._scheduler.add([request])
            self._ready.set()
            await done
        await self._on_loop(costs.http_s / 2)
        return True

    @property
    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def _on_loop(self, seconds: float) -> None:
        async with self._http:
            await self._cores.work(seconds)

    async def _run_batches(self) -> None:
        costs = self._costs
        while True:
            await self._ready.wait()
            batch = self._scheduler.schedule(self._flop_rate.amount_in(QUANTUM_S) if self._mended else None)
            if batch is None:
                self._ready.clear()
                continue
            began_s, each_s = self._now_s, costs.s_per_gflop * batch.flops / 1e9 / costs.cores
            await asyncio.gather(*(self._cores.work(each_s) for _ in range(costs.cores)))
            await self._cores.work(costs.batch_s)
            self._flop_rate.observe(batch.flops, self._now_s - began_s)
            for request in batch.requests:
                assert kind_of(request) is batch.kind
                step: Any = len(request.steps)
                request.steps.append(step)
                if len(request.steps) == len(request.plan.step_flops):
                    request.emit(step)
                else:
                    self._scheduler.add([request])


async def measure(num: int, num_greedy: int, costs: Costs, *, mended: bool) -> dict[str, float]:
    service, rng, answered = Service(costs, mended=mended), random.Random(0), [0]
    loop = asyncio.get_running_loop()

    def num_steps() -> int:
        return rng.randint(1, len(costs.steps_gflops))

    async def modest() -> list[float]:
        seconds = []
        for _ in range(num):
            began_s = loop.time()
            while not await service.ask(MODEST, num_steps()):
                await asyncio.sleep(0.05)
            seconds.append(loop.time() - began_s)
        return seconds

    async def greedy() -> None:
        while True:
            if await service.ask(GREEDY, num_steps()):
                answered[0] += 1
            else:
                await asyncio.sleep(0.05)

    alone = await modest()
    asking = [loop.create_task(greedy()) for _ in range(num_greedy)]
    await asyncio.sleep(2)
    answered[0], began_s = 0, loop.time()
    beside = await modest()
    took_s = loop.time() - began_s
    for task in (*asking, service.device):
        task.cancel()
    await asyncio.gather(*asking, service.device, return_exceptions=True)
    card = {"alone_p50_ms": 1000 * statistics.median(alone), "alone_p95_ms": 1000 * p95(alone)}
    card |= {"beside_p50_ms": 1000 * statistics.median(beside), "beside_p95_ms": 1000 * p95(beside)}
    return card | {"p95_ratio": p95(beside) / p95(alone), "greedy_answers_per_s": answered[0] / took_s}


def p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(work)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness_simulated", description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="of the modest client")
    parser.add_argument("--greedy", type=int, nargs="*", default=[8, 100], help="in flight, of the greedy client")
    parser.add_argument("--json", type=Path, help="write the cards there")
    given = parser.parse_args()
    cards = []
    for num_greedy in given.greedy:
        for mended in (False, True):
            card = run(measure(given.requests, num_greedy, Costs(), mended=mended))
            cards.append({"greedy_in_flight": num_greedy, "mended": mended, **card})
            print(", ".join(f"{name} {value:.4g}" for name, value in cards[-1].items()))
    if given.json is not None:
        given.json.write_text(json.dumps(cards, indent=2))


if __name__ == "__main__":
    main()
