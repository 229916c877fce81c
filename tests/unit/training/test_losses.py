"""Eq. 1 term by term: what a batch's loss is made of, and what each saving leaves unchanged."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.adafocus.network import AdaFocusV3, Exits
from tests.unit.training.runs import MODEL, SAVING, clips, network
from training.adafocus.losses import losses, of_exits, random_positions
from training.fit.precision import set_modes
from training.fit.recipe import Crops, Recipe, Stage

RECIPE = replace(SAVING, auxiliary_weight=0.3)
B, T, K, C = 3, 2, 2, 4


def drawn_exits(num_cubes: int = K) -> tuple[Exits, Tensor]:
    generator = torch.Generator().manual_seed(0)
    exits = Exits(
        logits_BEC=torch.randn(B, num_cubes + 1, C, generator=generator),
        auxiliary_glance_BTC=torch.randn(B, T, C, generator=generator),
        auxiliary_focus_BKTC=torch.randn(B, num_cubes, T, C, generator=generator),
        positions_BK3=torch.rand(B, num_cubes, 3, generator=generator),
    )
    return exits, torch.rand(B, C, generator=generator).softmax(dim=1)


def entropy_by_hand(logits_C: Tensor, target_C: Tensor, smoothing: float = 0.0) -> float:
    odds = np.exp(logits_C.numpy().astype(np.float64))
    target = (1 - smoothing) * target_C.numpy().astype(np.float64) + smoothing / C
    return -float((target * np.log(odds / odds.sum())).sum())


def learning(recipe: Recipe = RECIPE, crops: Crops = "both") -> AdaFocusV3:
    built = network(replace(MODEL, dropout=0.0))
    assert isinstance(built, AdaFocusV3)
    set_modes(built, Stage(1, crops), recipe)
    return built


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def batch() -> tuple[Tensor, Tensor]:
    clips_BTHWC, labels_B = clips(MODEL, 4, seed=0)
    return clips_BTHWC, torch.eye(C)[labels_B]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_mean_over_exits_and_both_auxiliary_heads_frame_by_frame(smoothing: float) -> None:
    exits, targets_BC = drawn_exits()
    found = of_exits(exits, targets_BC, replace(RECIPE, label_smoothing=smoothing), num_exits=K + 1)
    each = [
        sum(entropy_by_hand(exits.logits_BEC[b, e], targets_BC[b], smoothing) for b in range(B)) / B
        for e in range(K + 1)
    ]
    glance = [
        entropy_by_hand(exits.auxiliary_glance_BTC[b, t], targets_BC[b], smoothing) for b in range(B) for t in range(T)
    ]
    focus = [
        entropy_by_hand(exits.auxiliary_focus_BKTC[b, k, t], targets_BC[b], smoothing)
        for b in range(B)
        for k in range(K)
        for t in range(T)
    ]
    expected = sum(each) / (K + 1) + 0.3 * (sum(glance) / len(glance) + sum(focus) / len(focus))
    assert found.total.item() == pytest.approx(expected, rel=1e-5)
    assert found.exits_E.tolist() == pytest.approx(each, rel=1e-5)


def test_learned_and_random_cubes_are_averaged() -> None:
    clips_BTHWC, targets_BC = batch()
    built = learning()
    both = losses(built, clips_BTHWC, targets_BC, RECIPE, "both", step=0, generator=generator()).total
    alone = [
        losses(learning(), clips_BTHWC, targets_BC, RECIPE, crops, step=0, generator=generator()).total
        for crops in ("learned", "random")
    ]
    assert both.item() == pytest.approx((alone[0] + alone[1]).item() / 2, rel=1e-5)
    assert alone[0].item() != alone[1].item()


def test_sharing_the_glance_gives_the_gradients_of_two_whole_passes() -> None:
    clips_BTHWC, targets_BC = batch()
    recipe = replace(RECIPE, interpolate_random=True)
    shared = learning(recipe)
    losses(shared, clips_BTHWC, targets_BC, recipe, "both", step=0, generator=generator()).total.backward()
    apart = learning(recipe)
    random_BK3 = random_positions(len(clips_BTHWC), MODEL.max_cubes, generator())
    passes = [apart(clips_BTHWC), apart(clips_BTHWC, random_BK3)]
    totals = [of_exits(exits, targets_BC, recipe, num_exits=MODEL.max_cubes + 1).total for exits in passes]
    (sum(totals) / 2).backward()
    for (name, one), (_, other) in zip(shared.named_parameters(), apart.named_parameters(), strict=True):
        assert one.grad is not None, name
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)


def test_alternating_takes_learned_cubes_on_even_steps_and_random_ones_on_odd_steps() -> None:
    clips_BTHWC, targets_BC = batch()
    for step, crops in ((0, "learned"), (1, "random"), (2, "learned")):
        values = [
            losses(learning(), clips_BTHWC, targets_BC, RECIPE, how, step=step, generator=generator()).total.item()
            for how in ("alternate", crops)
        ]
        assert values[0] == values[1]


def test_the_policy_learns_from_learned_cubes_only() -> None:
    clips_BTHWC, targets_BC = batch()
    for crops, learns in (("learned", True), ("both", True), ("random", False)):
        built = learning()
        losses(built, clips_BTHWC, targets_BC, RECIPE, crops, step=0, generator=generator()).total.backward()
        assert (built.policy.layers[-2].weight.grad is not None) == learns


def test_a_random_depth_weighs_each_exit_so_that_the_expectation_is_eq_1() -> None:
    exits, targets_BC = drawn_exits()
    recipe = replace(RECIPE, random_depth=True, auxiliary_weight=0.0)
    whole = of_exits(exits, targets_BC, replace(recipe, random_depth=False), num_exits=K + 1).total
    by_depth = [
        of_exits(replace(exits, logits_BEC=exits.logits_BEC[:, : depth + 1]), targets_BC, recipe, num_exits=K + 1)
        for depth in range(1, K + 1)
    ]
    assert sum(one.total for one in by_depth).item() / K == pytest.approx(whole.item(), rel=1e-5)  # type: ignore[union-attr]
    assert by_depth[0].exits_E.isnan().tolist() == [False, False, True]


def test_a_random_depth_computes_only_the_first_cubes() -> None:
    clips_BTHWC, targets_BC = batch()
    recipe = replace(RECIPE, random_depth=True)
    depths = set()
    draw = generator()
    for _ in range(12):
        found = losses(learning(), clips_BTHWC, targets_BC, recipe, "random", step=0, generator=draw)
        depths.add(int((~found.exits_E.isnan()).sum()) - 1)
    assert depths == {1, 2}


def test_random_cubes_lie_anywhere_and_follow_from_the_generator() -> None:
    positions_BK3 = random_positions(1000, 2, generator())
    assert torch.equal(positions_BK3, random_positions(1000, 2, generator()))
    assert positions_BK3.amin() < 0.01
    assert positions_BK3.amax() > 0.99
    assert (positions_BK3.mean(dim=(0, 1)) - 0.5).abs().max() < 0.03
