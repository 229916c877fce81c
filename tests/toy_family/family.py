"""A family that the code was not written for: a glance at the mean colour of one frame, then a look at all of them.

Two steps, no cube, a dozen numbers to learn. What `tests/integration/test_toy_family.py` adds to the table.

Shape suffixes: B clips, T frames, H rows, W columns, E exits, C classes or colours.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.answers import answers, cache_key, check_clip, check_rule
from models.family import Family, Head
from models.flops import count_call_flops
from models.recognizer import Cube, Frames
from models.runtime.base import Runtime
from video.clip import ClipRule


@dataclass(frozen=True, slots=True)
class ToyConfig:
    family: ClassVar[str] = "toy"
    num_classes: int
    num_frames: int = 4
    frame_size: tuple[int, int] = (32, 32)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ToyConfig":
        try:
            return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
        except TypeError as error:
            raise ValueError(f"not a ToyConfig: {error}") from error


class Colours(nn.Module):
    """frames_NHWC uint8 to one colour per frame, by a convolution over the frame shrunk to four cells."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 1)

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        pixels_NCHW = frames_NHWC.permute(0, 3, 1, 2).to(self.mix.weight.dtype) / 255
        colours_NC: Tensor = self.mix(nn.functional.adaptive_avg_pool2d(pixels_NCHW, 2)).mean(dim=(2, 3))
        return colours_NC


class Toy(nn.Module):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.colours = Colours()
        self.first = nn.Linear(3, config.num_classes)
        self.second = nn.Linear(3, config.num_classes)

    def forward(self, clips_BTHWC: Tensor) -> Tensor:
        """logits_BEC of both exits."""
        colours_BTC = self.colours(clips_BTHWC.flatten(0, 1)).view(*clips_BTHWC.shape[:2], 3)
        return torch.stack((self.first(colours_BTC[:, 0]), self.second(colours_BTC.mean(dim=1))), dim=1)


def build_network(config: ToyConfig, seed: int) -> Toy:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Toy(config).eval()


def step_flops(config: ToyConfig) -> tuple[int, ...]:
    with torch.device("meta"):
        network = Toy(config)
        frame_NHWC = torch.empty(1, *config.frame_size, 3, dtype=torch.uint8)
        frame = count_call_flops(network.colours, frame_NHWC)
        head = count_call_flops(network.first, torch.empty(1, 3))
    return frame + head, (config.num_frames - 1) * frame + head


@dataclass(frozen=True, slots=True, eq=False)
class ToyState:
    step: int
    probabilities_C: NDArray[np.float32]
    entropy_nats: float
    clip_THWC: Frames
    cube: Cube | None = None


class ToyRecognizer:
    def __init__(self, network: Toy, clip_rule: ClipRule, temperatures: Sequence[float], runtime: Runtime) -> None:
        config = network.config
        self._clip_size = (config.num_frames, *config.frame_size)
        check_rule(clip_rule, self._clip_size, temperatures, exits=2)
        self.clip_rule = clip_rule
        self.step_flops = step_flops(config)
        self._temperatures = tuple(temperatures)
        example_NHWC = torch.zeros(1, *config.frame_size, 3, dtype=torch.uint8)
        key = cache_key("toy", network.colours, config.to_dict())
        self._colours = runtime.compile(network.colours, example_NHWC, key=key)
        self._heads = [copy.deepcopy(head).eval().to(runtime.device) for head in (network.first, network.second)]

    def glance(self, clips_THWC: Sequence[Frames]) -> list[ToyState]:
        for clip_THWC in clips_THWC:
            check_clip(clip_THWC, self._clip_size)
        return self._looked(0, clips_THWC, [clip_THWC[:1] for clip_THWC in clips_THWC]) if clips_THWC else []

    def focus(self, states: Sequence[ToyState]) -> list[ToyState]:
        if any(state.step for state in states):
            raise ValueError("a state at step 1 has no step left: a toy looks twice")
        clips_THWC = [state.clip_THWC for state in states]
        return self._looked(1, clips_THWC, clips_THWC) if states else []

    @torch.inference_mode()
    def _looked(self, step: int, clips_THWC: Sequence[Frames], seen_THWC: Sequence[Frames]) -> list[ToyState]:
        colours_NC = self._colours(torch.from_numpy(np.concatenate(seen_THWC)))
        colours_BC = colours_NC.view(len(seen_THWC), -1, 3).mean(dim=1)
        found = answers(self._heads[step](colours_BC), [self._temperatures[step]] * len(clips_THWC))
        return [ToyState(step, *answer, clip_THWC) for answer, clip_THWC in zip(found, clips_THWC, strict=True)]


def _heads(network: Toy) -> list[Head]:
    return [Head(head, head.weight, head.bias) for head in (network.first, network.second)]


FAMILY = Family(
    name=ToyConfig.family,
    title="toy",
    read_config=ToyConfig.from_dict,
    build_network=build_network,
    step_flops=step_flops,
    make_recognizer=ToyRecognizer,
    heads=_heads,
    variants={"toy-small": ToyConfig, "toy-long": lambda num_classes: replace(ToyConfig(num_classes), num_frames=8)},
)
