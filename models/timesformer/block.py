"""One block: the attention steps of a scheme, each with its own projections, then the MLP. Knows no picture.

Shape suffixes: B clips, P patches, N groups, L tokens of a group, D features, H heads.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.timesformer.config import TimeSformerConfig
from models.timesformer.grouping import STEPS, Grouping, grouping

NORM_EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention within each group; query, key and value in one product."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens_NLD: Tensor) -> Tensor:
        length, dim = tokens_NLD.shape[1:]
        heads = self.qkv(tokens_NLD).reshape(-1, length, 3, self.num_heads, dim // self.num_heads)
        query_NHLd, key_NHLd, value_NHLd = heads.permute(2, 0, 3, 1, 4).unbind(0)
        mixed_NHLd = F.scaled_dot_product_attention(query_NHLd, key_NHLd, value_NHLd)
        found: Tensor = self.proj(mixed_NHLd.transpose(1, 2).reshape(-1, length, dim))
        return found


class PatchStep(nn.Module):
    """A step before the last: patches alone, with a norm and a second projection of its own.

    The second projection starts at zero, so that a block starts as if the step were not there. No nonlinearity stands
    between the two: see `folding`.
    """

    def __init__(self, dim: int, num_heads: int, grouping: Grouping) -> None:
        super().__init__()
        self.grouping = grouping
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attention: nn.Module = Attention(dim, num_heads)
        self.fc: nn.Module = nn.Linear(dim, dim)

    def forward(self, patches_BPD: Tensor) -> Tensor:
        """What the step adds."""
        found_NLD = self.attention(self.norm(self.grouping.split(patches_BPD)))
        return self.fc(self.grouping.join(found_NLD))  # type: ignore[no-any-return]  # fc may be an identity


class Block(nn.Module):
    """tokens_BSD (the class token, then the patches) to the same."""

    def __init__(self, config: TimeSformerConfig, drop_path: float) -> None:
        super().__init__()
        frames = 1 if config.scheme == "space" else config.num_frames
        *before, last = (grouping(step, frames, config.grid) for step in STEPS[config.scheme])
        dim, num_heads = config.dim, config.num_heads
        self.drop_path = drop_path
        self.patch_steps = nn.ModuleList(PatchStep(dim, num_heads, one) for one in before)
        self.grouping = last
        self.norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attention: nn.Module = Attention(dim, num_heads)
        self.mlp_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp_in = nn.Linear(dim, config.mlp_dim)
        self.mlp_out = nn.Linear(config.mlp_dim, dim)

    def forward(self, tokens_BSD: Tensor) -> Tensor:
        for step in self.patch_steps:
            patches_BPD = tokens_BSD[:, 1:]
            patches_BPD = patches_BPD + self._dropped(step(patches_BPD))
            tokens_BSD = torch.cat((tokens_BSD[:, :1], patches_BPD), dim=1)
        tokens_BSD = tokens_BSD + self._dropped(self._last_step(tokens_BSD))
        hidden_BSM = F.gelu(self.mlp_in(self.mlp_norm(tokens_BSD)))
        return tokens_BSD + self._dropped(self.mlp_out(hidden_BSM))

    def _last_step(self, tokens_BSD: Tensor) -> Tensor:
        """The class token joins every group, and what they tell it is averaged."""
        num_groups, dim = self.grouping.num_groups, tokens_BSD.shape[-1]
        if num_groups == 1:
            return self.attention(self.norm(tokens_BSD))  # type: ignore[no-any-return]
        classes_N1D = tokens_BSD[:, :1].expand(-1, num_groups, -1).reshape(-1, 1, dim)
        groups_NLD = torch.cat((classes_N1D, self.grouping.split(tokens_BSD[:, 1:])), dim=1)
        found_NLD = self.attention(self.norm(groups_NLD))
        mean_B1D = found_NLD[:, 0].reshape(-1, num_groups, dim).mean(dim=1, keepdim=True)
        return torch.cat((mean_B1D, self.grouping.join(found_NLD[:, 1:])), dim=1)

    def _dropped(self, found_BSD: Tensor) -> Tensor:
        """Training only: the whole addition of a clip left out, now and then (stochastic depth)."""
        if not self.training or not self.drop_path:
            return found_BSD
        kept_B11 = torch.rand(len(found_BSD), 1, 1, device=found_BSD.device) >= self.drop_path
        return found_BSD * kept_B11 / (1 - self.drop_path)
