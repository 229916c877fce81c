"""What is not linear in a Mobile block: dynamic ReLU and X3D's squeeze-excitation.

Shape suffixes: B clips, C channels, T frames, H rows, W columns, L = 1 or T sets of tokens a clip, M tokens a set, D
token features.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_REDUCTION = 4
_TOKEN_HIDDEN = 32  # Mobile-Former's, for coefficients from the token alone


class DynamicReLU(nn.Module):
    """max(2 a1 u, (2 a2 - 1) u) with a1 and a2 in [0, 1] per channel (Chen et al., ECCV 2020, without intercepts).

    `per_frame` ("frame-level DY-ReLU", section 3): coefficients of each frame, from its mean features and the first
    token; otherwise Mobile-Former's, from the first token alone, the same for all frames.
    """

    def __init__(self, channels: int, token_dim: int, *, per_frame: bool) -> None:
        super().__init__()
        self.per_frame = per_frame
        inputs = channels + token_dim if per_frame else token_dim
        hidden = inputs // _REDUCTION if per_frame else _TOKEN_HIDDEN
        self.squeeze = nn.Linear(inputs, hidden)
        self.coefficients = nn.Linear(hidden, 2 * channels)

    def forward(self, u_BCTHW: Tensor, tokens_BLMD: Tensor, means_BCT: Tensor | None = None) -> Tensor:
        """`means_BCT`: each frame's mean of u, where the caller has it already."""
        given_BLD = tokens_BLMD[:, :, 0]
        if self.per_frame:
            if means_BCT is None:
                means_BCT = u_BCTHW.mean(dim=(3, 4))
            means_BTC = means_BCT.transpose(1, 2)
            given_BLD = torch.cat((means_BTC, given_BLD.expand(-1, means_BTC.shape[1], -1)), dim=2)
        a_BLC = F.hardsigmoid(self.coefficients(F.relu(self.squeeze(given_BLD))))
        positive_BLC, negative_BLC = a_BLC.chunk(2, dim=2)
        # max(p u, n u) = (p + n) / 2 u + |p - n| / 2 |u|, whose gradient needs no masks.
        mean_BLC, half_BLC = positive_BLC + negative_BLC - 0.5, (positive_BLC - negative_BLC + 0.5).abs()
        mean_BCT11, half_BCT11 = (one_BLC.transpose(1, 2)[..., None, None] for one_BLC in (mean_BLC, half_BLC))
        activated_BCTHW: Tensor = mean_BCT11 * u_BCTHW + half_BCT11 * u_BCTHW.abs()
        return activated_BCTHW


class SqueezeExcitation(nn.Module):
    """X3D's: channels weighed by what the whole clip holds of each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(8, (channels + 64) // 128 * 8)  # a sixteenth, rounded to eights
        squeezed += 8 if squeezed < 0.9 * channels / 16 else 0
        self.squeeze = nn.Linear(channels, squeezed)
        self.excite = nn.Linear(squeezed, channels)

    def forward(self, u_BCTHW: Tensor) -> Tensor:
        weights_BC = torch.sigmoid(self.excite(F.relu(self.squeeze(u_BCTHW.mean(dim=(2, 3, 4))))))
        return u_BCTHW * weights_BC[..., None, None, None]
