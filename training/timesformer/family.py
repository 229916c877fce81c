"""TimeSformer as training has it: one part, one view, from an image ViT where there is one. Knows no trainer."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from models.timesformer.config import TimeSformerConfig
from models.timesformer.family import FAMILY
from models.timesformer.network import TimeSformer
from training.family import FamilyTraining
from training.plain import plainly
from training.timesformer.plans import PLANS


def _in_bf16(network: TimeSformer) -> Sequence[tuple[nn.Module, str]]:
    return ((network.encoder, "forward"),)


TRAINING: FamilyTraining[TimeSformerConfig, TimeSformer] = replace(
    plainly(FAMILY), in_bf16=_in_bf16, backbones=("encoder.",), plans=PLANS
)
