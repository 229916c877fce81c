"""More than the machine carries: what it still answers, how soon, at which budgets, and what it refuses.

The knee is what a few clients that never pause get at full budgets. Then videos arrive at multiples of it, whether
earlier ones are answered or not: an open loop, exponential gaps between arrivals (Poisson), seeded. The clients share
the machine's cores with the service; their CPU seconds are told.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.asker import Asker, add_clip_options, clip_of, closed_loop, cpu_seconds, open_loop
from benchmarks.levels import HEADING, Level, quantile
from benchmarks.throughput import http_service

LEVELS = (1.0, 2.0, 3.0, 5.0)


@dataclass(frozen=True)
class Measured:
    """A level of a real service, and what is known of that alone."""

    level: Level
    failed: int  # neither answered nor refused
    refusal_p95_ms: float
    spent_gflops: float
    service_cpu_s: float  # and its decoders'
    client_cpu_s: float
    answers_per_cpu_s: float


class Accuracies:
    """The model's at a budget, out of fold, as the service tells it."""

    def __init__(self, client: httpx.AsyncClient, model: str) -> None:
        self._client, self._model = client, model
        self._known: dict[float, float | None] = {}

    async def at(self, gflops: float) -> float | None:
        if gflops not in self._known:
            answer = await self._client.get(f"/v1/models/{self._model}", params={"budget_gflops": gflops})
            self._known[gflops] = answer.json()["accuracies"]["on_new_places"]
        return self._known[gflops]

    async def mean(self, granted: Sequence[float]) -> float | None:
        counted = Counter(granted)
        told = [(await self.at(gflops), count) for gflops, count in counted.items()]
        if not told or any(one is None for one, _ in told):
            return None
        return sum((one or 0.0) * count for one, count in told) / counted.total()


async def one_level(
    asker: Asker,
    times: float,
    knee: float,
    seconds: float,
    rng: random.Random,
    process: psutil.Process,
    told: Accuracies,
) -> Measured:
    """The first quarter of the time is not counted: the queue is not what it will be yet."""
    cpu, own = cpu_seconds(process), time.process_time()
    answers, began_s = await open_loop(asker, times * knee, seconds, rng)
    cpu, own = cpu_seconds(process) - cpu, time.process_time() - own
    from_s, until_s = began_s + seconds / 4, began_s + seconds
    counted = [one for one in answers if from_s <= one.ended_s < until_s]
    good = [one for one in counted if one.status == httpx.codes.OK]
    refused = [one for one in counted if one.status == httpx.codes.TOO_MANY_REQUESTS]
    num_good = sum(one.status == httpx.codes.OK for one in answers)
    took_s = [one.took_s for one in good]
    level = Level(
        times_knee=times,
        offered_per_s=len(answers) / seconds,
        goodput_per_s=len(good) / (until_s - from_s),
        refused_per_s=len(refused) / (until_s - from_s),
        p50_s=quantile(took_s, 10),
        p95_s=quantile(took_s, 19),
        granted_gflops=statistics.fmean([one.granted for one in good] or [0.0]),
        accuracy=await told.mean([one.granted for one in good]),
    )
    return Measured(
        level=level,
        failed=sum(one.status not in {httpx.codes.OK, httpx.codes.TOO_MANY_REQUESTS} for one in answers),
        refusal_p95_ms=1000 * quantile([one.took_s for one in refused], 19),
        spent_gflops=statistics.fmean([one.spent for one in good] or [0.0]),
        service_cpu_s=cpu,
        client_cpu_s=own,
        answers_per_cpu_s=num_good / cpu if cpu else 0.0,
    )


async def settled(client: httpx.AsyncClient) -> None:
    """Nothing waits any more, and nothing did a moment ago."""
    while (await client.get("/readyz")).json()["load"] > 0.01:
        await asyncio.sleep(0.2)
    await asyncio.sleep(3.0)


async def measure(video: bytes, given: argparse.Namespace) -> dict[str, Any]:
    rng = random.Random(given.seed)
    rounds: list[list[Measured]] = []
    async with http_service(8) as (client, process):
        asker = Asker(str(client.base_url), video)
        model = (await client.get("/v1/models")).json()["models"][0]
        full = f"?min_budget_gflops={model['default_budget_gflops']}"
        told = Accuracies(client, model["name"])
        await closed_loop(asker, 4, 5.0, full)  # warm: rates are measured, caches filled
        at_default = await told.at(model["default_budget_gflops"])
        knees = []
        for _ in range(given.rounds):
            await settled(client)
            knees.append(await closed_loop(asker, given.clients, given.seconds / 2, full))
            levels = []
            for times in given.levels:
                await settled(client)
                levels.append(await one_level(asker, times, knees[-1], given.seconds, rng, process, told))
            rounds.append(levels)
    peaks = [max(one.level.goodput_per_s for one in levels) for levels in rounds]
    return {
        "cores": os.cpu_count(),
        "load_average_1min": os.getloadavg()[0],
        "seed": given.seed,
        "clip_bytes": len(video),
        "default_budget_gflops": model["default_budget_gflops"],
        "accuracy_at_default": at_default,
        "knee_per_s": knees,
        "rounds": [[asdict(one) for one in levels] for levels in rounds],
        "goodput_over_peak": {
            str(times): statistics.median(
                levels[place].level.goodput_per_s / peak for levels, peak in zip(rounds, peaks, strict=True)
            )
            for place, times in enumerate(given.levels)
        },
    }


def print_card(result: dict[str, Any]) -> None:
    print(f"knee at full budgets: {', '.join(f'{one:.2f}' for one in result['knee_per_s'])} videos/s")
    print(f"{HEADING}  failed  refusal p95 ms  service CPU s  client CPU s")
    for levels in result["rounds"]:
        for one in levels:
            print(
                f"{Level(**one['level'])}  {one['failed']:6d}  {one['refusal_p95_ms']:14.1f}  "
                f"{one['service_cpu_s']:13.1f}  {one['client_cpu_s']:12.1f}"
            )
    print(
        "goodput over the peak of its round, median: "
        + ", ".join(f"{times} x {share:.2f}" for times, share in result["goodput_over_peak"].items())
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each level")
    parser.add_argument("--levels", type=float, nargs="+", default=LEVELS, help="multiples of the knee")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8, help="that find the knee")
    parser.add_argument("--seed", type=int, default=0)
    add_clip_options(parser, seconds=5.0, fps=25, size=(640, 360))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    result = asyncio.run(measure(clip_of(given), given))
    print_card(result)
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
