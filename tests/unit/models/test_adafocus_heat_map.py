"""The heat map policy: cubes go where it is hottest, whatever the place, and not twice to the same."""

from dataclasses import replace

import pytest
import torch

from models.adafocus.config import AdaFocusConfig
from models.adafocus.costs import step_flops
from models.adafocus.cubes import place_cubes
from models.adafocus.heat_map import HeatMapPolicy, roots
from models.adafocus.network import build_network
from models.adafocus.shapes import tiny
from models.backbones.config import BackboneConfig

CONFIG = AdaFocusConfig(
    num_classes=3,
    num_frames=8,
    frame_size=(192, 256),
    glance_indices=(0, 2, 4, 6),
    glance_size=(96, 128),
    glance=BackboneConfig("mobilenet_v2", width_mult=0.1),
    focus=BackboneConfig("mobilenet_v2", width_mult=0.1),
    cube_size=(2, 64, 64),
    max_cubes=2,
    policy="heat_map",
)
CHANNELS = 5


def hot(*cells):
    """A policy that finds channel 0 hot, and maps that show it in these cells (t, y, x), the first the most."""
    policy = HeatMapPolicy(CONFIG, CHANNELS).eval()
    with torch.no_grad():
        policy.heat.weight[0, 0] = 20.0
    maps = torch.zeros(1, 4, CHANNELS, 3, 4)
    for rank, (t, y, x) in enumerate(cells):
        maps[0, t, 0, y, x] = 1.0 - 0.2 * rank
    return policy, maps


@pytest.mark.parametrize("cell", [(0, 0, 0), (1, 2, 3), (3, 1, 2), (2, 0, 3)])
def test_the_first_cube_is_centred_on_the_hottest_cell_wherever_it_is(cell):
    policy, maps = hot(cell)
    cube = place_cubes(policy(maps)[0].detach().numpy(), CONFIG)[0]
    t, y, x = cell
    assert cube.t <= 2 * t <= cube.t + cube.num_frames
    assert cube.y + 32 == pytest.approx(64 * y + 32, abs=2)
    assert cube.x + 32 == pytest.approx(64 * x + 32, abs=2)


@pytest.mark.parametrize("cell", [(1, 2, 5), (3, 3, 2), (2, 2, 4)])
def test_cells_of_16_px_place_a_cube_twice_as_finely(cell):
    policy = HeatMapPolicy(CONFIG, CHANNELS, cell_px=16).eval()
    with torch.no_grad():
        policy.heat.weight[0, 0] = 20.0
    maps = torch.zeros(1, 4, CHANNELS, 6, 8)
    t, y, x = cell
    maps[0, t, 0, y, x] = 1.0
    cube = place_cubes(policy(maps)[0].detach().numpy(), CONFIG)[0]
    assert (cube.y + 32, cube.x + 32) == pytest.approx((32 * y + 16, 32 * x + 16), abs=2)


def test_roots_keep_the_sign_of_a_feature_and_their_slope_is_finite_at_zero():
    features = torch.tensor([-4.0, 0.0, 4.0], requires_grad=True)
    found = roots(features)
    assert found.tolist() == pytest.approx([-2.0, 0.0, 2.0], abs=0.02)
    found.sum().backward()
    assert features.grad.isfinite().all()


def test_the_second_cube_goes_to_the_next_hottest_place():
    policy, maps = hot((1, 0, 0), (3, 2, 3))
    first, second = place_cubes(policy(maps)[0].detach().numpy(), CONFIG)
    assert (first.y, first.x) == pytest.approx((0, 0), abs=2)
    assert (second.y, second.x) == pytest.approx((128, 192), abs=2)


def test_two_cubes_share_little_where_there_is_room_even_without_any_heat():
    policy = HeatMapPolicy(CONFIG, CHANNELS).eval()
    first, second = place_cubes(policy(torch.rand(1, 4, CHANNELS, 3, 4))[0].detach().numpy(), CONFIG)
    shared = [
        max(0, 1 - abs(getattr(first, axis) - getattr(second, axis)) / size)
        for axis, size in zip("tyx", CONFIG.cube_size, strict=True)
    ]
    assert shared[0] * shared[1] * shared[2] <= 0.5


def test_shifting_what_is_seen_shifts_the_cube():
    policy, here = hot((1, 0, 1))
    _, there = hot((1, 1, 2))
    moved = (policy(there) - policy(here))[0, 0] * torch.tensor([6.0, 128.0, 192.0])
    assert moved.tolist() == pytest.approx([0.0, 64.0, 64.0], abs=2)


def test_a_gradient_of_the_position_warms_the_cells_it_points_to():
    policy, maps = hot((1, 1, 1))
    heat = policy.heat_map(maps)
    heat.retain_grad()
    policy.heat_map = lambda _: heat  # type: ignore[method-assign]
    policy(maps)[0, 0, 2].backward()  # further along x
    gradient = heat.grad[0, 1, 1]
    assert gradient[2] > 0 > gradient[0]


def test_training_looks_everywhere_before_anything_is_learnt():
    torch.manual_seed(0)
    policy = HeatMapPolicy(CONFIG, CHANNELS).train()
    positions = torch.cat([policy(torch.rand(8, 4, CHANNELS, 3, 4))[:, 0] for _ in range(40)])
    for axis in range(3):
        assert positions[:, axis].min() < 0.3
        assert positions[:, axis].max() > 0.7


def test_a_network_with_it_is_built_priced_and_trained_like_any_other():
    config = replace(tiny(), policy="heat_map")
    network = build_network(config, seed=0).train()
    clips = torch.randint(0, 256, (2, config.num_frames, *config.frame_size, 3), dtype=torch.uint8)
    exits = network(clips)
    exits.logits_BEC.sum().backward()
    assert network.policy.heat.weight.grad.abs().sum() > 0
    assert step_flops(config)[0] == step_flops(tiny())[0]


def test_an_unknown_head_is_refused():
    with pytest.raises(ValueError, match="fully_connected"):
        replace(tiny(), policy="oracle")
