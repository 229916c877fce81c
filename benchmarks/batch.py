"""`fovea batch` against the bare loop, and an archive of small clips whose run is killed again and again.

The bare loop decodes and recognises one video after the other, on one core, with nothing around it. What is compared is
the CPU time of a video, all processes together and without the start: a busy machine does not change it. Videos/s of a
core follow from it; those of the wall clock are told beside.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.clips import noise, solid, write_clip

BROKEN_EVERY = 50  # clips of the archive
START = 16  # videos of a run that is mostly its start: as many as lie side by side


@dataclass(frozen=True, slots=True)
class Spent:
    """By a process and its children."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Rate:
    videos: int
    bare_cpu_ms: float
    batch_cpu_ms: float
    bare_videos_per_s_per_core: float
    batch_videos_per_s_per_core: float
    batch_videos_per_s: float  # by the clock, on all cores
    cores: int


@dataclass(frozen=True, slots=True)
class Killed:
    videos: int
    kills: int
    rows: int
    exactly_once: bool
    seconds: float
    megabytes: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--videos", type=int, default=200, help="of the comparison: 2 s of 320 x 240")
    parser.add_argument("--clips", type=int, default=10_000, help="of the archive that is killed; 0: none")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)  # the bare loop's own process
    given = parser.parse_args()
    if given.bare is not None:
        bare_loop(sorted(given.bare.glob("*.mp4")))
        return 0
    facts: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="fovea-batch-") as folder:
        if given.videos:
            rate = compared(Path(folder), given.videos)
            facts["rate"] = asdict(rate)
            print(
                f"{rate.videos} videos: bare loop {rate.bare_cpu_ms:.1f} ms of CPU each, "
                f"{rate.bare_videos_per_s_per_core:.1f} videos/s a core; fovea batch {rate.batch_cpu_ms:.1f} ms, "
                f"{rate.batch_videos_per_s_per_core:.1f} videos/s a core "
                f"({rate.batch_videos_per_s_per_core / rate.bare_videos_per_s_per_core:.2f} of it); by the clock "
                f"{rate.batch_videos_per_s:.1f} videos/s on {rate.cores} cores"
            )
        killed = None
        if given.clips:
            killed = killed_again_and_again(Path(folder), given.clips, given.kills, random.Random(given.seed))
            facts["killed"] = asdict(killed)
            print(
                f"{killed.videos} clips, killed {killed.kills} times: {killed.rows} rows, "
                f"{'each exactly once' if killed.exactly_once else 'NOT each exactly once'}, "
                f"{killed.seconds:.0f} s, {killed.megabytes:.1f} MB of Parquet"
            )
    if given.json:
        given.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 0 if killed is None or killed.exactly_once else 1


def compared(folder: Path, num_videos: int) -> Rate:
    few, all_of_them = folder / "few", folder / "all"
    clip = write_clip(folder / "clip.mp4", seconds=2.0, pattern=noise)
    for name, count in ((few, START), (all_of_them, START + num_videos)):
        linked([clip], name, count)
    bare = [sys.executable, "-m", "benchmarks.batch", "--bare"]
    start, whole = (spent_by([*bare, str(one)]) for one in (few, all_of_them))
    bare_ms = 1000 * (whole.cpu_s - start.cpu_s) / num_videos
    start, whole = (spent_by(batch_of(one, folder / f"{one.name}.parquet")) for one in (few, all_of_them))
    batch_ms = 1000 * (whole.cpu_s - start.cpu_s) / num_videos
    return Rate(
        videos=num_videos,
        bare_cpu_ms=bare_ms,
        batch_cpu_ms=batch_ms,
        bare_videos_per_s_per_core=1000 / bare_ms,
        batch_videos_per_s_per_core=1000 / batch_ms,
        batch_videos_per_s=num_videos / max(whole.wall_s - start.wall_s, 1e-9),
        cores=len(os.sched_getaffinity(0)),
    )


def linked(clips: list[Path], folder: Path, count: int) -> None:
    """A folder of so many names for these clips."""
    folder.mkdir()
    for number in range(count):
        os.link(clips[number % len(clips)], folder / f"clip-{number:06}.mp4")


def batch_of(folder: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "cli.main", "batch", str(folder), "--out", str(out)]


def spent_by(command: list[str]) -> Spent:
    before, began_s = _children_s(), time.monotonic()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return Spent(time.monotonic() - began_s, _children_s() - before)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bare_loop(paths: list[Path]) -> None:
    """One core, one video at a time, the default model at its default budget: no process beside it, no queue."""
    from models import available_models  # noqa: PLC0415 - this process's alone
    from models.loading import load_models  # noqa: PLC0415
    from models.runtime import RuntimeConfig  # noqa: PLC0415
    from service.settings import Settings  # noqa: PLC0415
    from video.clip import VideoLimits  # noqa: PLC0415
    from video.file.decode import decode  # noqa: PLC0415

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    settings = Settings.read()
    found = available_models(*settings.bundles, shipped=settings.shipped_bundles)
    models = load_models(found.values(), RuntimeConfig(num_threads=1, cache_dir=settings.cache_dir))
    model = next((one for one in models if one.bundle.trained), models[0])
    bundle, recognizer = model.bundle, model.recognizer
    point = [one for one in bundle.grid.points if one.budget_flops <= bundle.default_budget_flops][-1]
    limits = VideoLimits(duration_s=600.0, frame_pixels=3840 * 2160, frames=36_000)
    for path in paths:
        clip = decode(str(path), bundle.clip_rule, limits)
        (state,) = recognizer.glance([clip.frames_THWC])
        for threshold_nats in point.solution.thresholds_nats:
            if state.entropy_nats <= threshold_nats:
                break
            (state,) = recognizer.focus([state])


def killed_again_and_again(folder: Path, num_clips: int, num_kills: int, chance: random.Random) -> Killed:
    """With kill -9, each time after another share of the rows; then to its end."""
    import pyarrow.parquet  # noqa: PLC0415

    archive, out = folder / "archive", folder / "archive.parquet"
    clips = [
        write_clip(folder / f"small-{n}.mp4", seconds=0.5, size=(64, 48), pattern=solid(30 * n, 90, 200 - 20 * n))
        for n in range(8)
    ]
    linked(clips, archive, num_clips)
    for path in sorted(archive.iterdir())[::BROKEN_EVERY]:
        path.unlink()
        path.write_bytes(b"no video")
    num_broken = len(range(0, num_clips, BROKEN_EVERY))
    began_s = time.monotonic()
    for number in range(num_kills):
        after = chance.randint(1, max(1, num_broken // (num_kills + 1)))
        with subprocess.Popen(batch_of(archive, out), stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            broken = 0
            for line in running.stderr:  # the rows tell when: a moment in the run's work, on a slow machine, too
                broken += ".mp4: " in line
                if broken == after:
                    break
            running.send_signal(signal.SIGKILL)
            running.communicate()
            assert running.returncode == -signal.SIGKILL, running.returncode
        print(f"killed {number + 1} times after {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    ended = subprocess.run(batch_of(archive, out), check=False, stderr=subprocess.DEVNULL)
    assert ended.returncode == 1, ended.returncode  # some were broken
    sources = Counter(pyarrow.parquet.read_table(out, columns=["source"])["source"].to_pylist())
    expected = {str(path) for path in archive.iterdir()}
    return Killed(
        videos=num_clips,
        kills=num_kills,
        rows=sources.total(),
        exactly_once=set(sources) == expected and set(sources.values()) == {1},
        seconds=time.monotonic() - began_s,
        megabytes=out.stat().st_size / 1e6,
    )


if __name__ == "__main__":
    sys.exit(main())
