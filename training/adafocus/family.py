"""AdaFocusV3 as training has it: random and learned cubes, auxiliary heads, heads in closed form. Knows no trainer."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from models.adafocus.config import AdaFocusConfig
from models.adafocus.family import FAMILY
from models.adafocus.network import AdaFocusV3
from models.adafocus.placed import PlacedAdaFocus
from models.adafocus.recycling import answered
from models.family import ModelConfig
from training.adafocus.heads import features, regressions
from training.adafocus.losses import losses, random_positions
from training.adafocus.plans import PLANS, describe_stage
from training.adafocus.random_cubes import randomise
from training.family import FamilyTraining
from training.fit.recipe import Crops
from training.full_frame.network import FullFrameConfig
from training.full_frame.whole import WholeFramesConfig
from training.judge.results import Coordinates

Network: TypeAlias = AdaFocusV3 | PlacedAdaFocus


def _exits(network: Network, clips_BTHWC: Tensor, crops: Crops, generator: torch.Generator) -> Tensor:
    """Where a stage trains on random cubes alone the policy knows nothing yet: so random cubes are scored."""
    if isinstance(network, PlacedAdaFocus):
        placed_BEC: Tensor = network(clips_BTHWC).logits_BEC
        return placed_BEC
    positions_BK3 = None
    if crops == "random":
        positions_BK3 = random_positions(len(clips_BTHWC), network.config.max_cubes, generator).to(clips_BTHWC.device)
    logits_BEC: Tensor = network(clips_BTHWC, positions_BK3).logits_BEC
    return logits_BEC


def _in_bf16(network: Network) -> Sequence[tuple[nn.Module, str]]:
    if isinstance(network, PlacedAdaFocus):
        looking = (network.glance, network.focus, network.motion)
        encoders = [(encoder.backbone, "maps") for encoder in looking if encoder is not None]
        return encoders if network.pose is None else [*encoders, (network.pose, "look")]
    return ((network.glance.backbone, "forward"), (network.focus.backbone, "forward"))


def _randomise(network: Network, coordinates: Coordinates, seed: int) -> None:
    if isinstance(network, PlacedAdaFocus):
        raise ValueError("this model's cubes are placed by a rule, not learned: train one with placement 'random'")
    randomise(network, coordinates, seed)


def _baseline(model: AdaFocusConfig, name: str) -> ModelConfig:
    if model.placement == "learned":
        return FullFrameConfig.named(model, name)
    return WholeFramesConfig.named(model, name)


TRAINING: FamilyTraining[AdaFocusConfig, Network] = FamilyTraining(
    family=FAMILY,
    losses=losses,
    exits=_exits,
    in_bf16=_in_bf16,
    memory_format=torch.channels_last,  # 2 to 4 times faster on CPUs
    regressions=regressions,
    features=features,
    baseline=_baseline,
    describe_stage=describe_stage,
    backbones=("glance.", "focus.", "pose.", "motion."),
    answered=lambda network, own: answered(own, network.config.recycled_share),
    repeatable=lambda network: isinstance(network, PlacedAdaFocus),
    looked_at=lambda config: None if config.placement == "learned" else config.glance_indices,
    randomise=_randomise,
    plans=PLANS,
)
