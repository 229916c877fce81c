"""The bomb scene: many clients post videos that are small and costly to decode, one posts good ones.

How long the good client waits alone (before and after) and beside the bombs, one request after the other, against a
service in a process of its own. A bomb that is refused for now comes again after `Retry-After`. Not part of
`make bench`.

    python -m benchmarks.bombs [--bombs 62] [--requests 100] [--frames 1600] [--bomb FILE]
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from benchmarks.throughput import http_service
from tests.clips import noise, write_bomb, write_clip

MIN_PAUSE_S = 1.0  # of a bomb's client that was refused without being told for how long
SETTLING_S = 3.0  # until a bomb that nobody waits for any more is given up


@dataclass(frozen=True)
class Waiting:
    """Of the good client's requests, in ms."""

    requests: int
    refused: int
    p50_ms: float
    p95_ms: float
    most_ms: float


async def good_client(client: httpx.AsyncClient, video: bytes, requests: int) -> list[tuple[float, bool]]:
    """(ms, whether it was answered) of each request, one after the other."""
    took = []
    for _ in range(requests):
        started_s = time.perf_counter()
        answered = (await post(client, video)).status_code == httpx.codes.OK
        took.append((1000 * (time.perf_counter() - started_s), answered))
    return took


def waiting(took: Sequence[tuple[float, bool]]) -> Waiting:
    all_ms = [ms for ms, _ in took]
    cuts = statistics.quantiles(all_ms, n=20, method="inclusive")
    refused = sum(not answered for _, answered in took)
    return Waiting(len(took), refused, statistics.median(all_ms), cuts[18], max(all_ms))


async def post(client: httpx.AsyncClient, video: bytes) -> httpx.Response:
    return await client.post("/v1/recognitions", content=video, headers={"Content-Type": "video/mp4"})


async def bomb_client(client: httpx.AsyncClient, bomb: bytes, told: Counter[str]) -> None:
    """Until it is answered, or refused for good."""
    while True:
        answer = await post(client, bomb)
        body = answer.json()
        told[f"{answer.status_code} {body.get('type', 'answered')}"] += 1
        if answer.status_code not in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
            return
        await asyncio.sleep(float(answer.headers.get("retry-after", MIN_PAUSE_S)))


async def scene(bomb: bytes, good: bytes, num_bombs: int, requests: int) -> dict[str, object]:
    told: Counter[str] = Counter()
    async with http_service(num_bombs + 2) as (client, _):
        client.timeout = httpx.Timeout(600)
        await good_client(client, good, 5)  # warms up
        alone = await good_client(client, good, requests // 2)
        bombs = [asyncio.create_task(bomb_client(client, bomb, told)) for _ in range(num_bombs)]
        await asyncio.sleep(0)  # all of them ask before the good one does
        beside = await good_client(client, good, requests)
        still_there = sum(not one.done() for one in bombs)
        for one in bombs:
            one.cancel()
        ended = await asyncio.gather(*bombs, return_exceptions=True)
        await asyncio.sleep(SETTLING_S)
        alone += await good_client(client, good, requests // 2)  # a machine that others use changes meanwhile
    for failure in ended:
        if isinstance(failure, Exception):
            raise failure
    told_alone, told_beside = waiting(alone), waiting(beside)
    return {
        "bombs": num_bombs,
        "bomb_bytes": len(bomb),
        "alone": asdict(told_alone),
        "beside_bombs": asdict(told_beside),
        "p95_ratio": told_beside.p95_ms / told_alone.p95_ms,
        "bombs_still_there": still_there,
        "told_to_bombs": dict(told),
    }


def print_card(result: dict) -> None:
    print(f"{result['bombs']} bombs of {result['bomb_bytes']} bytes and one good client, ms:")
    for name in ("alone", "beside_bombs"):
        one = result[name]
        print(
            f"  {name:14} p50 {one['p50_ms']:8.1f}  p95 {one['p95_ms']:8.1f}  most {one['most_ms']:8.1f}  "
            f"{one['requests']} requests, {one['refused']} refused"
        )
    print(f"  p95 beside bombs over p95 alone: {result['p95_ratio']:.2f}")
    print(f"  told to bombs: {result['told_to_bombs']}; {result['bombs_still_there']} still there")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bombs", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--bombs", type=int, default=62)
    parser.add_argument("--requests", type=int, default=100, help="of the good client, alone and beside them")
    parser.add_argument("--frames", type=int, default=1600, help="of a bomb, 4K, one keyframe")
    parser.add_argument("--bomb", type=Path, help="a file to send in place of one that is made here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = write_clip(Path(folder) / "good.mp4", seconds=2, fps=15, size=(320, 240), pattern=noise).read_bytes()
        path = arguments.bomb or write_bomb(Path(folder) / "bomb.mp4", frames=arguments.frames)
        result = asyncio.run(scene(path.read_bytes(), good, arguments.bombs, arguments.requests))
    print_card(result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
