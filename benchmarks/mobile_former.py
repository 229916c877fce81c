"""Video Mobile-Former on 64 frames, batch 1, beside X3D-S on 64 frames of 182 x 182, as the paper's Table 12 has them.

Both nets get the same: norms folded, channels last where torch runs, the better of two stems for X3D-S. Rounds are
interleaved and ratios are of one round's two times; then peak memory, and cost against the length of the clip.
`--kinds` says instead where OpenVINO's time goes, by kind of layer, and what bounds it (`benchmarks.roofline`).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.roofline import kinds_of, measure_layers, measure_peaks, print_kinds, print_peaks
from benchmarks.x3d import fold as fold_x3d
from benchmarks.x3d import x3d_s
from models.flops import count_call_flops, count_flops
from models.mobile_former.config import VARIANTS, former_1g
from models.mobile_former.costs import step_flops
from models.mobile_former.folding import fold
from models.mobile_former.former import Former
from models.mobile_former.network import build_network
from models.runtime import Network, RuntimeConfig, make_runtime
from models.runtime.openvino_runtime import import_openvino

ROUNDS = 5
CLASSES = 400
NUM_FRAMES = 64
X3D_SIDE_PX = 182
X3D = "x3d-s"
PAPER_RATIOS = {"560m": 26.6, "1g": 8.5, "2g": 5.5, "5g": 2.8}  # Table 12: X3D-S's CPU latency over the variant's
LENGTHS = (16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Latency:
    executor: str
    model: str
    gflops: float
    median_ms: float
    least_ms: float
    ms_per_gflop: float
    ratio: float  # median over rounds of X3D-S's time over this one's
    paper_ratio: float | None


@dataclass(frozen=True, slots=True)
class Length:
    num_frames: int
    gflops: float
    former_gflops: float
    median_ms: float
    loaded_mib: float  # resident after loading and one pass, beyond the imports
    peak_mib: float  # at most during loading and passes, beyond the imports


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mobile_former", description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    parser.add_argument("--threads", type=int, help="CPU threads of the networks (default: every core)")
    parser.add_argument("--only", default="", help="executors whose name holds this, such as openvino; no lengths")
    parser.add_argument(
        "--kinds", action="store_true", help="only print where OpenVINO's time goes, and what bounds it"
    )
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "FRAMES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure_alone(arguments.one[0], int(arguments.one[1]), arguments.threads)))
        return
    if arguments.kinds:
        print_roofline(arguments.threads)
        return
    chosen = [one for one in executors() if arguments.only in described(one)]
    latencies = [one for executor in chosen for one in measure(executor, arguments.threads)]
    if arguments.only:
        if arguments.json:
            arguments.json.write_text(json.dumps({"latencies": [asdict(one) for one in latencies]}, indent=1) + "\n")
        return
    memory = {name: alone(name, NUM_FRAMES, arguments.threads) for name in (*PAPER_RATIOS, X3D)}
    print("\nmemory of one process beyond its imports, default runtime, 64 frames")
    for name, figures in memory.items():
        print(f"  {name:<6}{figures['loaded_mib']:6.0f} MiB loaded{figures['peak_mib']:7.0f} MiB at most")
    lengths = [length(num_frames, arguments.threads) for num_frames in LENGTHS]
    print_lengths(lengths)
    if arguments.json:
        report = {
            "num_threads": arguments.threads or len(os.sched_getaffinity(0)),
            "latencies": [asdict(one) for one in latencies],
            "memory_mib": memory,
            "lengths_1g": [asdict(one) for one in lengths],
        }
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def executors() -> list[RuntimeConfig | None]:
    """Plain eager torch in fp32, contiguous, nothing folded (None), then the runtimes."""
    names = ("torch", "openvino") if import_openvino() else ("torch",)
    return [None, *(RuntimeConfig(name=name, precision=p) for name in names for p in ("fp32", "bf16"))]


def described(executor: RuntimeConfig | None) -> str:
    return "torch fp32 as written" if executor is None else f"{executor.name} {executor.precision}"


def modules(name: str, *, folded: bool, num_frames: int = NUM_FRAMES) -> tuple[list[nn.Module], Tensor, int]:
    """(the forms to choose the faster of, frames_NHWC, multiply-adds)."""
    if name == X3D:
        side = (X3D_SIDE_PX, X3D_SIDE_PX)
        flops = count_flops(x3d_s(CLASSES, num_frames), torch.empty(num_frames, *side, 3, dtype=torch.uint8))
        plain: list[nn.Module] = [x3d_s(CLASSES, num_frames)]
        forms = [fold_x3d(x3d_s(CLASSES, num_frames), one_stem=one) for one in (False, True)] if folded else plain
    else:
        config = replace(VARIANTS[f"video-mobile-former-{name}"](CLASSES), num_frames=num_frames)
        side, flops = config.frame_size, step_flops(config)[0]
        encoder = build_network(config, seed=0).encoder
        forms = [fold(encoder) if folded else encoder]
    generator = torch.Generator().manual_seed(0)
    return list(forms), torch.randint(0, 256, (num_frames, *side, 3), dtype=torch.uint8, generator=generator), flops


def executed(module: nn.Module, frames_NHWC: Tensor, executor: RuntimeConfig | None, threads: int | None) -> Network:
    if executor is not None:
        return make_runtime(replace(executor, num_threads=threads)).compile(
            module, frames_NHWC, key="benchmark", one_by_one=True
        )
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    # As plain code has it: what channels last would bring is the runtimes' doing.
    module.get_submodule("stem").register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(),))
    return torch.inference_mode()(module.eval())


def seconds(network: Network, frames_NHWC: Tensor) -> float:
    start_s = time.perf_counter()
    network(frames_NHWC)
    return time.perf_counter() - start_s


def measure(executor: RuntimeConfig | None, threads: int | None) -> list[Latency]:
    flops, contenders = {}, {}
    for name in (X3D, *PAPER_RATIOS):
        forms, frames_NHWC, flops[name] = modules(name, folded=executor is not None)
        networks = [executed(form, frames_NHWC, executor, threads) for form in forms]
        for network in networks:
            network(frames_NHWC)
        best = min(networks, key=lambda network: seconds(network, frames_NHWC))
        contenders[name] = (best, frames_NHWC)
    times_s: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, (network, frames_NHWC) in contenders.items():
            times_s[name].append(seconds(network, frames_NHWC))
    print(f"\n{described(executor)}, 64 frames, batch 1")
    found = []
    for name, own_s in times_s.items():
        median_s = statistics.median(own_s)
        ratios = [x3d_s / own for x3d_s, own in zip(times_s[X3D], own_s, strict=True)]
        one = Latency(
            executor=described(executor),
            model=name,
            gflops=flops[name] / 1e9,
            median_ms=1e3 * median_s,
            least_ms=1e3 * min(own_s),
            ms_per_gflop=1e12 * median_s / flops[name],
            ratio=statistics.median(ratios),
            paper_ratio=PAPER_RATIOS.get(name),
        )
        found.append(one)
        beside = f"   X3D-S takes {one.ratio:5.1f} times as long (paper {one.paper_ratio})" if one.paper_ratio else ""
        print(
            f"  {name:<6}{one.gflops:7.3f} GFLOPs{one.median_ms:8.0f} ms (least {one.least_ms:.0f})"
            f"{one.ms_per_gflop:7.1f} ms/GFLOP{beside}",
            flush=True,
        )
    return found


def alone(name: str, num_frames: int, threads: int | None) -> dict[str, float]:
    """`measure_alone` in a process of its own, whose memory is nobody else's."""
    command = [sys.executable, "-m", "benchmarks.mobile_former", "--one", name, str(num_frames)]
    if threads:
        command += ["--threads", str(threads)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def measure_alone(name: str, num_frames: int, threads: int | None) -> dict[str, float]:
    before_mib = resident_mib("VmRSS")
    forms, frames_NHWC, _ = modules(name, folded=True, num_frames=num_frames)
    network = executed(forms[0], frames_NHWC, RuntimeConfig(), threads)
    network(frames_NHWC)
    loaded_mib = resident_mib("VmRSS") - before_mib
    median_s = statistics.median(seconds(network, frames_NHWC) for _ in range(ROUNDS))
    return {"loaded_mib": loaded_mib, "peak_mib": resident_mib("VmHWM") - before_mib, "median_ms": 1e3 * median_s}


def resident_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def length(num_frames: int, threads: int | None) -> Length:
    config = replace(former_1g(CLASSES), num_frames=num_frames)
    with torch.device("meta"):
        former = Former(config.token_dim, config.former_heads)
        tokens_BLMD = torch.empty(1, 1, config.num_tokens, config.token_dim)
        former_flops = config.depth * count_call_flops(former, tokens_BLMD)
    return Length(num_frames, step_flops(config)[0] / 1e9, former_flops / 1e9, **alone("1g", num_frames, threads))


def print_lengths(lengths: list[Length]) -> None:
    print("\nvideo-mobile-former-1g by the length of the clip, default runtime")
    for one in lengths:
        print(
            f"  {one.num_frames:4d} frames{one.gflops:8.3f} GFLOPs, Former {one.former_gflops:.4f}"
            f"{one.median_ms:8.0f} ms{one.loaded_mib:7.0f} MiB loaded{one.peak_mib:7.0f} MiB at most"
        )


def print_roofline(threads: int | None) -> None:
    """In bf16 where the machine has it."""
    precision = make_runtime(RuntimeConfig()).precision
    peaks = measure_peaks(precision, threads or len(os.sched_getaffinity(0)))
    print_peaks(peaks, precision)
    for name in ("2g", X3D):
        forms, frames_NHWC, flops = modules(name, folded=True)
        layers = measure_layers(forms[0], frames_NHWC, precision, threads)
        print_kinds(f"{name}, openvino {precision}, {flops / 1e9:.2f} GFLOPs", kinds_of(layers, peaks))


if __name__ == "__main__":
    main()
