"""Videos per second over HTTP against the bare loop, how well batches fill, and where the time goes.

The bare loop is the same pipeline (decode children, admission, engine, batching) called in process, without HTTP.
Budgets give way in neither: under load they would be smaller over HTTP alone, and each video cheaper.
Rounds of both alternate in one run, medians are told. The HTTP client runs on the same cores: its CPU seconds are told
too.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from service.engine.budget import RecognitionOptions
from service.engine.pipeline import Pipeline
from service.engine.request import Recognition
from service.metrics import Metrics
from service.settings import Settings
from service.wiring.recognising import open_pipeline
from tests.clips import noise, write_clip

Ask = Callable[[Path], Awaitable[dict[str, float]]]  # one video to its time split in ms


@dataclass(frozen=True)
class Round:
    """One measured round; `seconds` is wall-clock, CPU seconds are per process role."""

    videos: int
    seconds: float
    client_cpu_s: float
    service_cpu_s: float
    decoder_cpu_s: float
    timing_ms: dict[str, float]  # means over the answers

    @property
    def videos_per_s(self) -> float:
        return self.videos / self.seconds


async def drive(ask: Ask, paths: Sequence[Path], num_clients: int, service: psutil.Process) -> Round:
    """`num_clients` clients take videos from one list, each the next as soon as it has its answer."""
    left = list(paths)[::-1]
    timings: list[dict[str, float]] = []

    async def client() -> None:
        while left:
            timings.append(await ask(left.pop()))

    before, start_s = _cpu_seconds(service), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(num_clients)))
    seconds, after = time.perf_counter() - start_s, _cpu_seconds(service)
    return Round(
        videos=len(paths),
        seconds=seconds,
        client_cpu_s=after["client"] - before["client"],
        service_cpu_s=after["service"] - before["service"],
        decoder_cpu_s=after["decoder"] - before["decoder"],
        timing_ms={part: statistics.fmean(one[part] for one in timings) for part in timings[0]},
    )


def _cpu_seconds(service: psutil.Process) -> dict[str, float]:
    """CPU seconds so far. In the bare loop client and service are one process."""
    mine, its = psutil.Process().cpu_times(), service.cpu_times()
    children = [child.cpu_times() for child in service.children()]
    return {
        "client": mine.user + mine.system,
        "service": its.user + its.system,
        "decoder": sum(times.user + times.system for times in children),
    }


def ask_pipeline(pipeline: Pipeline) -> Ask:
    async def ask(path: Path) -> dict[str, float]:
        plan = pipeline.plan(RecognitionOptions())
        with pipeline.admit(plan) as ticket:
            async for event in pipeline.recognize(path, plan, ticket):
                answer = event
        assert isinstance(answer, Recognition)
        timing = answer.timing
        return {
            part: 1000 * getattr(timing, f"{part}_s") for part in ("upload", "decode", "queue", "inference", "total")
        }

    return ask


def ask_http(client: httpx.AsyncClient) -> Ask:
    async def ask(path: Path) -> dict[str, float]:
        response = await client.post(
            "/v1/recognitions", content=path.read_bytes(), headers={"Content-Type": "video/mp4"}
        )
        response.raise_for_status()
        timing_ms = response.json()["timing_ms"]
        return {part: value for part, value in timing_ms.items() if not isinstance(value, list)}  # less the steps' own

    return ask


def service_environment(state: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Of this process, `settings` above it. Nothing is held, so that every answer is computed."""
    return dict(os.environ) | {"FOVEA_STATE_DIR": state, "FOVEA_RESULT_CACHE_BYTES": "0"} | dict(settings)


@asynccontextmanager
async def http_service(num_clients: int, keep_log: Path | None = None, **settings: str):
    """The service in a process of its own on a free port; yields an HTTP client and the process.

    Its log is in `keep_log` afterwards. `settings` are variables of its environment (`FOVEA_...`).
    """
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log, tempfile.TemporaryDirectory() as state:
        environment = service_environment(state, settings)
        command = [sys.executable, "-m", "cli.main", "serve", "--port", "0"]
        process = subprocess.Popen(command, stderr=log, env=environment)
        try:
            url = await _address_of(process, Path(log.name))
            limits = httpx.Limits(max_connections=num_clients)
            async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
                while (await client.get("/readyz")).status_code != httpx.codes.OK:
                    await asyncio.sleep(0.1)
                yield client, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(30)
            if keep_log is not None:
                keep_log.write_text(Path(log.name).read_text())


async def _address_of(process: subprocess.Popen, log: Path) -> str:
    while process.poll() is None:
        for line in log.read_text().splitlines():
            if "running on " in line:
                return line.partition("running on ")[2].split()[0]
        await asyncio.sleep(0.05)
    raise RuntimeError(f"the service did not start:\n{log.read_text()}")


async def batch_sizes(client: httpx.AsyncClient) -> dict[str, tuple[float, float]]:
    """(sum, count) of fovea_batch_size by kind."""
    found: dict[str, list[float]] = {"glance": [0.0, 0.0], "focus": [0.0, 0.0]}
    for line in (await client.get("/metrics")).text.splitlines():
        for kind, (place, name) in ((k, p) for k in found for p in ((0, "sum"), (1, "count"))):
            if line.startswith(f'fovea_batch_size_{name}{{kind="{kind}"}}'):
                found[kind][place] = float(line.split()[-1])
    return {kind: (total, count) for kind, (total, count) in found.items()}


async def measure(paths: Sequence[Path], num_clients: int, rounds: int) -> dict[str, object]:
    settings = Settings.read()
    bare: list[Round] = []
    http: list[Round] = []
    firm = http_service(num_clients, FOVEA_DEGRADE="false")
    async with open_pipeline(settings, Metrics()) as pipeline, firm as (client, process):
        for number in range(-1, rounds):  # the first round warms both up and is not counted
            for results, ask, service in (
                (bare, ask_pipeline(pipeline), psutil.Process()),
                (http, ask_http(client), process),
            ):
                one = await drive(ask, paths, num_clients, service)
                if number >= 0:
                    results.append(one)
        after = await batch_sizes(client)
    return {
        "clients": num_clients,
        "videos_per_round": len(paths),
        "rounds": rounds,
        "bare_videos_per_s": statistics.median(one.videos_per_s for one in bare),
        "http_videos_per_s": statistics.median(one.videos_per_s for one in http),
        "http_over_bare": statistics.median(h.videos_per_s / b.videos_per_s for h, b in zip(http, bare, strict=True)),
        "http_mean_batch": {kind: total / count for kind, (total, count) in after.items() if count},
        "http_ms": _means([one.timing_ms for one in http]),
        "bare_ms": _means([one.timing_ms for one in bare]),
        "cpu_s_per_video": {
            "http client": _per_video(http, "client_cpu_s"),
            "http service": _per_video(http, "service_cpu_s"),
            "http decoders": _per_video(http, "decoder_cpu_s"),
            "bare client and service": _per_video(bare, "service_cpu_s"),
            "bare decoders": _per_video(bare, "decoder_cpu_s"),
        },
    }


def _means(splits: Sequence[dict[str, float]]) -> dict[str, float]:
    return {part: statistics.fmean(split[part] for split in splits) for part in splits[0]}


def _per_video(rounds: Sequence[Round], field: str) -> float:
    return statistics.median(getattr(one, field) / one.videos for one in rounds)


def print_card(title: str, result: dict[str, object]) -> None:
    print(f"\n{title}: {result['clients']} clients, {result['rounds']} rounds of {result['videos_per_round']} videos")
    print(
        f"  bare loop {result['bare_videos_per_s']:.1f} videos/s, over HTTP {result['http_videos_per_s']:.1f}, "
        f"ratio {result['http_over_bare']:.2f}"
    )
    for key in ("http_mean_batch", "http_ms", "bare_ms", "cpu_s_per_video"):
        print(f"  {key}: " + ", ".join(f"{name} {value:.3g}" for name, value in result[key].items()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--clips", type=Path, help="folder of small videos to post (default: synthetic 2 s, 214x160)")
    parser.add_argument("--videos", type=int, default=64, help="videos of a round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    results: dict[str, object] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        small = sorted(arguments.clips.rglob("*.mp4")) if arguments.clips else []
        if not small:
            small = [
                write_clip(Path(folder) / f"small{n}.mp4", seconds=2, fps=15, size=(214 + 2 * n, 160), pattern=noise)
                for n in range(4)
            ]
        large = [
            write_clip(Path(folder) / f"large{n}.mp4", seconds=10, fps=25, size=(1280, 720), gop=250, pattern=noise)
            for n in range(2)
        ]
        for title, clips, num_clients, videos, rounds in (
            ("small clips", small, 8, arguments.videos, arguments.rounds),
            ("small clips, crowded", small, 16, arguments.videos, 3),
            ("720p, 10 s", large, 8, 16, 3),
        ):
            paths = [clips[n % len(clips)] for n in range(videos)]
            results[title] = asyncio.run(measure(paths, num_clients, rounds))
            print_card(title, results[title])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
