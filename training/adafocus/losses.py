"""What a batch of AdaFocusV3 is trained on: Eq. 1 over all exits, with AdaFocusV2's auxiliary heads.

Knows no optimiser and no data; where cubes lie at random is drawn from the generator it is given.

Shape suffixes: B clips, T frames, H rows, W columns, K cubes, E exits, C classes (targets: a distribution each) or
colour channels, 3 = (t, y, x).
"""

import torch
from torch import Tensor

from models.adafocus.network import AdaFocusV3, Cubes, Exits
from models.adafocus.placed import PlacedAdaFocus
from training.fit.losses import Losses, cross_entropy
from training.fit.recipe import Crops, Recipe


def losses(
    network: AdaFocusV3 | PlacedAdaFocus,
    clips_BTHWC: Tensor,
    targets_BC: Tensor,
    recipe: Recipe,
    crops: Crops,
    *,
    step: int,
    generator: torch.Generator,
) -> Losses:
    """The loss of one batch. `step` says whose turn it is where `crops` alternate; learned ones come first.

    Raises FloatingPointError where the policy has diverged.
    """
    config = network.config
    if isinstance(network, PlacedAdaFocus):
        return of_exits(network(clips_BTHWC), targets_BC, recipe, num_exits=config.num_steps + 1)
    if crops == "alternate":
        crops = "learned" if step % 2 == 0 else "random"
    maps_BTChw = network.glance_maps(clips_BTHWC)
    num_cubes = config.max_cubes
    if recipe.random_depth:
        num_cubes = int(torch.randint(1, config.max_cubes + 1, (), generator=generator))
    passes = []
    if crops in {"learned", "both"}:
        positions_BK3 = network.policy(maps_BTChw.detach())[:, :num_cubes]
        if not positions_BK3.isfinite().all():
            raise FloatingPointError(f"the policy's cubes in step {step} are nowhere (NaN); lower the learning rate")
        passes.append(network.exits(clips_BTHWC, maps_BTChw, positions_BK3, cubes=recipe.gradient))
    if crops in {"random", "both"}:
        positions_BK3 = random_positions(len(clips_BTHWC), num_cubes, generator).to(clips_BTHWC.device)
        cubes: Cubes = recipe.gradient if recipe.interpolate_random else "plain"
        passes.append(network.exits(clips_BTHWC, maps_BTChw, positions_BK3, cubes=cubes))
    each = [of_exits(exits, targets_BC, recipe, num_exits=config.max_cubes + 1) for exits in passes]
    return Losses(
        total=torch.stack([one.total for one in each]).mean(),
        exits_E=torch.stack([one.exits_E for one in each]).mean(dim=0),
    )


def of_exits(exits: Exits, targets_BC: Tensor, recipe: Recipe, *, num_exits: int) -> Losses:
    """The mean cross-entropy over exits (V2's code; Eq. 1 writes the sum) + weight * (glance's + focus's auxiliary).

    Where only the first k of K cubes were computed, k uniform, exit e stands for the 1 in K / (K - e + 1) draws that
    reach it: so weighted, the expectation is that of all exits.
    """
    smoothing = recipe.label_smoothing
    exits_E = torch.stack(
        [cross_entropy(logits_BC, targets_BC, smoothing) for logits_BC in exits.logits_BEC.unbind(dim=1)]
    )
    weights_E = torch.ones_like(exits_E)
    if len(exits_E) < num_exits or recipe.random_depth:
        num_cubes = num_exits - 1
        weights_E[1:] = torch.tensor([num_cubes / (num_cubes - e + 1) for e in range(1, len(exits_E))])
    auxiliary = exits_E.new_zeros(())
    for logits in (exits.auxiliary_glance_BTC, exits.auxiliary_focus_BKTC.flatten(1, 2)):
        if logits.shape[1]:  # a baseline without a glance has no logits of one
            repeated = targets_BC.repeat_interleave(logits.shape[1], dim=0)
            auxiliary = auxiliary + cross_entropy(logits.flatten(0, 1), repeated, smoothing)
    total = (weights_E * exits_E).sum() / num_exits + recipe.auxiliary_weight * auxiliary
    log_E = exits_E.new_full((num_exits,), torch.nan)
    log_E[: len(exits_E)] = exits_E.detach()
    return Losses(total, log_E)


def random_positions(batch: int, num_cubes: int, generator: torch.Generator) -> Tensor:
    """positions_BK3, uniform over the places that a cube can take (section 3.4)."""
    return torch.rand(batch, num_cubes, 3, generator=generator)
