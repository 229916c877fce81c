"""How many 720p25 cameras this machine carries at one result a second each, decoding all frames or as `auto` sees fit.

A camera is carried where it gets 0.95 results a second or more, 95 % of them less than 2 s old, and at most a
hundredth of the frames to decode is left out: a camera's process that falls behind decodes keyframes alone until it has
caught up, whatever it was asked for. Windows are of 16 s,
so that a keyframe a second gives each of the model's 16 frames a picture of its own. The RTSP server runs on the same
machine; its CPU is told apart. Results are read afterwards, so that no client takes part.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.streams_serving import service_process
from tests.cameras import Camera, camera
from tests.clips import noise, write_clip
from tests.streaming import Heard, events_of, subscribe

FPS, SIZE, WINDOW_S, STRIDE_S = 25, (1280, 720), 16.0, 1.0
MOUNTS = 8  # so that keyframes do not all come at once
SETTLE_S, MEASURE_S = 18.0, 12.0


@dataclass(frozen=True)
class Series:
    """Cameras are added until the last number is reached or the machine carries no more."""

    scene: str
    decode: str
    keyframes_s: float
    cameras: Sequence[int]


SERIES = (
    Series("quiet", "all", 1, (16, 24, 28, 32)),
    Series("quiet", "auto", 1, (32, 80, 88, 96)),
    Series("busy", "all", 1, (8, 16, 20)),
    Series("busy", "auto", 1, (8, 16, 20)),
    Series("quiet", "auto", 2, (32,)),
    Series("quiet", "auto", 4, (32,)),
)


@dataclass(frozen=True)
class Point:
    scene: str
    decode: str
    keyframes_s: float
    cameras: int
    results_per_s: float  # of one camera
    age_p50_s: float
    age_p95_s: float
    dropped: int
    left_out_share: float  # of the frames that should have been decoded
    keyframes_share: float  # of results from keyframes alone
    service_cores: float
    children_cores: float
    rtsp_server_cores: float
    gflops_per_s: float
    child_pss_mib: float  # median

    @property
    def is_carried(self) -> bool:
        return self.results_per_s >= 0.95 / STRIDE_S and self.age_p95_s < 2.0 and self.left_out_share <= 0.01


def still(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """One picture, with a sensor's noise."""
    rng = np.random.default_rng(number)
    return (noise(0, width, height) // 2 + rng.integers(0, 3, (height, width, 1), np.uint8)).astype(np.uint8)


def measure(client: httpx.Client, service: psutil.Process, cam: Camera, series: Series, streams: list[str]) -> Point:
    time.sleep(SETTLE_S)
    server = psutil.Process(cam.process.pid)
    before = cpu_s(service), spent_gflops(client), time.time()
    began_s = time.monotonic()
    time.sleep(MEASURE_S)
    took_s = time.monotonic() - began_s
    after = cpu_s(service), spent_gflops(client)
    server_s = server.cpu_percent(interval=1.0) / 100
    since_ms = before[2] * 1000
    results = [
        heard
        for stream in streams
        for heard in kept_events(client, stream)
        if heard.name == "result" and since_ms <= heard.key[0] < since_ms + took_s * 1000
    ]
    decoded, left_out = (sum(heard.data["frames"][name] for heard in results) for name in ("decoded", "dropped"))
    ages = sorted(heard.data["frame_age_s"] for heard in results) or [float("inf")]
    return Point(
        scene=series.scene,
        decode=series.decode,
        keyframes_s=series.keyframes_s,
        cameras=len(streams),
        results_per_s=round(len(results) / took_s / len(streams), 3),
        age_p50_s=round(ages[len(ages) // 2], 3),
        age_p95_s=round(ages[int(len(ages) * 0.95)], 3),
        dropped=sum(heard.data["windows_dropped"] for heard in results),
        left_out_share=round(left_out / max(1, decoded + left_out), 3),
        keyframes_share=round(sum(one.data["decode"] == "keyframes" for one in results) / max(1, len(results)), 2),
        service_cores=round((after[0][0] - before[0][0]) / took_s, 2),
        children_cores=round((after[0][1] - before[0][1]) / took_s, 2),
        rtsp_server_cores=round(server_s, 2),
        gflops_per_s=round((after[1] - before[1]) / took_s, 2),
        child_pss_mib=round(
            statistics.median(one.memory_full_info().pss for one in camera_children(service)) / 2**20, 1
        ),
    )


def cpu_s(service: psutil.Process) -> tuple[float, float]:
    """CPU seconds of the service's process, and of its cameras' processes."""
    times = service.cpu_times()
    return times.user + times.system, sum(
        child.cpu_times().user + child.cpu_times().system for child in camera_children(service)
    )


def camera_children(service: psutil.Process) -> list[psutil.Process]:
    return [child for child in service.children() if "camera_child" in " ".join(child.cmdline())]


def spent_gflops(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("fovea_flops_total")) / 1e9


def kept_events(client: httpx.Client, stream: str) -> list[Heard]:
    """Everything that is kept of a stream."""
    last_id = client.get(f"/v1/streams/{stream}").json()["last_event_id"]
    heard: list[Heard] = []
    with client.stream("GET", f"/v1/streams/{stream}/events", headers={"Last-Event-ID": "0-0"}) as response:
        for event in events_of(response.iter_lines()):
            heard.append(event)
            if event.id == last_id:
                break
    return heard


def run(series: Series, file: Path) -> list[Point]:
    points: list[Point] = []
    mounts = {f"/cam{number}": [str(file)] for number in range(MOUNTS)}
    with camera(file, mounts=mounts, fps=FPS) as cam, service_process(max_streams=128) as (client, service):
        budget = {}
        if series.scene == "quiet":  # what exits at the glance: as a quiet scene does with a trained model
            (model,) = (one for one in client.get("/v1/models").json()["models"] if one["default"])
            budget = {"budget_gflops": model["least_gflops"]}
        streams: list[str] = []
        for wanted in series.cameras:
            while len(streams) < wanted:
                number = len(streams)  # as credentials: streams of one URL would share a process
                url = cam.url(path=f"/cam{number % MOUNTS}", credentials=f"n{number}:x")
                asked = {"window_s": WINDOW_S, "stride_s": STRIDE_S, "decode": series.decode} | budget
                streams.append(subscribe(client, url, **asked))
                time.sleep(0.2)  # a process starts for each
            points.append(measure(client, service, cam, series, streams))
            print(row(points[-1]), flush=True)
            if not points[-1].is_carried:
                break
    return points


def row(point: Point) -> str:
    return (
        f"{point.scene:<6}{point.decode:<6}{point.keyframes_s:>3g} s{point.cameras:>5}{point.results_per_s:>9.2f}"
        f"{point.age_p50_s:>8.2f}{point.age_p95_s:>8.2f}{point.dropped:>7}{point.left_out_share:>7.1%}{point.keyframes_share:>7.0%}"
        f"{point.service_cores:>9.2f}{point.children_cores:>10.2f}{point.rtsp_server_cores:>7.2f}"
        f"{point.gflops_per_s:>9.2f}{point.child_pss_mib:>8.1f}{'  carried' if point.is_carried else '  NOT carried'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams_load", description=__doc__)
    parser.add_argument("--series", type=int, nargs="*", help="which of the series, by number; all of them if absent")
    parser.add_argument("--json", type=Path, help="where to write the points")
    asked = parser.parse_args()
    chosen = SERIES if asked.series is None else [SERIES[number] for number in asked.series]
    points: list[Point] = []
    print(
        "scene decode  key  cams  res/s/c  age50   age95   drop   left  keyfr"
        "  service  children   rtsp  GFLOP/s  PSS/MiB"
    )
    with tempfile.TemporaryDirectory() as folder:
        for series in chosen:
            file = Path(folder) / f"{series.scene}-{series.keyframes_s:g}.mp4"
            if not file.exists():
                write_clip(
                    file,
                    seconds=max(4.0, series.keyframes_s),
                    fps=FPS,
                    size=SIZE,
                    gop=round(FPS * series.keyframes_s),
                    pattern=still if series.scene == "quiet" else noise,
                    options={"preset": "veryfast", "tune": "zerolatency", "bf": "0", "sc_threshold": "0", "b": "3M"},
                )
            points += run(series, file)
    if asked.json is not None:
        asked.json.write_text(json.dumps([asdict(point) for point in points], indent=1))


if __name__ == "__main__":
    main()
