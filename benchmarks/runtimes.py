"""How long each runtime takes for a glance, for one cube and for a batch of eight cubes.

Rounds are interleaved, so that a noisy machine is noisy for all; the ratios are the result, the milliseconds the day's.
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.adafocus.network import build_network
from models.adafocus.shapes import compact, frame_cubes
from models.runtime import Network, Runtime, RuntimeConfig, make_runtime
from models.runtime.openvino_runtime import import_openvino

ROUNDS = 9
NUM_CLASSES = 15
BATCHED_CUBES = 8
MODELS = {"compact": compact(NUM_CLASSES), "paper, frame cubes of 128": frame_cubes(NUM_CLASSES)}


@dataclass(frozen=True, slots=True)
class Measurement:
    model: str
    work: str
    runtime: str
    precision: str
    compile_s: float  # conversion (no cache), compilation and the first call
    median_ms: float
    least_ms: float
    ratio: float  # of medians: fp32 torch's to this one's


@dataclass(frozen=True, slots=True)
class Contender:
    runtime: Runtime
    network: Network
    rows: Tensor
    compile_s: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtimes", description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    parser.add_argument("--threads", type=int, help="CPU threads of the networks (default: every core)")
    arguments = parser.parse_args()
    runtimes = [
        make_runtime(RuntimeConfig(name=name, precision=precision, num_threads=arguments.threads))
        for name in (("torch", "openvino") if import_openvino() else ("torch",))
        for precision in ("fp32", "bf16")
    ]
    measurements: list[Measurement] = []
    for model, config in MODELS.items():
        for work, (module, rows) in works(config).items():
            measurements += measure(model, work, module, rows, runtimes)
            print_card(measurements[-len(runtimes) :])
    if arguments.json:
        num_threads = arguments.threads or len(os.sched_getaffinity(0))
        report = {"num_threads": num_threads, "measurements": [asdict(one) for one in measurements]}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def works(config: AdaFocusConfig) -> dict[str, tuple[nn.Module, Tensor]]:
    """What is measured: a module and its batch of random pixels (uint8, rows_NHWC)."""
    network = build_network(config, seed=0)
    generator = torch.Generator().manual_seed(0)

    def pixels(num_rows: int, size: tuple[int, ...]) -> Tensor:
        return torch.randint(0, 256, (num_rows, *size, 3), dtype=torch.uint8, generator=generator)

    cube_frames, *cube_size = config.cube_size
    return {
        "glance": (network.glance, pixels(config.num_glance_frames, config.frame_size)),
        "1 cube": (network.focus, pixels(cube_frames, tuple(cube_size))),
        f"{BATCHED_CUBES} cubes": (network.focus, pixels(BATCHED_CUBES * cube_frames, tuple(cube_size))),
    }


def measure(model: str, work: str, module: nn.Module, rows: Tensor, runtimes: list[Runtime]) -> list[Measurement]:
    contenders = [prepare(runtime, module, rows) for runtime in runtimes]
    times_s: list[list[float]] = [[] for _ in contenders]
    for _ in range(ROUNDS):
        for contender, own_times_s in zip(contenders, times_s, strict=True):
            own_times_s.append(seconds_of(contender))
    medians_s = [statistics.median(own_times_s) for own_times_s in times_s]
    return [
        Measurement(
            model=model,
            work=work,
            runtime=contender.runtime.name,
            precision=contender.runtime.precision,
            compile_s=contender.compile_s,
            median_ms=1e3 * median_s,
            least_ms=1e3 * min(own_times_s),
            ratio=medians_s[0] / median_s,
        )
        for contender, own_times_s, median_s in zip(contenders, times_s, medians_s, strict=True)
    ]


def prepare(runtime: Runtime, module: nn.Module, rows: Tensor) -> Contender:
    start_s = time.perf_counter()
    network = runtime.compile(module, rows, key="benchmark")
    network(rows)
    return Contender(runtime, network, rows.to(runtime.device), time.perf_counter() - start_s)


def seconds_of(contender: Contender) -> float:
    contender.network(contender.rows)  # threads changed hands: their first call is not the steady state
    start_s = time.perf_counter()
    result = contender.network(contender.rows)
    if result.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start_s


def print_card(measurements: list[Measurement]) -> None:
    print(f"\n{measurements[0].model}: {measurements[0].work}")
    for one in measurements:
        print(
            f"  {one.runtime:<9}{one.precision:<5}{one.median_ms:8.1f} ms (least {one.least_ms:.1f})"
            f"{one.ratio:7.2f}x   ready in {one.compile_s:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
