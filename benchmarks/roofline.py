"""What bounds each kind of layer in OpenVINO: arithmetic, memory or neither. Knows no model.

Bytes are those of inputs, weights and outputs as the compiled graph has them; multiply-adds follow from its shapes.
What OpenVINO fuses into a layer counts as that layer. Floors are times at the peaks of this machine, measured beside:
a large matrix product in torch, and copies of a working set as large as the layer's. Counters cost time themselves.
"""

import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import log2, prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from models.runtime.config import Precision
from models.runtime.openvino_runtime import import_openvino

ROUNDS = 9
MATRIX_SIDE = 1024
COPIED_BYTES = tuple(2**exponent for exponent in range(16, 28))  # 64 KiB to 128 MiB, read and written together
NEAR = 0.5  # a kind that runs at half of a peak or more is bound by it
BYTES = {"f32": 4, "i32": 4, "bf16": 2, "f16": 2, "i8": 1, "u8": 1, "boolean": 1, "i64": 8, "dynamic": 0}
"""By OpenVINO's names of precisions; `dynamic` is that of a bias which a layer does not have."""
SHOWN_MS = 0.1


@dataclass(frozen=True, slots=True)
class Peaks:
    multiply_adds_per_s: float
    bytes_per_s: dict[int, float]
    """By the bytes of the working set."""

    def bandwidth(self, working_set_bytes: int) -> float:
        nearest = min(self.bytes_per_s, key=lambda size: abs(log2(size / max(working_set_bytes, 1))))
        return self.bytes_per_s[nearest]


@dataclass(frozen=True, slots=True)
class Layer:
    kind: str
    seconds: float  # the least of the rounds
    multiply_adds: int
    moved_bytes: int


@dataclass(frozen=True, slots=True)
class Kind:
    """All layers of one kind."""

    name: str
    num_layers: int
    ms: float
    gmacs: float
    mbytes: float
    arithmetic_floor_ms: float
    memory_floor_ms: float

    @property
    def bound(self) -> str:
        name, floor_ms = max(
            ("arithmetic", self.arithmetic_floor_ms), ("memory", self.memory_floor_ms), key=lambda pair: pair[1]
        )
        return name if floor_ms >= NEAR * self.ms else "neither"


def measure_peaks(precision: Precision, threads: int) -> Peaks:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.ones(2, MATRIX_SIDE, MATRIX_SIDE, dtype=dtype)
    product_s = least_s(lambda: left @ right)
    bandwidths = {}
    for size in COPIED_BYTES:
        source, target = torch.ones(2, size // 2, dtype=torch.uint8)
        bandwidths[size] = size / least_s(partial(target.copy_, source))
    torch.set_num_threads(before)
    return Peaks(MATRIX_SIDE**3 / product_s, bandwidths)


def least_s(work: Callable[[], object]) -> float:
    found = []
    for _ in range(2 * ROUNDS):
        start_s = time.perf_counter()
        work()
        found.append(time.perf_counter() - start_s)
    return min(found)


def measure_layers(module: nn.Module, rows: Tensor, precision: Precision, threads: int | None) -> list[Layer]:
    openvino = import_openvino()
    assert openvino is not None, "OpenVINO does not import here"
    model = openvino.convert_model(module, example_input=rows, input=[(list(rows.shape), openvino.Type.u8)])
    compiled = openvino.Core().compile_model(
        model,
        "CPU",
        {
            "PERF_COUNT": True,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # as the runtime has it
            "INFERENCE_NUM_THREADS": threads or len(os.sched_getaffinity(0)),
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        },
    )
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(rows.numpy()))
    totals_s: dict[str, float] = {}
    least: dict[str, float] = {}
    for number in range(1, ROUNDS + 1):
        request.infer()
        for counted in request.get_profiling_info():
            if counted.status != openvino.ProfilingInfo.Status.EXECUTED:
                continue  # a reshape, or a transposition that is only a view
            # The counters are means over all passes so far, the slow first one included.
            name, total_s = counted.node_name, number * counted.real_time.total_seconds()
            least[name] = min(least.get(name, total_s), max(total_s - totals_s.get(name, 0.0), 0.0))
            totals_s[name] = total_s
    nodes = compiled.get_runtime_model().get_ordered_ops()
    return [layer(node, least[name]) for node in nodes if (name := node.get_friendly_name()) in least]


def layer(node: Any, seconds: float) -> Layer:
    """Of a node of OpenVINO's runtime graph, where weights are inputs as well."""
    kind = str(node.rt_info["layerType"].astype(str))
    inputs = [tuple(port.get_shape()) for port in node.inputs()]
    output = tuple(node.output(0).get_shape()) if node.outputs() else ()
    moved = sum(port_bytes(port.get_source_output()) for port in node.inputs())
    moved += sum(port_bytes(port) for port in node.outputs())
    if kind == "Convolution":
        weight = inputs[1]
        grouped = len(weight) > len(output)  # (groups, outputs, inputs, kernel) for (outputs, inputs, kernel)
        kernel = weight[3:] if grouped else weight[2:]
        kind = "depthwise convolution" if grouped else f"{'1x1' if set(kernel) == {1} else 'other'} convolution"
        return Layer(kind, seconds, prod(output) * prod(weight[2:] if grouped else weight[1:]), moved)
    if kind == "FullyConnected":
        return Layer(kind, seconds, prod(output) * inputs[1][-1], moved)
    if kind == "MatMul":
        # Which axis is summed over depends on transpositions, but of batch * M * K, K * N and M * N follows K.
        summed = sqrt(prod(inputs[0]) * prod(inputs[1]) / (prod(output) * prod(output[:-2])))
        return Layer(kind, seconds, round(prod(output) * summed), moved)
    return Layer(kind, seconds, 0, moved)


def port_bytes(output: Any) -> int:
    """Of one output of a node, as it lies in memory."""
    precisions = str(output.get_node().rt_info["outputPrecisions"].astype(str)).split(",")
    precision = precisions[output.get_index()] if output.get_index() < len(precisions) else precisions[0]
    return int(prod(output.get_shape())) * BYTES[precision.lower()]


def kinds_of(layers: list[Layer], peaks: Peaks) -> list[Kind]:
    """The slowest kind first."""
    by_kind: dict[str, list[Layer]] = defaultdict(list)
    for one in layers:
        by_kind[one.kind].append(one)
    kinds = [
        Kind(
            name=name,
            num_layers=len(own),
            ms=1e3 * sum(one.seconds for one in own),
            gmacs=sum(one.multiply_adds for one in own) / 1e9,
            mbytes=sum(one.moved_bytes for one in own) / 1e6,
            arithmetic_floor_ms=1e3 * sum(one.multiply_adds for one in own) / peaks.multiply_adds_per_s,
            memory_floor_ms=1e3 * sum(one.moved_bytes / peaks.bandwidth(one.moved_bytes) for one in own),
        )
        for name, own in by_kind.items()
    ]
    return sorted(kinds, key=lambda kind: -kind.ms)


def print_peaks(peaks: Peaks, precision: Precision) -> None:
    print(f"peaks: {peaks.multiply_adds_per_s / 1e9:.0f} G multiply-adds/s in {precision}; copies, read and written:")
    print("  " + ", ".join(f"{size >> 10} KiB {rate / 1e9:.0f} GB/s" for size, rate in peaks.bytes_per_s.items()))


def print_kinds(title: str, kinds: list[Kind]) -> None:
    print(
        f"\n{title}\n  {'kind':<24}layers     ms  GMACs  GMAC/s     MB   GB/s   floors: arithmetic, memory   bound by"
    )
    for kind in kinds:
        if kind.ms < SHOWN_MS:
            continue
        print(
            f"  {kind.name:<24}{kind.num_layers:6d}{kind.ms:7.1f}{kind.gmacs:7.3f}{1e3 * kind.gmacs / kind.ms:8.0f}"
            f"{kind.mbytes:7.1f}{kind.mbytes / kind.ms:7.1f}{kind.arithmetic_floor_ms:21.2f}{kind.memory_floor_ms:8.2f}"
            f"      {kind.bound}"
        )
    totals = (sum(kind.ms for kind in kinds), sum(kind.gmacs for kind in kinds), sum(kind.mbytes for kind in kinds))
    print(f"  in all: {totals[0]:.1f} ms, {totals[1]:.3f} G multiply-adds, {totals[2]:.0f} MB", flush=True)
