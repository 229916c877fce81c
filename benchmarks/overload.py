"""More than the machine carries: what it still answers, how soon, at which budgets, and what it refuses.

The knee is what a few clients that never pause get at full budgets. Then videos arrive at multiples of it, whether
earlier ones are answered or not: an open loop, exponential gaps between arrivals (Poisson), seeded. Every request is a
connection of its own and asks before it sends (`Expect: 100-continue`). The clients share the machine's cores with the
service; their CPU seconds are told.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from benchmarks.throughput import http_service
from tests.clips import noise, write_clip

TIMEOUT_S = 60.0
LEVELS = (1.0, 2.0, 3.0, 5.0)


@dataclass(frozen=True)
class Answered:
    """One request, as its client saw it; `granted` is 0 where there was no answer."""

    ended_s: float
    took_s: float
    status: int
    granted: float = 0.0
    spent: float = 0.0


@dataclass(frozen=True)
class Level:
    times_knee: float
    offered_per_s: float
    goodput_per_s: float
    refused_per_s: float
    failed: int  # neither answered nor refused
    p50_s: float
    p95_s: float
    refusal_p95_ms: float
    granted_gflops: float
    spent_gflops: float
    accuracy: float | None  # the model's, out of fold, in the mean over what was granted
    service_cpu_s: float  # and its decoders'
    client_cpu_s: float
    answers_per_cpu_s: float


class Asker:
    """Sends one video to one service, as cheaply as a client can."""

    def __init__(self, url: str, video: bytes) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._video = parts.hostname or "127.0.0.1", parts.port or 80, video

    async def ask(self, query: str = "") -> Answered:
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, body = await self._exchange(query)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            status, body = 0, b""
        ended_s = time.perf_counter()
        compute = json.loads(body)["compute"] if status == httpx.codes.OK else {}
        granted, spent = compute.get("budget_granted_gflops", 0.0), compute.get("spent_gflops", 0.0)
        return Answered(ended_s, ended_s - began_s, status, granted, spent)

    async def _exchange(self, query: str) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(
                f"POST /v1/recognitions{query} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: video/mp4\r\n"
                f"Content-Length: {len(self._video)}\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            status, _ = await _head(reader)
            if status == httpx.codes.CONTINUE:
                writer.write(self._video)
                status, length = await _head(reader)
                return status, await reader.readexactly(length)
            return status, b""
        finally:
            writer.close()


async def _head(reader: asyncio.StreamReader) -> tuple[int, int]:
    """(status, length of the body)."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    lengths = [int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")]
    return int(lines[0].split()[1]), lengths[0] if lengths else 0


async def closed_loop(asker: Asker, num_clients: int, seconds: float, query: str) -> float:
    """Answers a second of clients that ask again as soon as they have their answer."""
    until_s = time.perf_counter() + seconds

    async def client() -> int:
        num = 0
        while time.perf_counter() < until_s:
            num += (await asker.ask(query)).status == httpx.codes.OK
        return num

    began_s = time.perf_counter()
    return sum(await asyncio.gather(*(client() for _ in range(num_clients)))) / (time.perf_counter() - began_s)


async def open_loop(asker: Asker, per_s: float, seconds: float, rng: random.Random) -> tuple[list[Answered], float]:
    """Requests at random times, `per_s` in the mean, and when the first one was due."""
    began_s = due_s = time.perf_counter()
    asking = []
    while (due_s := due_s + rng.expovariate(per_s)) < began_s + seconds:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        asking.append(asyncio.create_task(asker.ask()))
    return await asyncio.gather(*asking), began_s


def cpu_seconds(process: psutil.Process) -> float:
    """So far, of the service and its children."""
    times = [one.cpu_times() for one in (process, *process.children())]
    return sum(one.user + one.system for one in times)


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


def quantile(values: Sequence[float], of_20: int) -> float:
    return statistics.quantiles(values, n=20)[of_20 - 1] if len(values) > 1 else (values or [0.0])[0]


async def one_level(
    asker: Asker,
    times: float,
    knee: float,
    seconds: float,
    rng: random.Random,
    process: psutil.Process,
    told: Accuracies,
) -> Level:
    """The first quarter of the time is not counted: the queue is not what it will be yet."""
    cpu, own = cpu_seconds(process), time.process_time()
    answers, began_s = await open_loop(asker, times * knee, seconds, rng)
    cpu, own = cpu_seconds(process) - cpu, time.process_time() - own
    from_s, until_s = began_s + seconds / 4, began_s + seconds
    counted = [one for one in answers if from_s <= one.ended_s < until_s]
    good = [one for one in counted if one.status == httpx.codes.OK]
    refused = [one for one in counted if one.status == httpx.codes.TOO_MANY_REQUESTS]
    num_good = sum(one.status == httpx.codes.OK for one in answers)
    return Level(
        times_knee=times,
        offered_per_s=len(answers) / seconds,
        goodput_per_s=len(good) / (until_s - from_s),
        refused_per_s=len(refused) / (until_s - from_s),
        failed=sum(one.status not in {httpx.codes.OK, httpx.codes.TOO_MANY_REQUESTS} for one in answers),
        p50_s=quantile([one.took_s for one in good], 10),
        p95_s=quantile([one.took_s for one in good], 19),
        refusal_p95_ms=1000 * quantile([one.took_s for one in refused], 19),
        granted_gflops=statistics.fmean([one.granted for one in good] or [0.0]),
        spent_gflops=statistics.fmean([one.spent for one in good] or [0.0]),
        accuracy=await told.mean([one.granted for one in good]),
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
    rounds: list[list[Level]] = []
    async with http_service(8) as (client, process):
        asker = Asker(str(client.base_url), video)
        model = (await client.get("/v1/models")).json()["models"][0]
        full = f"?min_budget_gflops={model['default_budget_gflops']}"
        told = Accuracies(client, model["name"])
        await closed_loop(asker, 4, 5.0, full)  # warm: rates are measured, caches filled
        knees = []
        for _ in range(given.rounds):
            await settled(client)
            knees.append(await closed_loop(asker, given.clients, given.seconds / 2, full))
            levels = []
            for times in given.levels:
                await settled(client)
                levels.append(await one_level(asker, times, knees[-1], given.seconds, rng, process, told))
            rounds.append(levels)
    peaks = [max(level.goodput_per_s for level in levels) for levels in rounds]
    return {
        "cores": os.cpu_count(),
        "load_average_1min": os.getloadavg()[0],
        "seed": given.seed,
        "clip_bytes": len(video),
        "default_budget_gflops": model["default_budget_gflops"],
        "accuracy_at_default": await _accuracy_at_default(model, rounds),
        "knee_per_s": knees,
        "rounds": [[asdict(level) for level in levels] for levels in rounds],
        "goodput_over_peak": {
            str(times): statistics.median(
                levels[place].goodput_per_s / peak for levels, peak in zip(rounds, peaks, strict=True)
            )
            for place, times in enumerate(given.levels)
        },
    }


async def _accuracy_at_default(model: dict[str, Any], rounds: list[list[Level]]) -> float | None:
    best = [level.accuracy for levels in rounds for level in levels if level.accuracy is not None]
    return max(best, default=None)


def print_card(result: dict[str, Any]) -> None:
    print(f"knee at full budgets: {', '.join(f'{one:.2f}' for one in result['knee_per_s'])} videos/s")
    print("times  offered  goodput  refused  failed  p50 s  p95 s  refusal p95 ms  granted  accuracy  answers/CPU s")
    for levels in result["rounds"]:
        for one in levels:
            accuracy = "     -" if one["accuracy"] is None else f"{one['accuracy']:.3f}"
            print(
                f"{one['times_knee']:5.1f}  {one['offered_per_s']:7.2f}  {one['goodput_per_s']:7.2f}  "
                f"{one['refused_per_s']:7.2f}  {one['failed']:6d}  {one['p50_s']:5.2f}  {one['p95_s']:5.2f}  "
                f"{one['refusal_p95_ms']:14.1f}  {one['granted_gflops']:7.3f}  {accuracy:>8}  "
                f"{one['answers_per_cpu_s']:13.2f}"
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
    parser.add_argument("--clip-s", type=float, default=5.0, help="length of the video that is posted")
    parser.add_argument("--size", type=int, nargs=2, default=(640, 360))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(
            Path(folder) / "clip.mp4", seconds=given.clip_s, fps=25, size=tuple(given.size), gop=25, pattern=noise
        )
        result = asyncio.run(measure(clip.read_bytes(), given))
    print_card(result)
    if given.json is not None:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
