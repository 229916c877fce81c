"""The same in simulated time, on two cores that nobody else uses: the real admission, gate and scheduler.

Event loop, decoding children, device threads and the clients' work share the cores as an operating system divides them
(`benchmarks/simulated/node.py`). What each costs was measured (a clip of 2 s, 214 x 160, the compact model of decision
0043). Says what the order of things does, and nothing of how fast a machine is.
"""

import argparse
import asyncio
import json
import random
import statistics
from pathlib import Path

from benchmarks.levels import quantile
from benchmarks.simulated.clock import run
from benchmarks.simulated.costs import Costs
from benchmarks.simulated.node import Node
from service.engine.lanes import Owner
from service.engine.request import Plan

GREEDY, MODEST = Owner("greedy"), Owner("modest")
STEPS_FLOPS = (440_000_000, 240_000_000, 240_000_000)
COSTS = Costs(
    http_s=0.003,
    refusal_s=0.0008,
    client_s=0.001,
    decode_s=0.015,
    further_decode_s=0.0,
    glance_s_per_gflop=0.012,
    cube_s_per_gflop=0.012,
)


async def measure(num: int, num_greedy: int, costs: Costs, *, mended: bool) -> dict[str, float]:
    node, rng, answered = Node(costs, fair=mended), random.Random(0), [0]
    loop = asyncio.get_running_loop()

    def settle(pressure: float) -> tuple[Plan, int]:
        """As many steps as a random video needs, whatever waits."""
        flops = STEPS_FLOPS[: rng.randint(1, len(STEPS_FLOPS))]
        return Plan("m", flops, (-1.0,) * (len(flops) - 1), sum(flops), None, None, 5), len(flops)

    async def modest() -> list[float]:
        seconds = []
        for _ in range(num):
            began_s = loop.time()
            while not await node.ask(MODEST, settle):
                await asyncio.sleep(0.05)
            seconds.append(loop.time() - began_s)
        return seconds

    async def greedy() -> None:
        while True:
            if await node.ask(GREEDY, settle):
                answered[0] += 1
            else:
                await asyncio.sleep(0.05)

    alone = await modest()
    asking = [loop.create_task(greedy()) for _ in range(num_greedy)]
    await asyncio.sleep(2)
    answered[0], began_s = 0, loop.time()
    beside = await modest()
    took_s = loop.time() - began_s
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await node.close()
    card = {"alone_p50_ms": 1000 * statistics.median(alone), "alone_p95_ms": 1000 * quantile(alone, 19)}
    card |= {"beside_p50_ms": 1000 * statistics.median(beside), "beside_p95_ms": 1000 * quantile(beside, 19)}
    return card | {
        "p95_ratio": quantile(beside, 19) / quantile(alone, 19),
        "greedy_answers_per_s": answered[0] / took_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness_simulated", description=__doc__)
    parser.add_argument("--requests", type=int, default=200, help="of the modest client")
    parser.add_argument("--greedy", type=int, nargs="*", default=[8, 100], help="in flight, of the greedy client")
    parser.add_argument("--json", type=Path, help="write the cards there")
    given = parser.parse_args()
    cards = []
    for num_greedy in given.greedy:
        for mended in (False, True):
            card = run(measure(given.requests, num_greedy, COSTS, mended=mended))
            cards.append({"greedy_in_flight": num_greedy, "mended": mended, **card})
            print(", ".join(f"{name} {value:.4g}" for name, value in cards[-1].items()))
    if given.json is not None:
        given.json.write_text(json.dumps(cards, indent=2))


if __name__ == "__main__":
    main()
