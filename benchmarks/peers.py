"""The race: Fovea at the glance, at the default and at the full budget, against what others would write around the same
networks (`benchmarks.rivals`). Same clips, same weights, one run; rounds of all take turns, and medians are told.

Eight clients post over HTTP. Told per service and kind of clip: videos/s, p50 and p95 of an answer, CPU seconds a video
(of the service and its children), memory (PSS) after it, and the same label as Fovea's at the full budget. The floor is
decoding alone: the frames of a clip in Fovea's own reading, in one process, over the number of cores.

All clips are synthetic texture (`kinds`); `--data` adds labelled videos, encoded anew at 720p with a keyframe a second.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

from models.bundle import Bundle
from models.catalogue import available_models
from tests.clips import noise, write_clip
from tests.streaming import free_port
from video.clip import ClipRule, VideoLimits
from video.file.decode import decode

CLIENTS = 8
MODEL = "adafocus-v3-compact"


@dataclass(frozen=True, slots=True)
class Entrant:
    """Who takes part: where to post, and of whose processes CPU and memory are told."""

    name: str
    url: str
    process: psutil.Process


@dataclass(frozen=True, slots=True)
class Row:
    clips: str
    entrant: str
    videos_per_s: float
    p50_s: float
    p95_s: float
    cpu_s_per_video: float
    pss_mib: float
    same_label: float  # as the judge's


@dataclass(frozen=True, slots=True)
class Lap:
    seconds: float
    times_s: list[float]
    cpu_s: float
    labels: list[str]


def kinds(folder: Path) -> dict[str, Callable[[], list[Path]]]:
    """A clip or two of each kind, made when asked for."""
    slow = {"preset": "veryfast"}

    def made(name: str, count: int, ending: str = "mp4", **how: Any) -> Callable[[], list[Path]]:
        return lambda: [
            write_clip(folder / f"{name}{number}.{ending}", pattern=noise, **how) for number in range(count)
        ]

    return {
        "160p, 2 s": made("a", 2, size=(214, 160)),
        "340x256, 10 s": made("b", 2, seconds=10, size=(340, 256)),
        "480p, 2 s": made("c", 2, size=(854, 480)),
        "720p, 10 s, one keyframe": made("d", 1, seconds=10, size=(1280, 720), gop=1000, options=slow),
        "720p, 10 s, a keyframe a second": made("e", 1, seconds=10, size=(1280, 720), gop=25, options=slow),
        "1080p, 2 s": made("f", 1, size=(1920, 1080), options=slow),
        "HEVC, portrait, 4 s": made(
            "g", 1, seconds=4, size=(720, 1280), codec="libx265", options={"preset": "ultrafast"}
        ),
        "AV1, 480p, 2 s": made("h", 1, size=(854, 480), codec="libsvtav1", options={"preset": "12"}),
        "WebM (VP9) of varying rate, 480p, 2 s": made(
            "i",
            1,
            size=(854, 480),
            codec="libvpx-vp9",
            ending="webm",
            options={"cpu-used": "8"},
            times_s=tuple(round(number / 25 + 0.015 * (number % 3), 3) for number in range(50)),
        ),
    }


@contextmanager
def started(
    command: Sequence[str], port: int, ready: str, *, checkout: Path | None = None, **settings: str
) -> Iterator[psutil.Process]:
    """`checkout`: whose code runs; None: this one's. `settings`: of its environment."""
    with tempfile.TemporaryDirectory() as state, tempfile.TemporaryFile() as log:
        ours = {"FOVEA_STATE_DIR": state, "FOVEA_RESULT_CACHE_BYTES": "0"}  # each answer is computed
        environment = os.environ | ours | {"TRANSFORMERS_OFFLINE": "1"} | settings
        program = [sys.executable, "-m", *command]
        process = subprocess.Popen(program, cwd=checkout, env=environment, stdout=log, stderr=log)
        try:
            give_up_s = time.monotonic() + 180
            while True:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}{ready}", trust_env=False).status_code < 500:
                        break
                except httpx.TransportError:
                    pass
                if process.poll() is not None or time.monotonic() > give_up_s:
                    log.seek(0)
                    raise RuntimeError(log.read().decode())
                time.sleep(0.2)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def entrants(stack: ExitStack) -> list[Entrant]:
    ports = {name: free_port() for name in ("fovea", "plain", "pipeline", "expert")}
    fovea = stack.enter_context(
        started(["cli.main", "serve", "--port", str(ports["fovea"])], ports["fovea"], "/readyz")
    )
    prices = httpx.get(f"http://127.0.0.1:{ports['fovea']}/v1/models/{MODEL}", trust_env=False).json()
    ours = f"http://127.0.0.1:{ports['fovea']}/v1/recognitions?model={MODEL}"
    made = [
        Entrant("fovea, first step alone", f"{ours}&max_gflops={prices['least_gflops']}", fovea),
        Entrant("fovea, default budget", ours, fovea),
        Entrant("fovea, full budget", f"{ours}&budget_gflops={prices['full_gflops']}", fovea),
    ]
    for name in ("plain", "pipeline", "expert"):
        command = ["benchmarks.rivals", name, "--port", str(ports[name])]
        rival = stack.enter_context(started(command, ports[name], "/"))
        made.append(Entrant(name, f"http://127.0.0.1:{ports[name]}/", rival))
    return made


async def lap(entrant: Entrant, videos: Sequence[Path]) -> Lap:
    """`CLIENTS` clients take videos from one list, each the next as soon as it has its answer."""
    left, times_s, labels = list(enumerate(videos))[::-1], [0.0] * len(videos), [""] * len(videos)
    async with httpx.AsyncClient(timeout=300, trust_env=False, limits=httpx.Limits(max_connections=CLIENTS)) as client:

        async def post() -> None:
            while left:
                number, path = left.pop()
                began_s = time.perf_counter()
                answer = await client.post(
                    entrant.url, content=path.read_bytes(), headers={"Content-Type": "application/octet-stream"}
                )
                if answer.is_error:
                    raise RuntimeError(f"{entrant.name}: {path.name}: {answer.text}")
                times_s[number] = time.perf_counter() - began_s
                body = answer.json()
                labels[number] = body.get("label") or body["predictions"][0]["label"]

        before_s, began_s = cpu_s(entrant.process), time.perf_counter()
        await asyncio.gather(*(post() for _ in range(CLIENTS)))
        return Lap(time.perf_counter() - began_s, times_s, cpu_s(entrant.process) - before_s, labels)


def cpu_s(process: psutil.Process) -> float:
    return sum(times.user + times.system for times in (one.cpu_times() for one in family(process)))


def pss_mib(process: psutil.Process) -> float:
    return sum(one.memory_full_info().pss for one in family(process)) / 2**20


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def race(
    field: Sequence[Entrant], clips: str, videos: Sequence[Path], rounds: int, judge: str = "fovea, full budget"
) -> list[Row]:
    """`judge`: whose labels the others' are held against."""
    laps: Mapping[str, list[Lap]] = {one.name: [] for one in field}
    for number in range(-1, rounds):  # the first warms up, and is not counted
        for one in field:
            ran = asyncio.run(lap(one, videos))
            if number >= 0:
                laps[one.name].append(ran)
    wanted = laps[judge][0].labels
    rows = []
    for one in field:
        mine = laps[one.name]
        times_s = sorted(time_s for ran in mine for time_s in ran.times_s)
        rows.append(
            Row(
                clips,
                one.name,
                statistics.median(len(videos) / ran.seconds for ran in mine),
                times_s[len(times_s) // 2],
                times_s[int(0.95 * (len(times_s) - 1))],
                statistics.median(ran.cpu_s / len(videos) for ran in mine),
                pss_mib(one.process),
                statistics.fmean(a == b for a, b in zip(mine[0].labels, wanted, strict=True)),
            )
        )
    return rows


def floor_videos_per_s(videos: Sequence[Path], rule: ClipRule) -> float:
    limits = VideoLimits(600, 3840 * 2160, 36_000)
    began_s = time.process_time()
    for path in videos:
        decode(str(path), rule, limits)
    return len(videos) / (time.process_time() - began_s) * (os.cpu_count() or 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--videos", type=int, default=16, help="videos of a lap")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[""], help="kinds of clips whose name holds one of these")
    parser.add_argument("--data", type=Path, help="labelled videos; 24 of val are encoded anew at 720p")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    rule = Bundle.read(available_models()[MODEL]).clip_rule
    rows: list[Row] = []
    floors: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sets = kinds(Path(folder))
        if arguments.data:
            sets["real clips at 720p, a keyframe a second"] = partial(phone_clips, arguments.data, Path(folder))
        field = entrants(stack)
        for name, made in sets.items():
            if not any(part in name for part in arguments.only):
                continue
            clips = made()
            videos = [clips[number % len(clips)] for number in range(max(arguments.videos, len(clips)))]
            rows += race(field, name, videos, arguments.rounds)
            floors[name] = floor_videos_per_s(clips, rule)
            print_card(name, rows[-len(field) :], floors[name])
    if arguments.json:
        told = {"cores": os.cpu_count(), "floor_videos_per_s": floors, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(told, indent=1) + "\n")


def phone_clips(data: Path, folder: Path) -> list[Path]:
    from benchmarks.phone_clips import phone_clip  # noqa: PLC0415
    from training.data.dataset import read_dataset  # noqa: PLC0415

    samples = read_dataset(data).split("val").samples
    samples = samples[:: max(1, len(samples) // 24)][:24]
    return [phone_clip(one.path, folder / f"phone{number}.mp4", None) for number, one in enumerate(samples)]


def print_card(clips: str, rows: Sequence[Row], floor: float) -> None:
    print(f"\n{clips}: decoding alone would allow {floor:.1f} videos/s on all cores")
    print(f"  {'':<24}{'videos/s':>9}{'p50 s':>8}{'p95 s':>8}{'CPU s':>8}{'PSS MiB':>9}{'same label':>12}")
    for row in rows:
        print(
            f"  {row.entrant:<24}{row.videos_per_s:>9.2f}{row.p50_s:>8.2f}{row.p95_s:>8.2f}{row.cpu_s_per_video:>8.3f}"
            f"{row.pss_mib:>9.0f}{row.same_label:>11.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
