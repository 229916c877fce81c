"""A modest key beside a greedy one: how much longer its answers take than alone, and what each of them got.

The modest client asks for one video after the other; the greedy one keeps many in flight, and asks again at once where
it is refused. Both are on the machine of the service, and share its cores. Alone and beside are measured in turn.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.throughput import http_service
from tests.clips import noise, write_clip
from tests.keys import key_file

Latencies = list[float]


async def ask(client: httpx.AsyncClient, video: bytes, secret: str) -> int:
    headers = {"Content-Type": "video/mp4", "Authorization": f"Bearer {secret}"}
    return (await client.post("/v1/recognitions", content=video, headers=headers)).status_code


async def modest(client: httpx.AsyncClient, video: bytes, secret: str, num: int) -> Latencies:
    """Seconds of each of `num` answers; one that is refused is asked for again, and its time goes on."""
    seconds = []
    for _ in range(num):
        began_s = time.perf_counter()
        while await ask(client, video, secret) != httpx.codes.OK:
            await asyncio.sleep(0.05)
        seconds.append(time.perf_counter() - began_s)
    return seconds


async def greedy(client: httpx.AsyncClient, video: bytes, secret: str, answered: list[int]) -> None:
    """For ever."""
    while True:
        status = await ask(client, video, secret)
        answered.append(status)
        if status != httpx.codes.OK:
            await asyncio.sleep(0.05)


async def beside(
    client: httpx.AsyncClient, video: bytes, secrets: dict[str, str], num: int, num_greedy: int
) -> tuple[Latencies, list[int]]:
    answered: list[int] = []
    asking = [asyncio.create_task(greedy(client, video, secrets["greedy"], answered)) for _ in range(num_greedy)]
    try:
        await asyncio.sleep(2)  # until its line stands
        answered.clear()
        return await modest(client, video, secrets["modest"], num), answered
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


def p95(seconds: Latencies) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


async def measure(num: int, num_greedy: int, rounds: int, seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        file, clip = Path(folder) / "keys.json", Path(folder) / "clip.mp4"
        secrets = key_file(file, modest={}, greedy={})
        write_clip(clip, pattern=noise, seconds=seconds, size=(214, 160))
        os.environ["FOVEA_API_KEYS_FILE"] = str(file)
        alone, together, answered = [], [], []
        async with http_service(num_greedy + 4) as (client, _):
            await modest(client, clip.read_bytes(), secrets["modest"], 5)  # warm
            for _ in range(rounds):
                alone += await modest(client, clip.read_bytes(), secrets["modest"], num)
                latencies, statuses = await beside(client, clip.read_bytes(), secrets, num, num_greedy)
                together, answered = together + latencies, answered + statuses
    return {
        "modest_requests": len(alone),
        "greedy_in_flight": num_greedy,
        "alone_p50_ms": 1000 * statistics.median(alone),
        "alone_p95_ms": 1000 * p95(alone),
        "beside_p50_ms": 1000 * statistics.median(together),
        "beside_p95_ms": 1000 * p95(together),
        "p95_ratio": p95(together) / p95(alone),
        "greedy_answers": answered.count(200),
        "greedy_refusals": len(answered) - answered.count(200),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--requests", type=int, default=40, help="of the modest client, in a round")
    parser.add_argument("--greedy", type=int, default=100, help="videos that the greedy client keeps in flight")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of the clip")
    parser.add_argument("--json", type=Path, help="write the card there")
    given = parser.parse_args()
    card = asyncio.run(measure(given.requests, given.greedy, given.rounds, given.seconds))
    for name, value in card.items():
        print(f"{name:>18}  {value:.4g}" if isinstance(value, float) else f"{name:>18}  {value}")
    if given.json is not None:
        given.json.write_text(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
