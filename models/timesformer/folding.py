"""The same function with fewer operations, for inference: what a runtime executes in place of an encoder.

Knows no runtime. Exact up to rounding; prices are those of the encoder as it was trained.
"""

import copy

import torch
from torch import Tensor, nn

from models.timesformer.block import Attention, Block, PatchStep
from models.timesformer.divided import DividedEncoder
from models.timesformer.network import Encoder
from models.timesformer.split_attention import SplitAttention


def fold(encoder: Encoder) -> nn.Module:
    """A copy in eval mode in which each pair of projections that follow each other is one: 5.7 % fewer operations of
    divided attention at 8 x 224, half a million parameters fewer in each such step. Query, key and value are projected
    apart. Divided attention is laid out anew besides: see `divided`."""
    folded = copy.deepcopy(encoder).eval().requires_grad_(False)
    for module in list(folded.modules()):
        if not isinstance(module, PatchStep | Block):
            continue
        attention = module.attention
        assert isinstance(attention, Attention)
        if isinstance(module, PatchStep):
            assert isinstance(module.fc, nn.Linear)
            attention.proj = _product(module.fc, attention.proj)
            module.fc = nn.Identity()
        module.attention = SplitAttention(attention)
    return DividedEncoder(folded) if encoder.config.scheme == "divided" else folded


def _product(outer: nn.Linear, inner: nn.Linear) -> nn.Linear:
    """outer(inner(x)), multiplied in double precision."""
    product = nn.Linear(inner.in_features, outer.out_features)
    outer_weight: Tensor = outer.weight.detach().double()
    with torch.no_grad():
        product.weight.copy_(outer_weight @ inner.weight.detach().double())
        product.bias.copy_(outer_weight @ inner.bias.detach().double() + outer.bias.detach().double())
    return product.requires_grad_(False)
