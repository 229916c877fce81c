"""Whether 8-bit integers make Video Mobile-Former faster beside X3D-S, and what they cost the shipped bundle's answers.

Post-training quantisation by NNCF, which Fovea does not need: `pip install nncf` beside it. All of a network, or its
1x1 convolutions alone; what is left runs in bf16 where the machine has it.
`--answers VIDEOS` judges instead: agreement with fp32 and accuracy on the videos that the bundle was calibrated on.
"""

import argparse
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.mobile_former import PAPER_RATIOS, X3D, modules, seconds
from models import load_model
from models.loading import load_network
from models.mobile_former.network import VideoMobileFormer
from models.mobile_former.parts import make_recognizer
from models.recognizer import Frames
from models.runtime import Network, RuntimeConfig, make_runtime
from models.runtime.config import Precision
from models.runtime.openvino_runtime import OpenVinoRuntime, import_openvino
from models.runtime.parts import Part
from models.runtime.serialised import join, split
from training.data.dataset import read_dataset
from training.data.frames import FrameStore
from training.data.groups import hold_out_groups
from training.judge.observe import label_numbers

ROUNDS = 9
BUNDLE = "video-mobile-former-compact"
CALIBRATING_CLIPS = 50  # of those that the bundle was trained on
Scope: TypeAlias = Literal["none", "1x1", "all"]
SCOPES: tuple[Scope, ...] = get_args(Scope)


class QuantisedRuntime(OpenVinoRuntime):
    """Heavy parts have weights and activations of 8 bits, within `scope`, as calibrated on `rows`."""

    def __init__(
        self, precision: Precision, threads: int, cache: Path | None, scope: Scope, rows: Sequence[Any]
    ) -> None:
        super().__init__(import_openvino(), precision=precision, num_threads=threads, cache_dir=cache)
        self._scope, self._rows = scope, rows

    def _convert(self, part: Part) -> bytes:
        converted = super()._convert(part)
        if self._scope == "none" or not part.heavy:
            return converted
        import nncf  # noqa: PLC0415  # not among Fovea's packages

        nncf.set_log_level(logging.ERROR)
        model = self._core.read_model(*split(converted))
        ignored = [] if self._scope == "all" else [name for name, is_1x1 in _convolved(model).items() if not is_1x1]
        quantised = nncf.quantize(
            model,
            nncf.Dataset(list(self._rows)),
            subset_size=len(self._rows),
            ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
        )
        with tempfile.TemporaryDirectory() as folder:
            xml = Path(folder, "model.xml")
            self._openvino.save_model(quantised, xml, compress_to_fp16=False)
            return join(xml.read_bytes(), xml.with_suffix(".bin").read_bytes())


def _convolved(model: Any) -> dict[str, bool]:
    """By name, of each node: whether it is a 1x1 convolution."""
    found = {}
    for node in model.get_ordered_ops():
        kernel = node.input_value(1).get_shape()[2:] if node.get_type_name() == "Convolution" else (0,)
        found[node.get_friendly_name()] = set(kernel) == {1}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantised", description=__doc__)
    parser.add_argument("--cache", type=Path, help="where quantised networks are kept: a second run only measures")
    parser.add_argument("--prepare", action="store_true", help="only fill the cache")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processor", action="store_true", help="the processor's time: on a machine that others use")
    parser.add_argument("--json", type=Path, help="where to write the measurements")
    parser.add_argument("--answers", type=Path, metavar="VIDEOS", help="judge the shipped bundle's answers instead")
    parser.add_argument("--frames", type=Path, help="where decoded videos are kept")
    arguments = parser.parse_args()
    if arguments.answers:
        report = judge(arguments.answers, arguments.frames or arguments.answers / "frames", arguments.threads)
    else:
        report = measure(arguments.threads, arguments.cache, prepare=arguments.prepare, processor=arguments.processor)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def measure(threads: int, cache: Path | None, *, prepare: bool, processor: bool) -> dict[str, dict[str, float]]:
    """Medians in ms and X3D-S's time over each one's, by scope and model, of interleaved rounds on 64 random frames."""
    precision = make_runtime(RuntimeConfig(name="openvino")).precision
    assert precision in ("fp32", "bf16")
    networks: dict[tuple[Scope, str], tuple[Network, torch.Tensor]] = {}
    for name in (X3D, *PAPER_RATIOS):
        forms, frames_NHWC, _ = modules(name, folded=True)
        for scope in SCOPES:
            runtime = QuantisedRuntime(precision, threads, cache, scope, [frames_NHWC.numpy()])
            network = runtime.compile(forms[0], frames_NHWC, key=f"quantised {name} {scope}", one_by_one=True)
            if not prepare:
                networks[scope, name] = network, frames_NHWC
    if prepare:
        return {}
    times_s: dict[tuple[Scope, str], list[float]] = {each: [] for each in networks}
    for network, frames_NHWC in networks.values():
        network(frames_NHWC)
    for _ in range(ROUNDS):
        for each, (network, frames_NHWC) in networks.items():
            start_s = time.process_time()
            wall_s = seconds(network, frames_NHWC)
            times_s[each].append(time.process_time() - start_s if processor else wall_s)
    report: dict[str, dict[str, float]] = {}
    print(f"OpenVINO, {threads} threads, 64 frames; what is not of 8 bits is {precision}; {ROUNDS} rounds")
    for (scope, name), own_s in times_s.items():
        median_ms = 1e3 * statistics.median(own_s)
        ratio, gain = (
            statistics.median(other / own for other, own in zip(times_s[other_scope, other_name], own_s, strict=True))
            for other_scope, other_name in ((scope, X3D), (SCOPES[0], name))
        )
        report[f"{name} {scope}"] = {"ms": median_ms, "least_ms": 1e3 * min(own_s), "ratio": ratio, "gain": gain}
        print(
            f"  {name:<6}{scope:<5}{median_ms:8.1f} ms (least {1e3 * min(own_s):.1f}), {gain:.2f} times as fast"
            f", X3D-S takes {ratio:.1f} times as long (paper {PAPER_RATIOS.get(name, 1.0)})"
        )
    return report


def judge(videos: Path, frames: Path, threads: int) -> dict[str, dict[str, float]]:
    """Of the shipped bundle, by precision and scope: accuracy on the clips it was calibrated on, which no epoch saw."""
    model = load_model(BUNDLE, runtime=RuntimeConfig(name="torch", precision="fp32"))
    rule = model.recognizer.clip_rule
    store = FrameStore(frames, rule.source_short_side_px or 0)
    learning, held_out = hold_out_groups(read_dataset(videos).split("train"), 0.2, 0)
    numbers = label_numbers(held_out, model.bundle.labels)
    labels_N = np.array([numbers[sample.label] for sample in held_out.samples])
    clips = [store.clip(sample.path, rule) for sample in held_out.samples]
    every = max(1, len(learning.samples) // CALIBRATING_CLIPS)
    rows = [store.clip(sample.path, rule) for sample in learning.samples[::every]]
    print(f"{len(clips)} held-out clips; {len(rows)} clips to calibrate on", flush=True)
    in_fp32_N = _told(model.recognizer, clips)
    report = {"fp32": _judged("fp32", in_fp32_N, labels_N, in_fp32_N)}
    for scope in SCOPES:
        network = load_network(model.bundle)
        assert isinstance(network, VideoMobileFormer)
        runtime = QuantisedRuntime("bf16", threads, None, scope, rows)
        told_N = _told(make_recognizer(network, rule, model.bundle.calibration.temperatures_K, runtime), clips)
        report[scope] = _judged(f"bf16, 8 bits: {scope}", told_N, labels_N, in_fp32_N)
    return report


def _judged(
    name: str, told_N: NDArray[np.int64], labels_N: NDArray[np.int64], in_fp32_N: NDArray[np.int64]
) -> dict[str, float]:
    right, alike = float(np.mean(told_N == labels_N)), float(np.mean(told_N == in_fp32_N))
    print(f"  {name:<18} {right:6.1%} right, {alike:6.1%} as in fp32", flush=True)
    return {"accuracy": right, "as_fp32": alike}


def _told(recognizer: Any, clips: Sequence[Frames]) -> NDArray[np.int64]:
    return np.array([int(recognizer.glance([clip])[0].probabilities_C.argmax()) for clip in clips])


if __name__ == "__main__":
    main()
