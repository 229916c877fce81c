"""On an NVIDIA GPU the same answers as on the CPU. Skipped where there is none; `python -m benchmarks.gpu` runs it."""

import numpy as np
import pytest
import torch

from benchmarks.gpu import captured, prepared
from models.adafocus.network import build_network
from models.adafocus.parts import make_recognizer
from models.adafocus.recognizer import AdaFocusRecognizer
from models.adafocus.shapes import tiny
from models.runtime import RuntimeConfig, make_runtime
from models.runtime.torch_runtime import TorchRuntime
from models.timesformer.config import TimeSformerConfig, base
from models.timesformer.folding import fold
from models.timesformer.network import build_network as build_timesformer
from video.clip import ClipRule

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")

RULE = ClipRule(num_frames=6, height_px=64, width_px=64, resize="stretch")


def clips(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (6, 64, 64, 3), dtype=np.uint8) for _ in range(count)]


def recognizer(device: str) -> AdaFocusRecognizer:
    runtime = TorchRuntime(device=torch.device(device), precision="fp32", num_threads=1)
    return make_recognizer(build_network(tiny(), seed=0), RULE, [1.0] * 4, runtime)


def test_torch_takes_the_gpu_by_itself() -> None:
    assert make_runtime(RuntimeConfig(name="auto")).device.type == "cuda"


def test_every_step_answers_as_on_the_cpu() -> None:
    on_cpu, on_gpu = recognizer("cpu"), recognizer("cuda")
    some = clips(3)
    states, others = on_cpu.glance(some), on_gpu.glance(some)
    for step in range(4):
        for one, other in zip(states, others, strict=True):
            assert other.cube == one.cube
            np.testing.assert_allclose(other.probabilities_C, one.probabilities_C, atol=1e-3)
        if step < 3:
            states, others = on_cpu.focus(states), on_gpu.focus(others)


def test_answers_do_not_depend_on_the_company() -> None:
    on_gpu, some = recognizer("cuda"), clips(5)
    for alone, together in zip([on_gpu.glance([one])[0] for one in some], on_gpu.glance(some), strict=True):
        np.testing.assert_allclose(together.probabilities_C, alone.probabilities_C, atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_graph_gives_what_its_launches_give(precision: str) -> None:
    config = TimeSformerConfig.from_dict(
        base(10).to_dict() | {"num_frames": 2, "view_size": (32, 32), "depth": 2, "dim": 48, "num_heads": 4}
    )
    pixels = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, device="cuda")
    run = prepared(fold(build_timesformer(config, seed=0).encoder), precision, pixels)  # type: ignore[arg-type]
    torch.testing.assert_close(captured(run)(), run(), atol=1e-2, rtol=1e-2)
