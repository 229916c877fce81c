"""What one request, one camera and one idle replica ask of Redis, and how much of that one Redis does.

Counted by Redis itself: commands (those inside scripts, too) and its own CPU seconds, from `INFO`, with a service whose
model costs next to nothing. What the replica asks for anyway is taken off. The ceiling is `redis-benchmark`'s, and one
core of Redis over the CPU that a request costs it.
"""

import argparse
import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from service.streams.shares import Replica, assign
from tests.cameras import camera
from tests.clips import noise, write_clip
from tests.keys import key_file
from tests.redis_server import RedisServer, redis_server
from tests.serving import Served, serving
from tests.streaming import subscribe

RAW = {"Content-Type": "video/mp4"}
SETTLE_S = 3.0


@dataclass(frozen=True)
class Counted:
    """What Redis did in some seconds."""

    seconds: float
    calls: dict[str, int]
    cpu_s: float
    bytes_in: int
    bytes_out: int

    def each(self, num: float, idle: "Counted | None" = None) -> dict[str, Any]:
        """For one of `num`, without what an idle replica asks for in that time."""
        share = self.seconds / idle.seconds if idle else 0.0
        calls = {
            name: (count - (idle.calls.get(name, 0) * share if idle else 0.0)) / num
            for name, count in self.calls.items()
        }
        return {
            "commands": round(sum(max(0.0, one) for one in calls.values()), 2),
            "by_name": {name: round(one, 2) for name, one in sorted(calls.items()) if one >= 0.05},
            "redis_cpu_us": round(1e6 * (self.cpu_s - (idle.cpu_s * share if idle else 0.0)) / num, 1),
            "bytes": round(
                (self.bytes_in + self.bytes_out - ((idle.bytes_in + idle.bytes_out) * share if idle else 0)) / num
            ),
        }


class Counter:
    def __init__(self, server: RedisServer) -> None:
        self._client = redis.Redis(port=server.port)

    def count(self, work: Callable[[], object]) -> Counted:
        before, began_s = self._now(), time.perf_counter()
        work()
        after, seconds = self._now(), time.perf_counter() - began_s
        calls = {
            name: count - before[0].get(name, 0)
            for name, count in after[0].items()
            if count > before[0].get(name, 0) and name != "info"
        }
        return Counted(seconds, calls, *(now - then for now, then in zip(after[1:], before[1:], strict=True)))

    def _now(self) -> tuple[Any, ...]:
        commands = self._client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): facts["calls"] for name, facts in commands.items()}
        cpu, stats = self._client.info("cpu"), self._client.info("stats")
        return (
            calls,
            cpu["used_cpu_user"] + cpu["used_cpu_sys"],
            stats["total_net_input_bytes"],
            stats["total_net_output_bytes"],
        )


def post(served: Served, video: bytes, num: int, **headers: str) -> Callable[[], None]:
    def work() -> None:
        for number in range(num):
            extra = {name.replace("_", "-"): value.format(number) for name, value in headers.items()}
            served.client.post("/v1/recognitions", content=video, headers=RAW | extra).raise_for_status()

    return work


def jobs(served: Served, video: bytes, num: int) -> Callable[[], None]:
    def work() -> None:
        prefer = {"Prefer": "respond-async"}
        made = [
            served.client.post("/v1/recognitions", content=video, headers=RAW | prefer).json()["id"] for _ in range(num)
        ]
        for job in made:
            while served.client.get(f"/v1/jobs/{job}").json()["state"] not in {"succeeded", "failed"}:
                time.sleep(0.2)

    return work


@contextlib.contextmanager
def one_service(server: RedisServer, folder: Path, **settings: Any) -> Iterator[tuple[Served, Counter, Counted]]:
    redis.Redis(port=server.port).flushall()
    blobs = f"file://{folder}/blobs"
    networks = ("127.0.0.0/8",)
    with serving(
        redis_url=server.url,
        blobs_url=blobs,
        stream_allowed_networks=networks,
        ready=False,
        decode_timeout_s=300.0,
        **settings,
    ) as served:
        served.client.timeout = 120.0
        while served.client.get("/readyz").status_code != 200:  # a crowded machine takes its time
            time.sleep(0.2)
        time.sleep(SETTLE_S)
        counter = Counter(server)
        yield served, counter, counter.count(lambda: time.sleep(10))


class Told(dict[str, Any]):
    """Figures, each printed as it is found."""

    def __setitem__(self, name: str, facts: Any) -> None:
        super().__setitem__(name, facts)
        print(f"{name}: {json.dumps(facts)}", flush=True)


def measure(num: int, num_cameras: int, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = Told({"cores": os.cpu_count(), "requests": num, "cameras": num_cameras})
    with redis_server() as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = write_clip(folder / "clip.mp4", seconds=1, size=(160, 120)).read_bytes()
        with one_service(server, folder) as (served, counter, idle):
            found["idle replica, a second"] = idle.each(idle.seconds)
            post(served, video, 3)()
            found["recognition"] = counter.count(post(served, video, num)).each(num, idle)
            keyed = post(served, video, num, Idempotency_Key="bench-{}")
            found["recognition, Idempotency-Key"] = counter.count(keyed).each(num, idle)
            found["job"] = counter.count(jobs(served, video, num)).each(num, idle)
            if num_cameras:
                for what, facts in measure_cameras(served, counter, idle, folder, num_cameras, seconds).items():
                    found[what] = facts
        limits = {
            "requests_per_minute": 10**6,
            "requests_per_day": 10**6,
            "gflops_per_minute": 1e6,
            "gflops_per_day": 1e6,
        }
        secrets = key_file(folder / "keys.json", desk={"limits": limits})
        with one_service(server, folder, api_keys_file=folder / "keys.json") as (served, counter, idle):
            bearer = f"Bearer {secrets['desk']}"
            post(served, video, 3, Authorization=bearer)()
            found["recognition, key of four limits"] = counter.count(
                post(served, video, num, Authorization=bearer)
            ).each(num, idle)
        found["redis_benchmark_per_s"] = ceiling(server)
    found["shares of cameras, seconds a turn"] = {
        f"{num_streams} cameras, {num_replicas} replicas": turn_s(num_streams, num_replicas)
        for num_streams, num_replicas in ((200, 2), (2_000, 8), (10_000, 40))
    }
    return found


def measure_cameras(
    served: Served, counter: Counter, idle: Counted, folder: Path, num: int, seconds: float
) -> dict[str, Any]:
    clip = write_clip(folder / "camera.mp4", seconds=4, size=(160, 120), gop=15, pattern=noise)
    with camera(clip) as playing:
        for _ in range(num):
            subscribe(served.client, playing.url(), window_s=2.0, stride_s=1.0)
        give_up_s = time.monotonic() + 60
        while served.metric("fovea_stream_state", state="live") < num and time.monotonic() < give_up_s:
            time.sleep(0.2)
        time.sleep(SETTLE_S)
        counted = counter.count(lambda: time.sleep(seconds))
        num_live = served.metric("fovea_stream_state", state="live")
    record = max((len(text) for text in redis.Redis.from_url(_url(served)).hvals("fovea:stream:records")), default=0)
    return {
        "camera, a second at one result a second": counted.each(num * counted.seconds, idle),
        "cameras live": num_live,
        "bytes of a camera's record": record,
    }


def _url(served: Served) -> str:
    return str(served.app.state.settings.redis_url.get_secret_value())


def ceiling(server: RedisServer) -> dict[str, dict[str, float]]:
    """Commands a second of 50 connections without pipelines, as `redis-benchmark` gets them here, and for a second of
    Redis's own CPU: what one core of it would do that had nothing else to do."""
    script = ["EVAL", "redis.call('get', KEYS[1]) redis.call('set', KEYS[1], ARGV[1]) return 1", "1", "k", "value"]
    asked = {"get": ["GET", "k"], "set": ["SET", "k", "value"], "script of two": script}
    found, counter, num = {}, Counter(server), 50_000
    for name, command in asked.items():
        line = ["redis-benchmark", "-p", str(server.port), "-n", str(num), "-c", "50", "--csv", *command]
        said: list[str] = []

        def run(line: list[str] = line, said: list[str] = said) -> None:
            said += subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip().splitlines()

        counted = counter.count(run)
        found[name] = {"per_s": float(said[-1].rsplit('","', 7)[1]), "per_cpu_s": round(num / counted.cpu_s)}
    return found


def turn_s(num_streams: int, num_replicas: int) -> float:
    """Of working out who watches what, which every replica does in every turn."""
    names = [f"str_{number:06d}" for number in range(num_streams)]
    share = -(-num_streams // num_replicas)
    replicas = {
        f"rep_{number:04d}": Replica(
            frozenset({"m"}), share * 2, frozenset(names[number * share : (number + 1) * share])
        )
        for number in range(num_replicas)
    }
    began_s = time.perf_counter()
    assign(dict.fromkeys(names, "m"), replicas)
    return round(time.perf_counter() - began_s, 4)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redis_load", description=__doc__)
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--cameras", type=int, default=2, help="0: leave them out (no GStreamer here)")
    parser.add_argument("--seconds", type=float, default=15.0, help="that cameras are counted")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    found = measure(given.requests, given.cameras, given.seconds)
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
