"""Tiny seeded recognizers whose cubes and answers differ from clip to clip: what the tests of AdaFocusV3 share."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.adafocus.network import AdaFocusV3, build_network
from models.adafocus.parts import make_recognizer
from models.adafocus.recognizer import AdaFocusRecognizer, AdaFocusState
from models.adafocus.shapes import tiny
from models.recognizer import Frames, Recognizer
from models.runtime.base import Array, Arrays, Function, Runtime
from models.runtime.parts import Part
from models.runtime.torch_runtime import light_function, tensors_on
from video.clip import ClipRule

FRAME_CUBES = tiny()
CLIP_CUBES = replace(
    FRAME_CUBES, cube_size=(3, 32, 32), max_cubes=2, temporal_shift=True, aggregation="average", policy_hidden=(16, 8)
)
STATISTICS_CLIP_CUBES = replace(CLIP_CUBES, aggregation="joint_statistics", temporal_shift=False)
DIFFERENCE_CUBES = replace(STATISTICS_CLIP_CUBES, focus_input="differences")
SHIFTED_DIFFERENCES = replace(CLIP_CUBES, focus_input="differences")
CUBES_ALONE = replace(FRAME_CUBES, glance_features=False)
POOLED_CLIP_CUBES = replace(CLIP_CUBES, aggregation="max_pool", max_cubes=4)
FORMS = [
    pytest.param(FRAME_CUBES, id="frame cubes"),
    pytest.param(CLIP_CUBES, id="clip cubes, averaged"),
    pytest.param(POOLED_CLIP_CUBES, id="clip cubes, max-pooled"),
    pytest.param(STATISTICS_CLIP_CUBES, id="clip cubes, statistics over frames"),
    pytest.param(DIFFERENCE_CUBES, id="clip cubes of differences, statistics over frames"),
    pytest.param(SHIFTED_DIFFERENCES, id="clip cubes of differences with temporal shift, averaged"),
    pytest.param(CUBES_ALONE, id="frame cubes without glance features"),
]


@dataclass
class EagerRuntime:
    """The modules themselves, in fp32; remembers what ran on how many rows."""

    name: str = "eager"
    precision: str = "fp32"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    arrays: Arrays = field(default_factory=lambda: tensors_on(torch.device("cpu")))
    ran: list[tuple[str, int]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def execute(self, part: Part, *, key: str) -> Function:
        if not part.heavy:
            return light_function(part.module, self.device)
        network = self.compile(part.module, part.examples[0], key=key)

        def look(rows: Array) -> Array:
            found = network(torch.as_tensor(rows))
            return tuple(tensor.detach() for tensor in found) if isinstance(found, tuple) else found.detach()

        return look

    def compile(self, module: nn.Module, example: Tensor, *, key: str) -> Callable[[Tensor], Tensor]:
        assert example.dtype == torch.uint8
        self.keys.append(key)

        def run(rows_NHWC: Tensor) -> Tensor:
            assert rows_NHWC.dtype == torch.uint8
            assert rows_NHWC.shape[1:] == example.shape[1:]
            self.ran.append((type(module).__name__, len(rows_NHWC)))
            result: Tensor = module(rows_NHWC)
            return result

        return run


def lively_network(config: AdaFocusConfig, seed: int = 0) -> AdaFocusV3:
    """Seeded, with last layers scaled up: cubes differ from clip to clip and reach the edges, predictions are sure."""
    network = build_network(config, seed)
    with torch.no_grad():
        network.policy.layers[-2].weight.mul_(30)
        for name, parameter in network.classifier.named_parameters():
            if "head" in name:
                parameter.mul_(5)
    return network


def clip_rule(config: AdaFocusConfig) -> ClipRule:
    return ClipRule(config.num_frames, *config.frame_size, "letterbox")


def recognizer_of(
    config: AdaFocusConfig, runtime: Runtime | EagerRuntime | None = None, temperature: float = 1.0
) -> AdaFocusRecognizer:
    temperatures = [temperature] * (config.max_cubes + 1)
    return make_recognizer(lively_network(config), clip_rule(config), temperatures, runtime or EagerRuntime())


def clips(config: AdaFocusConfig, count: int, seed: int = 0) -> list[Frames]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (config.num_frames, *config.frame_size, 3), np.uint8) for _ in range(count)]


def run_alone(recognizer: Recognizer[AdaFocusState], clip_THWC: Frames) -> list[AdaFocusState]:
    """Every state of one clip, all steps."""
    states = recognizer.glance([clip_THWC])
    while len(states) < len(recognizer.step_flops):
        states += recognizer.focus(states[-1:])
    return states


def assert_same(state: AdaFocusState, other: AdaFocusState, tolerance: float = 1e-5) -> None:
    assert (state.step, state.cube, state.cubes) == (other.step, other.cube, other.cubes)
    np.testing.assert_allclose(state.probabilities_C, other.probabilities_C, atol=tolerance)
    np.testing.assert_allclose(state.logits_C, other.logits_C, atol=10 * tolerance)  # they are larger than scores
    assert state.entropy_nats == pytest.approx(other.entropy_nats, abs=tolerance)
