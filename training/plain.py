"""How a family is trained that asks for nothing of its own: all of it at once, from scratch, every exit alike.

Knows no architecture. Such a network gives, of uint8 clips_BTHWC, logits_BEC, or logits_BC where it has one exit.

Shape suffixes: B clips, T frames, H rows, W columns, E exits, C classes or colour channels.
"""

from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from models.family import Family, ModelConfig
from training.family import FamilyTraining, Regression
from training.fit.losses import Losses, of_logits
from training.fit.recipe import Crops, Recipe, Stage


def plainly(family: Family[Any, Any]) -> FamilyTraining[Any, Any]:
    def no_regressions(network: nn.Module) -> list[Regression]:
        raise ValueError(f"the heads of a {family.title} have no closed form here: set fitted_heads to false")

    def no_baseline(model: ModelConfig, name: str) -> NoReturn:
        raise ValueError(
            f"baseline {name!r} has AdaFocusV3's backbones, and a {family.title} has no baseline of its own"
        )

    return FamilyTraining(
        family=family,
        losses=plain_losses,
        exits=plain_exits,
        in_bf16=lambda network: ((network, "forward"),),
        memory_format=torch.contiguous_format,
        regressions=no_regressions,
        features=no_features,
        baseline=no_baseline,
        describe_stage=describe_stage,
    )


def plain_losses(
    network: nn.Module,
    clips_BTHWC: Tensor,
    targets_BC: Tensor,
    recipe: Recipe,
    crops: Crops,
    *,
    step: int,
    generator: torch.Generator,
) -> Losses:
    """The mean cross-entropy over exits."""
    return of_logits(_by_exit(network(clips_BTHWC)), targets_BC, recipe.label_smoothing)


def plain_exits(network: nn.Module, clips_BTHWC: Tensor, crops: Crops, generator: torch.Generator) -> Tensor:
    return _by_exit(network(clips_BTHWC))


def no_features(
    network: nn.Module, clips_BTHWC: Tensor, generator: torch.Generator, *, learned: bool
) -> dict[str, Tensor]:
    raise AssertionError("whoever has no regressions is asked for no features")


def describe_stage(stage: Stage) -> str:
    return f"{stage.epochs} epochs, rate {stage.lr:g}"


def _by_exit(logits: Tensor) -> Tensor:
    return logits[:, None] if logits.ndim == 2 else logits
