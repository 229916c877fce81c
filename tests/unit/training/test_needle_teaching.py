"""What teaches a policy where the answer is known: heads must not have seen its clips. Needles without pixels.

The glance's map shows in one channel where something is, and noise in the rest; the cells of whole frames hold what it
is, and a background of the clip's own, the same in all of them, that heads of a few clips can learn by heart.

Shape suffixes: N clips, P cells, D features, C classes, h and w cells, 3 = (t, y, x).
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.needle_parts import CellLogits, Part, needle_config, needle_network
from benchmarks.needle_slopes import towards_needle
from benchmarks.needle_teaching import follow_at, follow_everywhere, places_of, regress_losses, teach_and_choose
from models.adafocus.heat_map import HeatMapPolicy
from training.fit.heads import LOGIT_SCALE, RIDGE, ridge_regression

CONFIG = needle_config()
CLASSES, CHANNELS, FEATURES, CUBES = 3, 12, 500, 4


def needles(count: int, seed: int) -> tuple[Part, Tensor]:
    """The glance's side, and features_NDThw of whole frames at 32 px a cell."""
    rng = torch.Generator().manual_seed(seed)
    labels_N = torch.randint(CLASSES, (count,), generator=rng)
    cells_N3 = torch.stack([torch.randint(size, (count,), generator=rng) for size in (4, 4, 5)], dim=1)
    maps_NTDhw = torch.rand(count, 4, CHANNELS, 4, 5, generator=rng)
    features_NDThw = 0.2 * torch.randn(count, FEATURES, 8, 8, 10, generator=rng)
    features_NDThw += torch.randn(count, FEATURES, 1, 1, 1, generator=rng)
    for clip, (t, y, x) in enumerate(cells_N3.tolist()):
        maps_NTDhw[clip, t, 0, y, x] += 2
        shown = features_NDThw[clip, :, 2 * t : 2 * t + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        shown[labels_N[clip]] += 8
    centres_N3 = (cells_N3 + 0.5) * torch.tensor([2.0, 64.0, 64.0])
    return Part([], maps_NTDhw, maps_NTDhw, labels_N, torch.zeros(count, dtype=torch.bool), centres_N3), features_NDThw


def cubes(features_NDThw: Tensor) -> Tensor:
    """What cubes at all whole frames and cells show: their mean."""
    return F.avg_pool3d(features_NDThw, (2, 3, 3), stride=1)


def fitted(part: Part, features_NDThw: Tensor) -> tuple[Tensor, Tensor]:
    """A head on random cubes, as training fits it."""
    all_NDP = cubes(features_NDThw).flatten(2)
    drawn = torch.randint(all_NDP.shape[2], (len(part), CUBES), generator=torch.Generator().manual_seed(0))
    rows_RD = torch.stack([one_DP[:, places].T for one_DP, places in zip(all_NDP, drawn, strict=True)]).flatten(0, 1)
    return ridge_regression(rows_RD, part.labels_N.repeat_interleave(CUBES), CLASSES, RIDGE * CUBES * FEATURES)


def judged(head: tuple[Tensor, Tensor], part: Part, features_NDThw: Tensor) -> CellLogits:
    weight_CD, bias_C = head
    box_NCthw = LOGIT_SCALE * torch.einsum("cd,ndthw->ncthw", weight_CD, cubes(features_NDThw))
    return CellLogits(part, LOGIT_SCALE * bias_C.expand(len(part), -1), box_NCthw)


HEADS, TEACH, VAL = (needles(count, seed) for count, seed in ((120, 0), (120, 1), (100, 2)))
HEAD = fitted(*HEADS)
ASIDE = needles(60, 3)
TEACHERS = {
    "gradient": lambda policy, taught: follow_everywhere(policy, taught, 0),
    "losses": regress_losses,
    "chosen": lambda policy, taught: teach_and_choose(policy, taught, judged(HEAD, *ASIDE), 0),
}


def found(teacher: str, taught: CellLogits) -> float:
    """How often the first cube holds the needle's centre, on clips that nobody has seen."""
    torch.manual_seed(0)
    policy = HeatMapPolicy(CONFIG, CHANNELS)
    TEACHERS[teacher](policy, taught)
    size, cube = torch.tensor((8, 256, 320)), torch.tensor(CONFIG.cube_size)
    centre_N3 = places_of(policy.eval(), VAL[0])[:, 0] * (size - cube) + cube / 2
    return float(((VAL[0].centres_N3 - centre_N3).abs() <= torch.tensor([2.0, 48.0, 48.0])).all(dim=1).float().mean())


@pytest.mark.parametrize("teacher", TEACHERS)
def test_heads_that_have_not_seen_the_clips_teach_the_policy_to_find_the_needle(teacher: str) -> None:
    other, own = (found(teacher, judged(HEAD, *clips)) for clips in (TEACH, HEADS))
    assert other > 0.5
    assert own < 0.2


def test_slopes_of_cubes_at_every_cell_teach_what_following_them_everywhere_does() -> None:
    taught = judged(HEAD, *TEACH)
    everywhere, at_cells = HeatMapPolicy(CONFIG, CHANNELS), HeatMapPolicy(CONFIG, CHANNELS)
    follow_everywhere(everywhere, taught, seed=0)
    num_clips, num_cells = len(taught.part), len(at_cells.places_P3)
    drawn_NP = torch.rand(num_clips, num_cells, generator=torch.Generator().manual_seed(1)).argsort(dim=1)
    places_NP3 = at_cells.places_P3[drawn_NP].requires_grad_(True)
    (slopes_NP3,) = torch.autograd.grad(taught.losses(slice(None), places_NP3).sum(), places_NP3)
    follow_at(at_cells, taught.part, drawn_NP, slopes_NP3, seed=0)
    torch.testing.assert_close(at_cells.heat.weight, everywhere.heat.weight, rtol=1e-3, atol=1e-4)


def test_what_is_chosen_costs_no_more_on_clips_set_aside_than_a_regression_on_losses() -> None:
    taught, aside = judged(HEAD, *TEACH), judged(HEAD, *ASIDE)
    chosen, losses = HeatMapPolicy(CONFIG, CHANNELS), HeatMapPolicy(CONFIG, CHANNELS)
    teach_and_choose(chosen, taught, aside, seed=0)
    regress_losses(losses, taught)
    cost, other = (
        float(aside.running_losses(slice(None), places_of(one, ASIDE[0])).mean()) for one in (chosen, losses)
    )
    assert cost <= other + 0.01


def test_beside_a_needle_the_gradient_points_to_it_more_often_where_heads_have_not_seen_the_clips() -> None:
    shapes = (torch.tensor((8, 256, 320)), torch.tensor(CONFIG.cube_size))
    (_, other), (_, own) = (towards_needle(judged(HEAD, *clips), *shapes, seed=0) for clips in (TEACH, HEADS))
    assert other > 0.5 > own  # beyond 80 px no cell shows anything here, and no slope counts as wrong


def test_heads_know_their_own_clips_wherever_a_cube_lies() -> None:
    own, other = (judged(HEAD, *clips) for clips in (HEADS, TEACH))
    places = torch.rand(120, 8, 3, generator=torch.Generator().manual_seed(3))
    own_loss, other_loss = (float(one.losses(slice(None), places).mean()) for one in (own, other))
    assert own_loss < 0.7 * other_loss


def test_needles_are_seen_by_the_networks_of_the_bundle_that_ships() -> None:
    network = needle_network(0)
    assert network.config.glance.padding == "same"
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(next(network.glance.backbone.parameters()), next(network.focus.backbone.parameters())), (
        "one network serves both there"
    )
