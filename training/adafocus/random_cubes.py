"""Cubes in random places instead of learned ones, to compare with (Table 5's baselines). Knows no data.

Shape suffixes: B clips, K cubes, T frames, C channels, h and w cells, 3 = (t, y, x).
"""

from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from models.adafocus.network import AdaFocusV3
from training.judge.results import Coordinates


def randomise(network: AdaFocusV3, coordinates: Coordinates, seed: int) -> None:
    """From now on `network` draws these coordinates of its cubes uniformly, whatever it sees (Table 5's baselines)."""
    if coordinates not in get_args(Coordinates):
        raise ValueError(f"cannot draw {coordinates!r} at random, only {', '.join(get_args(Coordinates))}")
    network.policy = RandomPolicy(network.policy, coordinates, seed)  # type: ignore[assignment]


class RandomPolicy(nn.Module):
    """In place of a policy. Positions follow from the seed and the number of clips seen before."""

    def __init__(self, learned: nn.Module, coordinates: Coordinates, seed: int) -> None:
        super().__init__()
        self.learned = learned
        self._drawn = [name in coordinates.split("-") for name in ("time", "space", "space")]
        self._rng = np.random.default_rng(seed)

    def forward(self, maps_BTChw: Tensor) -> Any:
        positions_BK3: Tensor = self.learned(maps_BTChw)
        random_BK3 = torch.from_numpy(self._rng.random(tuple(positions_BK3.shape))).to(positions_BK3)
        return torch.where(torch.tensor(self._drawn, device=positions_BK3.device), random_BK3, positions_BK3)
