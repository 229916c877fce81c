"""Full-frame baselines as a family that training alone knows: they are compared with, and never become a bundle.

Knows no trainer.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from models.checkpoints import load_backbone, part_of
from models.family import Family, Head
from training.adafocus.losses import of_exits
from training.adafocus.plans import describe_stage
from training.family import FamilyTraining, Regression
from training.fit.losses import Losses
from training.fit.recipe import Crops, Recipe
from training.full_frame.config import no_baseline
from training.full_frame.network import TITLE, FullFrame, FullFrameConfig, build_network, step_flops
from training.full_frame.recognizer import make_recognizer


def _losses(
    network: FullFrame,
    clips_BTHWC: Tensor,
    targets_BC: Tensor,
    recipe: Recipe,
    crops: Crops,
    *,
    step: int,
    generator: torch.Generator,
) -> Losses:
    """AdaFocusV3's with one exit: each network alone is auxiliary."""
    return of_exits(network(clips_BTHWC), targets_BC, recipe, num_exits=1)


def exits(network: nn.Module, clips_BTHWC: Tensor, crops: Crops, generator: torch.Generator) -> Tensor:
    """logits_BEC, of every full-frame baseline."""
    logits_BEC: Tensor = network(clips_BTHWC).logits_BEC
    return logits_BEC


def _in_bf16(network: FullFrame) -> Sequence[tuple[nn.Module, str]]:
    return tuple((encoder.backbone, "forward") for encoder in (network.glance, network.focus) if encoder is not None)


def _features(
    network: FullFrame, clips_BTHWC: Tensor, generator: torch.Generator, *, learned: bool
) -> dict[str, Tensor]:
    """By the names of the heads."""
    return network.pooled(clips_BTHWC)


def _regressions(network: FullFrame) -> list[Regression]:
    """One: the logits of both networks are added, so that both heads are one, on both networks' features."""
    heads = network.heads()

    def rows(given: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([given[name] for name in heads], dim=1)[:, None]

    weights, biases = (tuple(getattr(head, kind) for head in heads.values()) for kind in ("weight", "bias"))
    return [Regression(weights, biases, rows)]


def _heads(network: FullFrame) -> list[Head]:
    return [Head(head, head.weight, head.bias) for head in network.heads().values()]


def _load(part: Literal["glance", "focus"], network: FullFrame, tensors: Mapping[str, Tensor]) -> None:
    load_backbone(getattr(network, part).backbone, part_of(part, tensors), drop_head=True)


TRAINING: FamilyTraining[FullFrameConfig, FullFrame] = FamilyTraining(
    family=Family(
        name=FullFrameConfig.family,
        title=TITLE,
        read_config=FullFrameConfig.from_dict,
        build_network=build_network,
        step_flops=step_flops,
        make_recognizer=make_recognizer,
        heads=_heads,
        loaders={"glance": partial(_load, "glance"), "focus": partial(_load, "focus")},
    ),
    losses=_losses,
    exits=exits,
    in_bf16=_in_bf16,
    memory_format=torch.channels_last,
    regressions=_regressions,
    features=_features,
    baseline=no_baseline,
    describe_stage=describe_stage,
)
