"""The two bridges for inference: all heads in one matrix product, softmax along rows of memory, no transpositions.

Not for training: more multiply-adds (a head's queries and keys are widened by zeros to all channels), of which there
are few, for less moving of memory. OpenVINO's softmax over the last axis takes its time per row: six tokens are one.

Shape suffixes as in `models.mobile_former.former`, and Q = M * G: each token once per head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.mobile_former.former import FormerToMobile, MobileToFormer


class FoldedMobileToFormer(nn.Module):
    head_GC: Tensor

    def __init__(self, bridge: MobileToFormer) -> None:
        super().__init__()
        channels = bridge.query.out_features
        self.num_heads = bridge.num_heads
        self.query = one_head_each(bridge.query, bridge.num_heads, (channels // bridge.num_heads) ** -0.5)
        self.gate, self.out, self.norm = bridge.gate, bridge.out, bridge.norm
        self.register_buffer("head_GC", head_masks(channels, bridge.num_heads), persistent=False)

    def forward(self, x_BCTHW: Tensor, tokens_BLMD: Tensor) -> Tensor:
        x_BLPC = positions(x_BCTHW, tokens_BLMD.shape[1])
        query_BLQC = widened(self.query(tokens_BLMD), self.num_heads)
        weights_BLQP = (query_BLQC @ x_BLPC.transpose(2, 3)).softmax(dim=3)
        found_BLMGC = (weights_BLQP @ x_BLPC).reshape(*tokens_BLMD.shape[:3], *self.head_GC.shape)
        found_BLMC = (found_BLMGC * self.head_GC).sum(dim=3) * (2 * F.hardsigmoid(self.gate(tokens_BLMD)))
        looked_BLMD: Tensor = self.norm(tokens_BLMD + self.out(found_BLMC))
        return looked_BLMD


class FoldedFormerToMobile(nn.Module):
    def __init__(self, bridge: FormerToMobile) -> None:
        super().__init__()
        self.num_heads = bridge.num_heads
        width = bridge.key.out_features // bridge.num_heads
        self.key = one_head_each(bridge.key, bridge.num_heads, width**-0.5)
        self.value = one_head_each(bridge.value, bridge.num_heads)

    def forward(self, y_BCTHW: Tensor, tokens_BLMD: Tensor) -> Tensor:
        batch, channels, num_frames, height, width = y_BCTHW.shape
        y_BLPC = positions(y_BCTHW, tokens_BLMD.shape[1])
        key_BLQC = widened(self.key(tokens_BLMD), self.num_heads)
        value_BLQC = widened(self.value(tokens_BLMD), self.num_heads)
        logits_BLQP = key_BLQC @ y_BLPC.transpose(2, 3)
        logits_BLMGP = logits_BLQP.reshape(*tokens_BLMD.shape[:3], self.num_heads, -1)
        weights_BLQP = logits_BLMGP.softmax(dim=2).flatten(2, 3)
        taken_BLPC = weights_BLQP.transpose(2, 3) @ value_BLQC
        taken_BTHWC = taken_BLPC.reshape(batch, num_frames, height, width, channels)
        given_BCTHW: Tensor = y_BCTHW + taken_BTHWC.permute(0, 4, 1, 2, 3)
        return given_BCTHW


def positions(x_BCTHW: Tensor, num_sets: int) -> Tensor:
    """x_BLPC, which in channels-last memory is a view."""
    batch, channels = x_BCTHW.shape[:2]
    return x_BCTHW.permute(0, 2, 3, 4, 1).reshape(batch, num_sets, -1, channels)


def widened(projected_BLMX: Tensor, num_heads: int) -> Tensor:
    """(B, L, M, G * C) to (B, L, Q, C)."""
    batch, num_sets, _, width = projected_BLMX.shape
    return projected_BLMX.reshape(batch, num_sets, -1, width // num_heads)


def head_masks(channels: int, num_heads: int) -> Tensor:
    """mask_GC: 1 where the channel is the head's."""
    return torch.eye(num_heads).repeat_interleave(channels // num_heads, dim=1)


def one_head_each(linear: nn.Linear, num_heads: int, scale: float = 1.0) -> nn.Linear:
    """To G * C features: for each head all channels, zero in the other heads'."""
    weight_CD, bias_C = linear.weight.detach(), linear.bias.detach()
    mask_GC = head_masks(len(bias_C), num_heads).to(weight_CD) * scale
    wide = nn.Linear(linear.in_features, mask_GC.numel())
    wide.weight = nn.Parameter((mask_GC[..., None] * weight_CD).flatten(0, 1), requires_grad=False)
    wide.bias = nn.Parameter((mask_GC * bias_C).flatten(), requires_grad=False)
    return wide
