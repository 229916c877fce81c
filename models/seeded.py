"""A network whose weights follow from a seed. Knows no family."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def seeded(make: Callable[[], NetworkT], seed: int) -> NetworkT:
    """On the CPU, in eval mode; the weights follow from (make, seed); torch's own random numbers stay as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return make().eval()
