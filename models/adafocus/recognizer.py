"""AdaFocusV3 behind the recognizer protocol: batches of glances, batches of cubes of clips at different steps.

Knows the shape of the computation and its price, not what executes the heavy parts (a `Runtime`) nor who asks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.adafocus.network import AdaFocusV3
from models.recognizer import ClipSpec, Cube, Frames


class Runtime(Protocol):
    """What executes the heavy networks. Light parts (policy, heads, softmax) stay torch in fp32 on `device`."""

    @property
    def device(self) -> torch.device: ...

    def compile(self, module: nn.Module, example: torch.Tensor, *, key: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """`module` maps one uint8 (N, H, W, 3) tensor to one float32 tensor; N is dynamic (a multiple of example's)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class AdaFocusState:
    step: int
    probabilities_C: NDArray[np.float32]
    entropy_nats: float
    cube: Cube | None
    clip_THWC: Frames


class AdaFocusRecognizer:
    """Satisfies `models.recognizer.Recognizer[AdaFocusState]`."""

    def __init__(
        self, network: AdaFocusV3, clip_spec: ClipSpec, temperatures: Sequence[float], runtime: Runtime
    ) -> None: ...

    @property
    def clip_spec(self) -> ClipSpec: ...

    @property
    def costs(self) -> tuple[int, ...]: ...

    def glance(self, clips_THWC: Sequence[Frames]) -> list[AdaFocusState]: ...

    def focus(self, states: Sequence[AdaFocusState]) -> list[AdaFocusState]: ...
