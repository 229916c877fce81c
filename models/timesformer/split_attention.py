"""Attention as inference computes it: query, key and value projected apart. Knows no scheme.

Shape suffixes: N groups, L tokens of a group, M tokens that ask, H heads, D features, d features of a head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.timesformer.block import Attention


class SplitAttention(nn.Module):
    """Three products in place of one: OpenVINO then transposes nothing of what they give (6 % of a bf16 pass)."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.query, self.key, self.value = (_third(attention.qkv, number) for number in range(3))
        self.proj = attention.proj

    def forward(self, tokens_NLD: Tensor, asking_NMD: Tensor | None = None) -> Tensor:
        """What the tokens, or only those that ask, take from all of their group."""
        tokens_NLD = self._laid_out(tokens_NLD)
        asking_NMD = tokens_NLD if asking_NMD is None else self._laid_out(asking_NMD)
        query_NHMd = self._heads(self.query(asking_NMD))
        key_NHLd, value_NHLd = self._heads(self.key(tokens_NLD)), self._heads(self.value(tokens_NLD))
        mixed_NHMd = F.scaled_dot_product_attention(query_NHMd, key_NHLd, value_NHLd)
        found: Tensor = self.proj(mixed_NHMd.transpose(1, 2).reshape(asking_NMD.shape))
        return found

    def _laid_out(self, tokens_NLD: Tensor) -> Tensor:
        """Cast once for three products. Of a strided view torch would multiply row by row, each with its copy of the
        weights."""
        return tokens_NLD.to(self.query.weight.dtype).contiguous()

    def _heads(self, projected_NLD: Tensor) -> Tensor:
        length, dim = projected_NLD.shape[1:]
        return projected_NLD.reshape(-1, length, self.num_heads, dim // self.num_heads).transpose(1, 2)


def _third(joined: nn.Linear, number: int) -> nn.Linear:
    dim = joined.in_features
    part = nn.Linear(dim, dim)
    with torch.no_grad():
        part.weight.copy_(joined.weight[number * dim : (number + 1) * dim])
        part.bias.copy_(joined.bias[number * dim : (number + 1) * dim])
    return part.requires_grad_(False)
