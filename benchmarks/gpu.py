"""What an NVIDIA GPU makes of the papers' sizes: the CUDA tests, videos a second, and decoding on the card (NVDEC).

One script of at most six minutes: parts that the time is up for are told as left out. Without a GPU it says "not run",
why, and ends well, so that a table may say the same. Convolutions are channels-last, batch norms folded; `graph`
replays a CUDA graph of the batch's fixed shape. `same` is the largest difference from fp32 without TF32, relative to
the largest number.
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import av
import torch
from torch import Tensor, nn

from benchmarks.runtimes import works
from models.adafocus.config import AdaFocusConfig
from models.adafocus.shapes import clip_cubes, frame_cubes
from models.runtime.torch_runtime import fold_batch_norms
from models.timesformer.config import base
from models.timesformer.folding import fold
from models.timesformer.network import build_network
from tests.clips import noise, write_clip

MOST_S = 360.0
TESTS = "tests/integration/test_cuda.py"
TESTS_MOST_S = 120.0
BATCH = 8  # videos whose glances or cubes run together
ROUNDS = 10
CLASSES = 200
ADAFOCUS = {
    "AdaFocusV3, 18 frames, 18 cubes of 128": frame_cubes(CLASSES),
    "AdaFocusV3, 16 frames, 2 cubes of 128 x 12": clip_cubes(CLASSES),
}
Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Run: TypeAlias = Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class Row:
    """One network on a batch of one shape."""

    network: str
    work: str
    precision: Precision
    way: Literal["eager", "graph"]
    batch_ms: float  # the median
    per_second: float  # clips, cubes or views
    same: float


@dataclass(frozen=True, slots=True)
class Videos:
    """AdaFocusV3 whole, without decoding: from a glance alone to every cube."""

    network: str
    precision: Precision
    way: Literal["eager", "graph"]
    at_the_glance_per_s: float
    at_all_steps_per_s: float


class Clock:
    """Whether there is time for one part more."""

    def __init__(self, most_s: float) -> None:
        self._end_s = time.monotonic() + most_s

    @property
    def left_s(self) -> float:
        return self._end_s - time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the measurements, or why there are none")
    parser.add_argument("--most-s", type=float, default=MOST_S, help="seconds after which no part is begun")
    given = parser.parse_args()
    why_not = reason_not_to_run()
    report: dict[str, Any] = {"not_run": why_not} if why_not is not None else measured(Clock(given.most_s))
    if why_not is not None:
        print(f"not run: {why_not}")
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")


def reason_not_to_run() -> str | None:
    """None: there is a CUDA device that torch can use."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is a build for CPUs; install its CUDA build"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device: no NVIDIA GPU, or no driver for it"
    return None


def measured(clock: Clock) -> dict[str, Any]:
    device = torch.device("cuda")
    name = torch.cuda.get_device_name(device)
    print(f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}, batches of {BATCH}")
    report: dict[str, Any] = {"device": name, "torch": torch.__version__, "batch": BATCH, "left_out": []}
    report["tests"] = cuda_tests(min(TESTS_MOST_S, clock.left_s))
    print(f"{TESTS}: {report['tests']}")
    report["nvdec"] = [asdict(one) for one in decoding()] if clock.left_s > 60 else []
    rows: list[Row] = []
    for network, work, module, example in all_works():
        if clock.left_s < 30:
            report["left_out"].append(f"{network}, {work}")
            continue
        rows += measure(network, work, module, example, device)
    report["networks"] = [asdict(one) for one in rows]
    found = videos(rows)
    report["videos"] = [asdict(one) for one in found]
    for one in found:
        print(
            f"{one.network}, {one.precision} {one.way}: {one.at_the_glance_per_s:.1f} videos/s at the glance, "
            f"{one.at_all_steps_per_s:.1f} at all steps"
        )
    if report["left_out"]:
        print(f"left out, the time was up: {'; '.join(report['left_out'])}")
    return report


def cuda_tests(most_s: float) -> str:
    """pytest's last line."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=most_s, check=False)
    except subprocess.TimeoutExpired:
        return f"not finished after {most_s:.0f} s"
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else f"ended with {done.returncode}: {done.stderr.strip()[-500:]}"


def all_works() -> Iterator[tuple[str, str, nn.Module, Tensor]]:
    """(network, work, module, its batch of random pixels)."""
    generator = torch.Generator().manual_seed(0)
    for name, config in ADAFOCUS.items():
        found = works(config)
        for work in ("glance", "1 cube"):
            module, one = found[work]
            rows = (BATCH * len(one), *one.shape[1:])
            yield name, work, module, torch.randint(0, 256, rows, dtype=torch.uint8, generator=generator)
    view = torch.randint(0, 256, (BATCH * 8, 224, 224, 3), dtype=torch.uint8, generator=generator)
    yield "TimeSformer 8 x 224", "view", fold(build_network(base(CLASSES), seed=0).encoder), view


def measure(network: str, work: str, module: nn.Module, example: Tensor, device: torch.device) -> list[Row]:
    """Each precision, as it is and as a CUDA graph; rounds are interleaved. On a CPU there are no graphs."""
    pixels = example.to(device)
    runs: dict[tuple[Precision, Literal["eager", "graph"]], Run] = {}
    for precision in DTYPES:
        run = prepared(module, precision, pixels)
        runs[precision, "eager"] = run
        if device.type == "cuda":
            runs[precision, "graph"] = captured(run)
    found = {key: run().float().cpu() for key, run in runs.items()}  # warms up, too
    times_s: dict[Any, list[float]] = {key: [] for key in runs}
    for _ in range(ROUNDS):
        for key, run in runs.items():
            times_s[key].append(seconds_of(run, device))
    wanted = found["fp32", "eager"]
    rows = []
    for key in runs:
        median_s = statistics.median(times_s[key])
        same = ((found[key] - wanted).abs().max() / wanted.abs().max()).item()
        rows.append(Row(network, work, *key, 1000 * median_s, BATCH / median_s, same))
        print(
            f"{network}, {work}: {key[0]} {key[1]:5} {1000 * median_s:8.2f} ms, {BATCH / median_s:9.1f} a second, "
            f"same to {same:.1e}",
            flush=True,
        )
    return rows


def prepared(module: nn.Module, precision: Precision, pixels: Tensor) -> Run:
    """As `TorchRuntime` prepares it, in fp16, too."""
    network = fold_batch_norms(copy.deepcopy(module).eval().requires_grad_(False)).to(pixels.device)
    dtype = DTYPES[precision]
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.to(dtype)

    @torch.inference_mode()
    def run() -> Tensor:
        with (
            torch.autocast(pixels.device.type, dtype, enabled=precision != "fp32"),
            torch.backends.cudnn.flags(allow_tf32=False),
        ):
            found: Tensor = network(pixels)
        return found

    return run


def captured(run: Run) -> Run:
    """The same work as a CUDA graph: one launch in place of hundreds."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # what is chosen and allocated once must not be captured
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = run()

    def replay() -> Tensor:
        graph.replay()
        return found

    return replay


def seconds_of(run: Run, device: torch.device) -> float:
    begin_s = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin_s


def videos(rows: list[Row]) -> list[Videos]:
    """From what a glance and a cube take together: policy, heads and decoding are not in it."""
    found = []
    by_key = {(one.network, one.work, one.precision, one.way): one for one in rows}
    for (network, work, precision, way), glance in by_key.items():
        cube = by_key.get((network, "1 cube", precision, way))
        if work == "glance" and cube is not None:
            config: AdaFocusConfig = ADAFOCUS[network]
            all_ms = glance.batch_ms + config.max_cubes * cube.batch_ms
            found.append(Videos(network, precision, way, glance.per_second, 1000 * BATCH / all_ms))
    return found


@dataclass(frozen=True, slots=True)
class Decoding:
    """Every frame of 10 s of 720p H.264, brought to the memory of the machine."""

    way: str
    frames_per_s: float | None
    not_run: str | None = None


def decoding() -> list[Decoding]:
    """In software, and with NVDEC where PyAV's build has it."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"preset": "veryfast"}
        path = write_clip(Path(folder) / "a.mp4", seconds=10, size=(1280, 720), gop=25, pattern=noise, options=options)
        found = [decoded(path, "software, one thread", None), decoded(path, "NVDEC", "cuda")]
    for one in found:
        rate = f"not run: {one.not_run}" if one.frames_per_s is None else f"{one.frames_per_s:.0f} frames/s"
        print(f"decoding, {one.way}: {rate}")
    return found


def decoded(path: Path, way: str, device: str | None) -> Decoding:
    """The faster of two passes; the first opens the device."""
    try:
        from av.codec.hwaccel import HWAccel, hwdevices_available  # noqa: PLC0415  # builds without it lack the module
    except ImportError:
        return Decoding(way, None, f"PyAV {av.__version__} has no hardware decoding") if device else _pass(path, way)
    if device is None:
        return _pass(path, way)
    if device not in hwdevices_available():
        return Decoding(way, None, f"PyAV's build offers {', '.join(hwdevices_available()) or 'no device'}")
    try:
        return _pass(path, way, hwaccel=HWAccel(device_type=device, allow_software_fallback=False))
    except (av.FFmpegError, RuntimeError, OSError, ValueError) as error:
        return Decoding(way, None, f"{type(error).__name__}: {error}")


def _pass(path: Path, way: str, **options: Any) -> Decoding:
    rates = []
    for _ in range(2):
        begin_s = time.perf_counter()
        with av.open(str(path), **options) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            count = sum(1 for frame in container.decode(stream) if frame.width)
        rates.append(count / (time.perf_counter() - begin_s))
    return Decoding(way, max(rates))


if __name__ == "__main__":
    main()
