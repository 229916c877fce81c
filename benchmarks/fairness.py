"""A modest key beside a greedy one: how much longer its answers take than alone, where, and what each of them got.

The modest client asks for one video after the other; the greedy one keeps many in flight, and asks again at once where
it is refused. Each is a process of its own that sends ready-made bytes over open connections and reads of an answer
its length alone (the modest one its `timing_ms`, too): both share the cores of the service, and what they take of them
is told. So is what programs of others took meanwhile, and how late the modest client's own loop was: a run beside
others at work tells nothing. Alone and beside are measured in turn.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from benchmarks.throughput import http_service
from tests.clips import cached_clip, moving_square
from tests.keys import key_file

PAUSE_S = 0.05  # of a client that was refused
BEAT_S = 0.005  # between looks at how late the client's own loop is
OK = 200


@dataclass
class Answers:
    """Of the modest client."""

    seconds: list[float] = field(default_factory=list)  # a refused one is asked for again, and its time goes on
    timing_ms: list[dict[str, float]] = field(default_factory=list)  # as the service tells it

    def mean_ms(self) -> dict[str, float]:
        parts = ("upload", "decode", "queue", "inference", "total")
        means = {part: round(statistics.fmean(one[part] for one in self.timing_ms), 1) for part in parts}
        return means | {"client": round(1000 * statistics.fmean(self.seconds), 1)}

    def p95_s(self) -> float:
        return statistics.quantiles(self.seconds, n=20)[-1]


class Connection:
    """Sends one video again and again."""

    def __init__(self, url: str, video: bytes, secret: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._bytes = (
            f"POST /v1/recognitions HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: video/mp4\r\n"
            f"Authorization: Bearer {secret}\r\nContent-Length: {len(video)}\r\n\r\n"
        ).encode() + video
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> tuple[int, bytes]:
        """(status, body)."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(self._bytes)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b"connection: close" in head:
            writer.close()
            self._streams = None
        return int(head.split()[1]), body


async def modest(connection: Connection, num: int) -> Answers:
    answers = Answers()
    for _ in range(num):
        began_s = time.perf_counter()
        status, body = await connection.ask()
        while status != OK:
            await asyncio.sleep(PAUSE_S)
            status, body = await connection.ask()
        answers.seconds.append(time.perf_counter() - began_s)
        answers.timing_ms.append(json.loads(body)["timing_ms"])
    return answers


def greedy(url: str, video: bytes, secret: str, num_in_flight: int, answered: "multiprocessing.Array[int]") -> None:
    """For ever: the body of a process. `answered`: answers, refusals."""

    async def one() -> None:
        connection = Connection(url, video, secret)
        while True:
            status, _ = await connection.ask()
            answered[status != OK] += 1
            if status != OK:
                await asyncio.sleep(PAUSE_S)

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(num_in_flight)))

    asyncio.run(all_of_them())


@contextmanager
def greedy_process(url: str, video: bytes, secret: str, num_in_flight: int):
    """Its counts (answers, refusals), and its CPU seconds so far."""
    spawn = multiprocessing.get_context("spawn")
    answered = spawn.Array("q", 2, lock=False)
    process = spawn.Process(target=greedy, args=(url, video, secret, num_in_flight, answered), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        yield answered, lambda: sum(psutil.Process(process.pid).cpu_times()[:2])
    finally:
        process.kill()
        process.join()


async def told(client: httpx.AsyncClient, secret: str) -> dict[str, float]:
    """What /metrics says of who waits for what."""
    names = ("fovea_requests_waiting", "fovea_requests_awaiting_frames", "fovea_decode_places_used", "fovea_pressure")
    answer = await client.get("/metrics", headers={"Authorization": f"Bearer {secret}"})
    lines = answer.raise_for_status().text.splitlines()
    return {name: float(line.split()[-1]) for name in names for line in lines if line.startswith(f"{name} ")}


def cores_s(service: psutil.Process, greedy_s: float = 0.0) -> dict[str, float]:
    """CPU seconds so far: of the service's own process, of its decoders, and of programs that are none of ours.

    `greedy_s`: of the greedy client.
    """
    decoders = [child.cpu_times() for child in service.children()]
    mine = service.cpu_times()
    used = {"service": mine.user + mine.system, "decoders": sum(one.user + one.system for one in decoders)}
    machine, client = psutil.cpu_times(), psutil.Process().cpu_times()
    all_s = sum(machine) - machine.idle - machine.iowait
    return used | {"others": all_s - sum(used.values()) - greedy_s - client.user - client.system}


class Used:
    """Adds up cores that were used over stretches of time."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._lasted_s = 0.0

    def add(self, before_s: dict[str, float], after_s: dict[str, float], lasted_s: float) -> None:
        self._lasted_s += lasted_s
        for role, seconds in after_s.items():
            self._seconds[role] = self._seconds.get(role, 0.0) + seconds - before_s[role]

    def cores(self) -> dict[str, float]:
        return {role: round(seconds / self._lasted_s, 2) for role, seconds in self._seconds.items()}


class Beat:
    """How late the event loop of this process is at most: what clients wait for themselves."""

    def __init__(self) -> None:
        self.latest_s = 0.0
        self._beating = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            due_s = time.perf_counter() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self.latest_s = max(self.latest_s, time.perf_counter() - due_s)

    def stop(self) -> float:
        self._beating.cancel()
        return self.latest_s


async def measure(num: int, num_greedy: int, rounds: int, seconds: float) -> dict[str, object]:
    video = cached_clip("fair.mp4", pattern=moving_square, seconds=seconds, size=(214, 160)).read_bytes()
    alone, beside, served, refused, greedy_cpu_s, beside_s = Answers(), Answers(), 0, 0, 0.0, 0.0
    used_alone, used_beside, late_s = Used(), Used(), 0.0
    waiting: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "keys.json"
        secrets = key_file(file, modest={}, greedy={}, watch={"scopes": ["admin"]})
        os.environ["FOVEA_API_KEYS_FILE"] = str(file)
        async with http_service(4) as (client, service):
            url = str(client.base_url)
            connection = Connection(url, video, secrets["modest"])
            await modest(connection, 10)  # warm
            for _ in range(rounds):
                theirs_s, began_s = cores_s(service), time.perf_counter()
                beat = Beat()
                _add(alone, await modest(connection, num))
                late_s = max(late_s, beat.stop())
                used_alone.add(theirs_s, cores_s(service), time.perf_counter() - began_s)
                with greedy_process(url, video, secrets["greedy"], num_greedy) as (answered, cpu_s):
                    while sum(answered) < num_greedy:  # until its line stands
                        await asyncio.sleep(0.1)
                    before, cpu_before_s, began_s = tuple(answered), cpu_s(), time.perf_counter()
                    theirs_s, beat = cores_s(service, cpu_before_s), Beat()
                    _add(beside, await modest(connection, num))
                    late_s = max(late_s, beat.stop())
                    lasted_s = time.perf_counter() - began_s
                    beside_s += lasted_s
                    served, refused = served + answered[0] - before[0], refused + answered[1] - before[1]
                    cpu_after_s = cpu_s()
                    greedy_cpu_s += cpu_after_s - cpu_before_s
                    used_beside.add(theirs_s, cores_s(service, cpu_after_s), lasted_s)
                    waiting = await told(client, secrets["watch"])
                await asyncio.sleep(1)  # until what it left behind is done with
    return {
        "video_bytes": len(video),
        "modest_requests": len(alone.seconds),
        "greedy_in_flight": num_greedy,
        "alone_p50_ms": 1000 * statistics.median(alone.seconds),
        "alone_p95_ms": 1000 * alone.p95_s(),
        "beside_p50_ms": 1000 * statistics.median(beside.seconds),
        "beside_p95_ms": 1000 * beside.p95_s(),
        "p95_ratio": beside.p95_s() / alone.p95_s(),
        "alone_mean_ms": alone.mean_ms(),
        "beside_mean_ms": beside.mean_ms(),
        "greedy_answers_per_s": served / beside_s,
        "greedy_refusals_per_s": refused / beside_s,
        "greedy_client_cores": greedy_cpu_s / beside_s,
        "cores_alone": used_alone.cores(),
        "cores_beside": used_beside.cores(),
        "client_late_at_most_ms": 1000 * late_s,
        "waiting_at_the_end": waiting,
    }


def _add(to: Answers, more: Answers) -> None:
    to.seconds += more.seconds
    to.timing_ms += more.timing_ms


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--requests", type=int, default=40, help="of the modest client, in a round")
    parser.add_argument("--greedy", type=int, nargs="*", default=[8, 100], help="videos that it keeps in flight")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of the clip")
    parser.add_argument("--json", type=Path, help="write the cards there")
    given = parser.parse_args()
    cards = []
    for num_greedy in given.greedy:
        cards.append(asyncio.run(measure(given.requests, num_greedy, given.rounds, given.seconds)))
        for name, value in cards[-1].items():
            print(f"{name:>21}  {value:.4g}" if isinstance(value, float) else f"{name:>21}  {value}", flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(cards, indent=2))


if __name__ == "__main__":
    main()
