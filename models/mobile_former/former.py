"""The Former branch, and the two bridges between it and the Mobile branch. Queries, keys and values are projected on
the tokens' side alone: there are few of them.

Shape suffixes: B clips, C channels, T frames, H rows, W columns, L = 1 or T sets of tokens a clip (all positions of the
clip share one set, or each frame has its own), M tokens a set, D token features, G heads, P positions that a set sees,
c = C / G channels of a head, d = D / G.
"""

from torch import Tensor, nn
from torch.nn import functional as F


def split_positions(x_BCTHW: Tensor, num_sets: int, num_heads: int) -> Tensor:
    """x_BLGPc, which in channels-last memory is a view."""
    batch, channels = x_BCTHW.shape[:2]
    x_BLPGc = x_BCTHW.permute(0, 2, 3, 4, 1).reshape(batch, num_sets, -1, num_heads, channels // num_heads)
    return x_BLPGc.transpose(2, 3)


def split_heads(tokens_BLMC: Tensor, num_heads: int) -> Tensor:
    """tokens_BLGMc."""
    batch, num_sets, num_tokens, channels = tokens_BLMC.shape
    return tokens_BLMC.reshape(batch, num_sets, num_tokens, num_heads, channels // num_heads).transpose(2, 3)


class MobileToFormer(nn.Module):
    """Tokens look at the positions of the Mobile branch (Eq. 3), with Mobile-Former's gate on what they find."""

    def __init__(self, channels: int, token_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(token_dim, channels)
        self.gate = nn.Linear(token_dim, channels)
        self.out = nn.Linear(channels, token_dim)
        self.norm = nn.LayerNorm(token_dim)

    def forward(self, x_BCTHW: Tensor, tokens_BLMD: Tensor) -> Tensor:
        x_BLGPc = split_positions(x_BCTHW, tokens_BLMD.shape[1], self.num_heads)
        query_BLGMc = split_heads(self.query(tokens_BLMD), self.num_heads)
        weights_BLGMP = (query_BLGMc * x_BLGPc.shape[-1] ** -0.5 @ x_BLGPc.transpose(3, 4)).softmax(dim=-1)
        found_BLMC = (weights_BLGMP @ x_BLGPc).transpose(2, 3).flatten(3)
        found_BLMC = found_BLMC * (2 * F.hardsigmoid(self.gate(tokens_BLMD)))
        looked_BLMD: Tensor = self.norm(tokens_BLMD + self.out(found_BLMC))
        return looked_BLMD


class Former(nn.Module):
    """Tokens exchange what they found: self-attention without key and value projections (Eq. 1-2), then an FFN.

    Attention is over all tokens of the clip, however many sets there are.
    """

    def __init__(self, token_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(token_dim, token_dim)
        self.out = nn.Linear(token_dim, token_dim)
        self.attention_norm = nn.LayerNorm(token_dim)
        self.ffn = nn.Sequential(nn.Linear(token_dim, 2 * token_dim), nn.GELU(), nn.Linear(2 * token_dim, token_dim))
        self.ffn_norm = nn.LayerNorm(token_dim)

    def forward(self, tokens_BLMD: Tensor) -> Tensor:
        z_B1ND = tokens_BLMD.flatten(1, 2)[:, None]
        key_B1GNd = split_heads(z_B1ND, self.num_heads)
        query_B1GNd = split_heads(self.query(z_B1ND), self.num_heads) * key_B1GNd.shape[-1] ** -0.5
        weights_B1GNN = (query_B1GNd @ key_B1GNd.transpose(3, 4)).softmax(dim=-1)
        found_B1ND = (weights_B1GNN @ key_B1GNd).transpose(2, 3).flatten(3)
        z_B1ND = self.attention_norm(z_B1ND + self.out(found_B1ND))
        z_B1ND = self.ffn_norm(z_B1ND + self.ffn(z_B1ND))
        spoken_BLMD: Tensor = z_B1ND.reshape(tokens_BLMD.shape)
        return spoken_BLMD


class FormerToMobile(nn.Module):
    """Every position of the Mobile branch takes from the tokens what it needs (Eq. 4)."""

    def __init__(self, channels: int, token_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.key = nn.Linear(token_dim, channels)
        self.value = nn.Linear(token_dim, channels)

    def forward(self, y_BCTHW: Tensor, tokens_BLMD: Tensor) -> Tensor:
        batch, channels, num_frames, height, width = y_BCTHW.shape
        y_BLGPc = split_positions(y_BCTHW, tokens_BLMD.shape[1], self.num_heads)
        key_BLGMc = split_heads(self.key(tokens_BLMD), self.num_heads) * y_BLGPc.shape[-1] ** -0.5
        value_BLGMc = split_heads(self.value(tokens_BLMD), self.num_heads)
        weights_BLGPM = (y_BLGPc @ key_BLGMc.transpose(3, 4)).softmax(dim=-1)
        taken_BLPC = (weights_BLGPM @ value_BLGMc).transpose(2, 3).flatten(3)
        taken_BTHWC = taken_BLPC.reshape(batch, num_frames, height, width, channels)
        given_BCTHW: Tensor = y_BCTHW + taken_BTHWC.permute(0, 4, 1, 2, 3)
        return given_BCTHW
