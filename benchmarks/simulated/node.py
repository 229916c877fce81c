"""One replica in simulated time: the real admission, gate and scheduler, on cores that do what was measured.

An event loop, decoding processes and one device thread, whose batches take all of its threads, share the cores. Runs in
`clock.SimulatedLoop`. Knows no HTTP and no video.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from benchmarks.simulated.cores import Cores
from benchmarks.simulated.costs import Costs
from fovea.errors import Overloaded
from service.api.edge.refusing import Refusing
from service.engine.admission import Admission
from service.engine.engine import QUANTUM_S
from service.engine.gate import ABOUT_S, Gate
from service.engine.lanes import Lane, Owner
from service.engine.request import Plan, Request
from service.engine.scheduler import Batch, Kind, Scheduler
from video.rate import Rate

MAX_BATCH = 32


class Node:
    """`fair`: while several owners are about, a decoder is kept free, batches are smaller, refusals are held back."""

    def __init__(self, costs: Costs, *, fair: bool = True) -> None:
        self._costs, self._fair = costs, fair
        loop = asyncio.get_running_loop()
        self.cores = Cores(costs.cores)
        self._http = asyncio.Lock()
        self._scheduler = Scheduler(max_batch_flops=16 * 10**9, max_batch_size=MAX_BATCH)
        self._decode_rate, self._flop_rate = Rate(), Rate()
        self.admission = Admission(
            max_places=64,
            max_requests=256,
            max_flops=500 * 10**9,
            max_costly_decode_s=120.0,
            num_decoders=costs.threads,
            decode_rate=self._decode_rate,
            flop_rate=self._flop_rate,
            max_wait_s=5.0,
            clock=loop.time,
        )
        self._gate = Gate(costs.threads, loop.time, self._num_ahead, about_s=ABOUT_S if fair else -1.0)
        self._refusing = Refusing(loop.time)
        self._ready = asyncio.Event()
        self._device = loop.create_task(self._run_batches())

    async def close(self) -> None:
        self._device.cancel()
        await asyncio.gather(self._device, return_exceptions=True)

    async def ask(self, owner: Owner, settle: Callable[[float], tuple[Plan, int]]) -> Plan | None:
        """One video to its answer; None: refused. `settle`: from the pressure to its plan and the number of steps."""
        costs = self._costs
        if costs.client_s:
            await self.cores.work(costs.client_s)
        await self._on_loop(costs.refusal_s / 2)
        plan, num_steps = settle(self.admission.pressure())
        try:
            ticket = self.admission.admit(plan.most_flops, owner, expected_flops=plan.expected_flops)
        except Overloaded:
            await self._on_loop(costs.refusal_s / 2)
            if self._fair and owner.name:
                await asyncio.sleep(self._refusing.pause_s(owner.name))
            return None
        with ticket:
            await self._on_loop(max(0.0, costs.http_s - costs.refusal_s) / 2)
            ticket.decodes()
            await self._decode(owner, costs.decode_s)
            if plan.most_steps > 1:  # more of it may be decoded: it keeps its place
                ticket.begun()
            else:
                ticket.decoded()
            for step in range(num_steps):
                if step == 1 and costs.further_decode_s:
                    ticket.decodes()
                    await self._decode(owner, costs.further_decode_s)
                    ticket.begun()
                ticket.spend(await self._step(plan, step, owner))
        await self._on_loop(costs.http_s / 2)
        return plan

    def _num_ahead(self, owner: Owner) -> int:
        return self.admission.shares.of(owner).ahead if self._fair else 0

    async def _decode(self, owner: Owner, cpu_s: float) -> None:
        leave = await self._gate.enter(owner)
        began_s = self._now_s
        await self.cores.work(cpu_s)
        self._decode_rate.observe(1, self._now_s - began_s)
        leave.close()

    async def _step(self, plan: Plan, step: int, owner: Owner) -> int:
        """Its FLOPs, once a batch that it is in has run."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        clip: Any = None
        taken: list[Any] = [None] * step  # the scheduler looks at how many
        request = Request(plan, clip, None, lambda event: done.set_result(0), Lane("upload", 1.0, owner), steps=taken)
        self._scheduler.add([request])
        self._ready.set()
        await done
        return plan.step_flops[step]

    @property
    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def _on_loop(self, cpu_s: float) -> None:
        async with self._http:
            await self.cores.work(cpu_s)

    async def _run_batches(self) -> None:
        while True:
            await self._ready.wait()
            batch = self._scheduler.schedule(self._flop_rate.amount_in(QUANTUM_S) if self._fair else None)
            if batch is None:
                self._ready.clear()
            else:
                await self._run(batch)

    async def _run(self, batch: Batch) -> None:
        costs, flops = self._costs, batch.flops
        s_per_gflop = costs.glance_s_per_gflop if batch.kind is Kind.GLANCE else costs.cube_s_per_gflop
        began_s, each_s = self._now_s, s_per_gflop * flops / 1e9 / costs.threads
        await asyncio.gather(*(self.cores.work(each_s) for _ in range(costs.threads)))
        self._flop_rate.observe(flops, self._now_s - began_s)
        done: Any = None
        for request in batch.requests:
            request.emit(done)
