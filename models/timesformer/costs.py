"""What a view costs. Knows no weights: prices follow from the configuration.

Multiply-adds of the network as it was published, both attention products included: what the paper calls FLOPs, three
views together. `folding` makes it cheaper by what the price does not show.
"""

from functools import cache

import torch

from models.flops import count_call_flops
from models.timesformer.config import TimeSformerConfig
from models.timesformer.network import TimeSformer


@cache
def step_flops(config: TimeSformerConfig) -> tuple[int, ...]:
    """A price per view: all the same."""
    with torch.device("meta"):
        network = TimeSformer(config).eval()
        views_BTHWC = torch.empty(1, config.num_frames, *config.view_size, 3, dtype=torch.uint8)
        flops = count_call_flops(network, views_BTHWC)
    return (flops,) * config.num_views


@cache
def num_parameters(config: TimeSformerConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in TimeSformer(config).parameters())
