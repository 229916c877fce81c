"""TimeSformer beside transformers on the same weights in one run, and its cost against frames and resolution.

Rounds are interleaved, ratios are of medians; both nets see one view of 8 frames of 224 x 224. Then joint and divided
attention, one after the other in processes of their own, for time and peak memory (`--depth` blocks of the twelve: all
blocks cost the same). transformers is a package of the tests; without it the first part is left out, and says so.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from models.runtime import Network, RuntimeConfig, make_runtime
from models.timesformer.config import TimeSformerConfig, base
from models.timesformer.costs import step_flops
from models.timesformer.folding import fold
from models.timesformer.foreign import under_their_names
from models.timesformer.network import TimeSformer, build_network

Clock: TypeAlias = Callable[[], float]
CLASSES = 400
FRAMES = (8, 32, 64, 96)
SIDES_PX = (224, 336, 448)
EXECUTORS = tuple(RuntimeConfig(name=n, precision=p) for n in ("torch", "openvino") for p in ("fp32", "bf16"))


@dataclass(frozen=True, slots=True)
class Latency:
    executor: str
    median_ms: float
    least_ms: float
    speedup: float  # transformers' median in the same precision over this one's
    speedup_over_fp32: float  # its median in fp32 over this one's
    difference: float  # largest of any logit from transformers' in fp32, relative to the largest


@dataclass(frozen=True, slots=True)
class Cost:
    scheme: str
    num_frames: int
    side_px: int
    gflops: float  # of a view, all blocks
    seconds: float  # of `depth` blocks
    peak_mib: float  # beyond the imports


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timesformer", description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    parser.add_argument("--plot", type=Path, help="where to draw cost against frames and resolution (.png)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: every core)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--depth", type=int, default=2, help="blocks that the cost is measured on")
    parser.add_argument(
        "--processor-time", action="store_true", help="instead of the clock's, on a crowded machine; take --threads 1"
    )
    parser.add_argument("--only", choices=("latency", "cost"), help="one of the two parts")
    parser.add_argument("--one", nargs=3, metavar=("SCHEME", "FRAMES", "SIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    threads = arguments.threads or len(os.sched_getaffinity(0))
    clock = time.process_time if arguments.processor_time else time.perf_counter
    if arguments.one:
        scheme, frames, side = arguments.one
        print(json.dumps(measure_alone(scheme, int(frames), int(side), arguments.depth, threads, clock)))
        return
    report: dict[str, Any] = {"num_threads": threads, "depth": arguments.depth, "clock": clock.__name__}
    if arguments.only != "cost":
        latencies = latency(threads, arguments.rounds, clock)
        report["latencies"] = [asdict(one) for one in latencies]
    if arguments.only != "latency":
        costs = [cost(*point, arguments.depth, threads, arguments.processor_time) for point in points()]
        report["costs"] = [asdict(one) for one in costs]
        if arguments.plot:
            plot(costs, arguments.depth, arguments.plot)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def random_network(config: TimeSformerConfig) -> TimeSformer:
    """Every tensor random, so that a difference has something to show in."""
    network = build_network(config, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = 0.03 if parameter.ndim > 1 else 0.1
            centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(centre + scale * torch.randn(parameter.shape, generator=generator))
    return network


def theirs(network: TimeSformer) -> Any:
    """transformers' model with our weights; None without the package."""
    try:
        from transformers import TimesformerConfig, TimesformerForVideoClassification  # noqa: PLC0415
    except ImportError:
        return None
    model = TimesformerForVideoClassification(TimesformerConfig(num_labels=CLASSES)).eval()
    model.load_state_dict(under_their_names(network, "huggingface"))
    return model


def latency(threads: int, rounds: int, clock: Clock) -> list[Latency]:
    network = random_network(base(CLASSES))
    view_THWC = torch.randint(0, 256, (8, 224, 224, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = theirs(network)
    if model is None:
        print("transformers is not installed: nothing to compare with (extra `dev`)")
        return []
    pixels = ((view_THWC.float() / 255 - 0.45) / 0.225).permute(0, 3, 1, 2)[None]
    runs: dict[str, Callable[[], Tensor]] = {"transformers fp32": partial(_theirs, model, pixels, threads)}
    halved = theirs(network).to(torch.bfloat16)
    runs["transformers bf16"] = partial(_theirs, halved, pixels.bfloat16(), threads)
    encoder, head = fold(network.encoder), network.classifier
    for config in EXECUTORS:
        try:
            runtime = make_runtime(replace(config, num_threads=threads))
        except ValueError as error:
            print(f"left out: {error}")
            continue
        network_run = runtime.compile(encoder, view_THWC, key="benchmark", one_by_one=True)
        runs[f"{config.name} {config.precision}"] = partial(_ours, network_run, head, view_THWC)
    taken_s: dict[str, list[float]] = {name: [] for name in runs}
    logits: dict[str, Tensor] = {}
    with torch.inference_mode():
        for number in range(rounds + 1):  # the first warms up
            for name, run in runs.items():
                begin = clock()
                logits[name] = run()
                if number:
                    taken_s[name].append(clock() - begin)
    medians = {name: statistics.median(times) for name, times in taken_s.items()}
    wanted = logits["transformers fp32"]
    found = [
        Latency(
            executor=name,
            median_ms=1000 * medians[name],
            least_ms=1000 * min(taken_s[name]),
            speedup=medians[f"transformers {name.rpartition(' ')[2]}"] / medians[name],
            speedup_over_fp32=medians["transformers fp32"] / medians[name],
            difference=((logits[name] - wanted).abs().max() / wanted.abs().max()).item(),
        )
        for name in runs
    ]
    print_latencies(found, threads)
    return found


def _ours(run: Network, head: nn.Module, view_THWC: Tensor) -> Tensor:
    logits: Tensor = head(run(view_THWC).cpu())
    return logits


def _theirs(model: Any, pixels: Tensor, threads: int) -> Tensor:
    torch.set_num_threads(threads)
    logits: Tensor = model(pixels).logits
    return logits.float()


def print_latencies(found: list[Latency], threads: int) -> None:
    gflops = step_flops(base(CLASSES))[0] / 1e9
    print(f"\none view of 8 x 224 x 224, {gflops:.1f} GFLOPs, {threads} threads; transformers' time / ours")
    print(f"{'':20}{'median ms':>10}{'least':>8}{'same precision':>16}{'over its fp32':>15}{'difference':>12}")
    for one in found:
        print(
            f"{one.executor:20}{one.median_ms:10.0f}{one.least_ms:8.0f}{one.speedup:16.2f}{one.speedup_over_fp32:15.2f}"
            f"{one.difference:12.1e}"
        )
    one_ms = min(one.median_ms for one in found)
    print(f"two views instead of three, where the second is sure: {one_ms:.0f} ms less of {3 * one_ms:.0f}")


def points() -> list[tuple[str, int, int]]:
    found = [(scheme, frames, 224) for frames in FRAMES for scheme in ("divided", "joint")]
    return found + [(scheme, 8, side) for side in SIDES_PX[1:] for scheme in ("divided", "joint")]


def config_of(scheme: str, num_frames: int, side_px: int) -> TimeSformerConfig:
    values = base(CLASSES).to_dict() | {"scheme": scheme, "num_frames": num_frames, "view_size": (side_px, side_px)}
    return TimeSformerConfig.from_dict(values)


def cost(scheme: str, num_frames: int, side_px: int, depth: int, threads: int, processor_time: bool) -> Cost:
    command = [sys.executable, "-m", "benchmarks.timesformer", "--one", scheme, str(num_frames), str(side_px)]
    command += ["--threads", str(threads), "--depth", str(depth)]
    command += ["--processor-time"] if processor_time else []
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    gflops = step_flops(config_of(scheme, num_frames, side_px))[0] / 1e9
    found = Cost(scheme, num_frames, side_px, gflops, **json.loads(answer.splitlines()[-1]))
    print(
        f"{scheme:8} {num_frames:3} x {side_px}: {gflops:7.0f} GFLOPs a view; {depth} blocks take "
        f"{found.seconds:6.2f} s and at most {found.peak_mib:6.0f} MiB",
        flush=True,
    )
    return found


def measure_alone(
    scheme: str, num_frames: int, side_px: int, depth: int, threads: int, clock: Clock
) -> dict[str, float]:
    """In torch, in the default precision of this machine; two passes, the shorter counts."""
    config = replace(config_of(scheme, num_frames, side_px), depth=depth)
    runtime = make_runtime(RuntimeConfig(name="torch", num_threads=threads))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    view_THWC = torch.zeros(num_frames, side_px, side_px, 3, dtype=torch.uint8)
    run = runtime.compile(fold(build_network(config, seed=0).encoder), view_THWC, key="benchmark", one_by_one=True)
    times = []
    for _ in range(2):
        begin = clock()
        run(view_THWC)
        times.append(clock() - begin)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": min(times), "peak_mib": (after - before) / 1024}


def plot(costs: list[Cost], depth: int, path: Path) -> None:
    """Four small pictures: time and memory, against frames and against resolution."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # an extra

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2)
    for column, (name, chosen) in enumerate(
        {
            "frames of 224 x 224": [(one.num_frames, one) for one in costs if one.side_px == 224],
            "side of 8 frames, pixels": [(one.side_px, one) for one in costs if one.num_frames == 8],
        }.items()
    ):
        for scheme in ("divided", "joint"):
            rows = sorted(((x, one) for x, one in chosen if one.scheme == scheme), key=lambda pair: pair[0])
            for row, values in enumerate(([one.seconds for _, one in rows], [one.peak_mib for _, one in rows])):
                axes[row][column].plot([x for x, _ in rows], values, marker="o", label=scheme)
        axes[0][column].set_ylabel(f"seconds, {depth} of 12 blocks")
        axes[1][column].set_ylabel("MiB at most")
        axes[1][column].set_xlabel(name)
        axes[0][column].legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
