"""Video Mobile-Former as training has it: one part, learnt from scratch, on fewer frames than it answers with.

Knows no trainer.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import torch
from torch import nn

from models.mobile_former.config import MobileFormerConfig
from models.mobile_former.family import FAMILY
from models.mobile_former.network import VideoMobileFormer
from training.family import FamilyTraining
from training.mobile_former.plans import PLANS
from training.plain import plainly


def _in_bf16(network: VideoMobileFormer) -> Sequence[tuple[nn.Module, str]]:
    return ((network.encoder, "features"),)


def _no_baseline(model: MobileFormerConfig, name: str) -> NoReturn:
    raise ValueError(
        f"baseline {name!r} has AdaFocusV3's backbones; a Video Mobile-Former's baseline is a plan whose model says "
        "former: false and activation: relu"
    )


TRAINING: FamilyTraining[MobileFormerConfig, VideoMobileFormer] = replace(
    plainly(FAMILY),
    in_bf16=_in_bf16,
    memory_format=torch.channels_last_3d,
    baseline=_no_baseline,
    backbones=("encoder.",),
    any_length=True,
    plans=PLANS,
)
