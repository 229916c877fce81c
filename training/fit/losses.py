"""What every family's batch is trained on: cross-entropy against a distribution, averaged over exits.

Knows no network, optimiser or data.

Shape suffixes: B clips, E exits, C classes (targets: a distribution each).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Losses:
    """`total` is what is differentiated; `exits_E` (NaN where an exit was not computed) is for the log."""

    total: Tensor
    exits_E: Tensor


def of_logits(logits_BEC: Tensor, targets_BC: Tensor, smoothing: float) -> Losses:
    """Every exit counts alike."""
    exits_E = torch.stack([cross_entropy(logits_BC, targets_BC, smoothing) for logits_BC in logits_BEC.unbind(dim=1)])
    return Losses(exits_E.mean(), exits_E.detach())


def cross_entropy(logits_BC: Tensor, targets_BC: Tensor, smoothing: float) -> Tensor:
    """The mean over rows, in nats, in fp32."""
    return F.cross_entropy(logits_BC.float(), targets_BC, label_smoothing=smoothing)
