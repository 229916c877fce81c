"""Clients of a simulated node: those that never pause find its knee, random arrivals its levels beyond."""

import asyncio
import random
import statistics
from dataclasses import dataclass

from benchmarks.levels import Level, quantile
from benchmarks.simulated.clock import run
from benchmarks.simulated.costs import Costs
from benchmarks.simulated.node import Node
from models import available_models
from models.bundle import Bundle
from service.engine.budget import Offer, RecognitionOptions, plan
from service.engine.lanes import ANYBODY
from service.engine.request import Plan
from video.clip import ClipRule

MODEL = "adafocus-v3-compact"


@dataclass(frozen=True)
class Outcome:
    ended_s: float
    took_s: float
    granted_flops: int  # 0: refused


def shipped_offer(name: str = MODEL) -> Offer:
    """What the service knows of the shipped bundle; its network is not loaded."""
    bundle = Bundle.read(available_models()[name])
    rule = ClipRule(num_frames=16, height_px=160, width_px=160, resize="stretch")
    return Offer(
        name=bundle.name,
        digest=bundle.digest,
        task=bundle.task,
        labels=bundle.labels,
        trained=bundle.trained,
        clip_rule=rule,
        step_flops=bundle.step_flops,
        default_budget_flops=bundle.default_budget_flops,
        grid=bundle.grid.points,
    )


class Clients:
    """Of one node; all ask for the default budget. `gives_way`: whether budgets fall under load."""

    def __init__(self, node: Node, offer: Offer, *, gives_way: bool, num_steps: int | None = None) -> None:
        """`num_steps`: of each video, where its plan allows; None: as many as calibration videos take in the mean."""
        self._node, self._offer, self._gives_way, self._num_steps = node, offer, gives_way, num_steps
        self._rng = random.Random(0)
        self._asking: set[asyncio.Task[None]] = set()
        self.outcomes: list[Outcome] = []

    async def ask(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        answered = await self._node.ask(ANYBODY, self._settle)
        granted_flops = answered.budget_granted_flops if answered else 0
        self.outcomes.append(Outcome(loop.time(), loop.time() - began_s, granted_flops))

    async def never_pause(self, num: int, seconds: float) -> None:
        async def client() -> None:
            while True:
                await self.ask()

        self._asking = {asyncio.create_task(client()) for _ in range(num)}
        await asyncio.sleep(seconds)
        await self.leave()

    async def arrive(self, per_s: float, seconds: float) -> None:
        """At random times; whoever is not answered at the end is not counted."""
        until_s = asyncio.get_running_loop().time() + seconds
        rng = random.Random(1)
        while asyncio.get_running_loop().time() < until_s:
            await asyncio.sleep(rng.expovariate(per_s))
            task = asyncio.create_task(self.ask())
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        await self.leave()

    async def leave(self) -> None:
        await self._node.close()
        asking = list(self._asking)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _settle(self, pressure: float) -> tuple[Plan, int]:
        options = RecognitionOptions(model=self._offer.name)
        settled = plan(options, [self._offer], self._offer, pressure=pressure if self._gives_way else 0.0)
        if self._num_steps is not None:
            return settled, min(self._num_steps, settled.most_steps)
        further = settled.step_flops[1:]
        share = (settled.expected_flops - settled.step_flops[0]) / sum(further) if further else 0.0
        return settled, 1 + sum(self._rng.random() < share for _ in further)


def simulated_knee(costs: Costs, offer: Offer, *, clients: int | None = None, seconds: float = 60.0) -> float:
    """Answers a second of clients that never pause, at full budgets; the first fifth is not counted."""

    async def measure() -> float:
        asking = Clients(Node(costs), offer, gives_way=False, num_steps=costs.knee_steps)
        await asking.never_pause(clients or 4 * costs.threads, seconds)
        return sum(one.granted_flops > 0 and one.ended_s > seconds / 5 for one in asking.outcomes) / (0.8 * seconds)

    return run(measure())


def simulated_level(
    costs: Costs, offer: Offer, times: float, knee: float, *, seconds: float = 60.0, gives_way: bool = True
) -> Level:
    """Random arrivals at `times` the knee; the first quarter is not counted."""

    async def measure() -> list[Outcome]:
        asking = Clients(Node(costs), offer, gives_way=gives_way, num_steps=costs.knee_steps)
        await asking.arrive(times * knee, seconds)
        return asking.outcomes

    counted = [one for one in run(measure()) if one.ended_s >= seconds / 4]
    good = [one for one in counted if one.granted_flops]
    took_s = [one.took_s for one in good]
    accuracies = [offer.point_at(one.granted_flops).solution.accuracy for one in good]
    return Level(
        times_knee=times,
        offered_per_s=times * knee,
        goodput_per_s=len(good) / (0.75 * seconds),
        refused_per_s=(len(counted) - len(good)) / (0.75 * seconds),
        p50_s=quantile(took_s, 10),
        p95_s=quantile(took_s, 19),
        granted_gflops=statistics.fmean(one.granted_flops for one in good) / 1e9 if good else 0.0,
        accuracy=statistics.fmean(accuracies) if good else None,
    )
