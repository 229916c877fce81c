"""How the encoders compute while they are trained: memory layout, autocast, and what is frozen.

Knows no loss and no optimiser. Parameters stay fp32; policy and heads compute in fp32 whatever the encoders do.
"""

import torch
from torch import nn

from training.families import training_of
from training.fit.recipe import PARTS, Precision, Recipe, Stage


def prepare(network: nn.Module, precision: Precision, device: torch.device) -> None:
    """Move to the device, in the family's memory format, and what it has under autocast where bf16 is asked for.

    The state_dict keeps its names and types. Call once per network.
    """
    training = training_of(network)
    network.to(device).to(memory_format=training.memory_format)  # type: ignore[call-overload]
    if precision == "bf16":
        for module, method in training.in_bf16(network):
            setattr(module, method, torch.autocast(device.type, torch.bfloat16)(getattr(module, method)))


def set_modes(network: nn.Module, stage: Stage, recipe: Recipe) -> None:
    """Train mode for what the stage trains, eval mode and no gradient for the rest."""
    network.train()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(part_of(name) in stage.trains and not _is_frozen(name, recipe))
    for name, module in network.named_modules():
        part = part_of(name)
        is_norm = isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d)
        still = (
            (name != "" and part not in stage.trains)
            or (recipe.frozen_batch_norm and is_norm and part in {"glance", "focus"})
            or (is_norm and _is_frozen(name, recipe))
        )
        if still:
            module.training = False


def part_of(name: str) -> str:
    """Which of PARTS a parameter or module belongs to; auxiliary heads and what lies between count as classifier."""
    first = name.split(".", maxsplit=1)[0]
    return first if first in PARTS else "classifier"


def _is_frozen(name: str, recipe: Recipe) -> bool:
    """By whole parts of dotted names: `features.1` holds nothing of `features.10`."""
    return any(f"{name}.".startswith(f"{frozen.removesuffix('.')}.") for frozen in recipe.frozen)
