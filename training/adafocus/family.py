"""AdaFocusV3 as training has it: random and learned cubes, auxiliary heads, heads in closed form. Knows no trainer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.adafocus.family import FAMILY
from models.adafocus.network import AdaFocusV3
from training.adafocus.heads import features, regressions
from training.adafocus.losses import losses, random_positions
from training.adafocus.plans import PLANS, describe_stage
from training.adafocus.random_cubes import randomise
from training.family import FamilyTraining
from training.fit.recipe import Crops
from training.full_frame.network import FullFrameConfig


def _exits(network: AdaFocusV3, clips_BTHWC: Tensor, crops: Crops, generator: torch.Generator) -> Tensor:
    """Where a stage trains on random cubes alone the policy knows nothing yet: so random cubes are scored."""
    positions_BK3 = None
    if crops == "random":
        positions_BK3 = random_positions(len(clips_BTHWC), network.config.max_cubes, generator).to(clips_BTHWC.device)
    logits_BEC: Tensor = network(clips_BTHWC, positions_BK3).logits_BEC
    return logits_BEC


def _in_bf16(network: AdaFocusV3) -> Sequence[tuple[nn.Module, str]]:
    return ((network.glance.backbone, "forward"), (network.focus.backbone, "forward"))


TRAINING: FamilyTraining[AdaFocusConfig, AdaFocusV3] = FamilyTraining(
    family=FAMILY,
    losses=losses,
    exits=_exits,
    in_bf16=_in_bf16,
    memory_format=torch.channels_last,  # 2 to 4 times faster on CPUs
    regressions=regressions,
    features=features,
    baseline=FullFrameConfig.named,
    describe_stage=describe_stage,
    backbones=("glance.", "focus."),
    randomise=randomise,
    plans=PLANS,
)
