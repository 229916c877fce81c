"""From a recipe to an optimiser and its learning rate at every step.

Knows no loss. Rates follow from (recipe, stage, step) alone, so a resumed run needs no scheduler state.
"""

import math

import torch
from torch import nn

from training.fit.precision import part_of
from training.fit.recipe import Recipe, Stage


def make_optimizer(network: nn.Module, recipe: Recipe, stage: Stage) -> torch.optim.Optimizer:
    """Over what the stage trains (`precision.set_modes` comes first), a group per part, with and without decay."""
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            is_bias = name.rpartition(".")[2].startswith("bias")  # a stack of them has two dimensions
            groups.setdefault((part_of(name), parameter.ndim > 1 and not is_bias), []).append(parameter)
    if not groups:
        raise ValueError(f"nothing is left to train: {stage.trains} less what `frozen` names; freeze less")
    listed = [
        {
            "params": parameters,
            "rate": getattr(recipe.rates, part),
            "weight_decay": recipe.weight_decay if decays else 0.0,
        }
        for (part, decays), parameters in groups.items()
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(listed, lr=stage.lr, betas=(recipe.momentum, 0.999))
    return torch.optim.SGD(listed, lr=stage.lr, momentum=recipe.momentum)


def learning_rate(recipe: Recipe, stage: Stage, step: int, steps_per_epoch: int) -> float:
    """Of the stage's step: linear warm-up, then a cosine down to (almost) zero at the stage's end."""
    warmup = recipe.warmup_epochs * steps_per_epoch
    total = stage.epochs * steps_per_epoch
    if step < warmup:
        return stage.lr * (step + 1) / (warmup + 1)
    return stage.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1)))


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr * group["rate"]
