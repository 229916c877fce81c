"""Training: deep-feature interpolation (Eq. 5-6) is the one way by which a gradient reaches the policy."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.adafocus.config import AdaFocusConfig
from models.adafocus.enlarged import (
    centres,
    crop_enlarged,
    enlarged_axes,
    enlarged_size,
    interpolate,
    shifts_in_cells,
)
from models.adafocus.network import AdaFocusV3, build_network
from models.adafocus.pixels import crop_between_pixels
from models.adafocus.shapes import clip_cubes, frame_cubes, tiny

FRAME_CUBES = replace(tiny(), frame_size=(96, 96), dropout=0.0)
CLIP_CUBES = replace(
    FRAME_CUBES, cube_size=(3, 32, 32), max_cubes=2, temporal_shift=True, aggregation="average", glance_size=(64, 64)
)
FORMS = [pytest.param(FRAME_CUBES, id="frame cubes"), pytest.param(CLIP_CUBES, id="clip cubes with temporal shift")]


def clips(config: AdaFocusConfig, batch: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, config.num_frames, *config.frame_size, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def random_positions(config: AdaFocusConfig, batch: int = 3) -> Tensor:
    return torch.rand(batch, config.max_cubes, 3, generator=torch.Generator().manual_seed(1))


def training_network(config: AdaFocusConfig) -> AdaFocusV3:
    return build_network(config, seed=3).train()


def gradients(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


# --- interpolation ---


def test_without_a_shift_each_cell_is_the_mean_of_its_eight_neighbours() -> None:
    maps_NTChw = torch.rand(2, 3, 5, 4, 4)
    expected = F.avg_pool3d(maps_NTChw.transpose(1, 2), 2, stride=1).transpose(1, 2)
    torch.testing.assert_close(interpolate(maps_NTChw, torch.zeros(2, 3), (True, True, True)), expected)


def test_a_shift_reads_between_the_cells_as_an_independent_trilinear_sampler_does() -> None:
    generator = torch.Generator().manual_seed(0)
    maps_NTChw = torch.rand(2, 3, 5, 4, 6, dtype=torch.float64, generator=generator)
    shifts_N3 = torch.rand(2, 3, dtype=torch.float64, generator=generator) - 0.5
    sizes = (3, 4, 6)
    grids = []
    for shift_3 in shifts_N3:
        axes = [
            (torch.arange(size - 1, dtype=torch.float64) + 0.5 + shift) * 2 / (size - 1) - 1
            for size, shift in zip(sizes, shift_3, strict=True)
        ]
        t, y, x = torch.meshgrid(*axes, indexing="ij")
        grids.append(torch.stack((x, y, t), dim=-1))
    expected = F.grid_sample(maps_NTChw.transpose(1, 2), torch.stack(grids), align_corners=True).transpose(1, 2)
    torch.testing.assert_close(interpolate(maps_NTChw, shifts_N3, (True, True, True)), expected)


def test_axes_without_a_further_cell_are_left_alone() -> None:
    maps_NTChw = torch.rand(2, 3, 5, 4, 4)
    read = interpolate(maps_NTChw, torch.full((2, 3), 0.3), (False, True, False))
    torch.testing.assert_close(read, 0.2 * maps_NTChw[..., :-1, :] + 0.8 * maps_NTChw[..., 1:, :])


@pytest.mark.parametrize("config", FORMS)
def test_the_gradient_of_positions_is_the_finite_difference_of_interpolated_deep_features(
    config: AdaFocusConfig,
) -> None:
    network, clips_BTHWC = training_network(config), clips(config)
    positions_BK3 = random_positions(config).requires_grad_()
    network(clips_BTHWC, positions_BK3).auxiliary_focus_BKTC.square().sum().backward()

    # The same function of a shift, in double precision on the same deep features, moved by hand.
    crops_NTHWC = crop_enlarged(clips_BTHWC, centres(positions_BK3, config), config)
    num_frames = enlarged_size(config)[0]
    maps = network.focus.maps(crops_NTHWC.flatten(0, 1), num_frames).detach().double()
    maps_NTChw = maps.unflatten(0, (-1, num_frames))
    head = network.auxiliary_focus.double()

    def loss_of_each_cube(shifts_N3: Tensor) -> Tensor:
        read = interpolate(maps_NTChw, shifts_N3, enlarged_axes(config)).mean(dim=(3, 4))
        return head(read).square().sum(dim=(1, 2)).detach()

    step = 1e-4
    room = [size - cube for size, cube in zip((config.num_frames, *config.frame_size), config.cube_size, strict=True)]
    for axis, cells_per_position in enumerate((room[0], room[1] / 32, room[2] / 32)):
        shift_N3 = torch.zeros(len(maps_NTChw), 3, dtype=torch.float64)
        shift_N3[:, axis] = step
        difference_N = (loss_of_each_cube(shift_N3) - loss_of_each_cube(-shift_N3)) / (2 * step) * cells_per_position
        found_N = positions_BK3.grad.flatten(0, 1)[:, axis].double()
        assert found_N.abs().min() > 0
        torch.testing.assert_close(found_N, difference_N, rtol=1e-3, atol=1e-6)


def test_the_shift_is_zero_forward_and_one_cell_per_32_pixels_or_frame_backward() -> None:
    centres_N3 = torch.tensor([[4.0, 50.0, 60.0]], requires_grad=True)
    shifts_N3 = shifts_in_cells(centres_N3)
    assert torch.equal(shifts_N3, torch.zeros(1, 3))
    shifts_N3.sum().backward()
    assert centres_N3.grad.tolist() == [[1, 1 / 32, 1 / 32]]


# --- where gradients stop ---


@pytest.mark.parametrize("config", FORMS)
def test_the_policy_learns_and_teaches_the_glance_encoder_nothing(config: AdaFocusConfig) -> None:
    clips_BTHWC = clips(config)
    learned = training_network(config)
    exits = learned(clips_BTHWC)
    exits.logits_BEC.square().sum().backward()
    assert all(p.grad is not None for p in learned.policy.parameters())
    assert learned.policy.layers[-2].weight.grad.abs().sum() > 0

    handed = training_network(config)  # the same cubes, but no path to the policy
    handed(clips_BTHWC, exits.positions_BK3.detach()).logits_BEC.square().sum().backward()
    assert all(p.grad is None for p in handed.policy.parameters())
    for part in ("glance", "focus", "classifier"):
        with_policy, without = gradients(getattr(learned, part)), gradients(getattr(handed, part))
        assert with_policy.keys() == without.keys() != set()
        assert all(torch.equal(with_policy[name], without[name]) for name in without)


def test_pixels_carry_no_gradient_so_a_cube_that_cannot_move_gives_the_policy_none() -> None:
    config = replace(FRAME_CUBES, cube_size=(6, 96, 96))  # the whole clip: no axis is enlarged
    network = training_network(config)
    assert enlarged_axes(config) == (False, False, False)
    network(clips(config)).logits_BEC.square().sum().backward()
    assert all(p.grad is None for p in network.policy.parameters())


def test_one_optimiser_step_moves_the_cubes() -> None:
    network, clips_BTHWC = training_network(FRAME_CUBES), clips(FRAME_CUBES)
    optimiser = torch.optim.SGD(network.policy.parameters(), lr=0.1)
    before = network(clips_BTHWC)
    before.logits_BEC[:, 1:].square().sum().backward()
    optimiser.step()
    with torch.no_grad():
        positions_BK3 = network(clips_BTHWC).positions_BK3
    assert ((positions_BK3 - before.positions_BK3).abs() > 1e-5).all()


def test_one_clip_cannot_train_the_policy_but_random_positions_need_no_policy() -> None:
    network = training_network(FRAME_CUBES)
    with pytest.raises(ValueError, match="batch of 1 clip"):
        network(clips(FRAME_CUBES, batch=1))
    assert network(clips(FRAME_CUBES, batch=1), random_positions(FRAME_CUBES, 1)).logits_BEC.isfinite().all()
    assert network.eval()(clips(FRAME_CUBES, batch=1)).logits_BEC.isfinite().all()


# --- pixel gradients, to compare with ---


@pytest.mark.parametrize("config", FORMS)
def test_between_pixels_a_cube_at_whole_ones_is_that_of_inference(config: AdaFocusConfig) -> None:
    clips_BTHWC = clips(config, batch=1)
    room = [size - cube for size, cube in zip((config.num_frames, *config.frame_size), config.cube_size, strict=True)]
    for corner in ((0, 0, 0), (1, 5, 30), tuple(room)):
        positions_BK3 = (torch.tensor(corner) / torch.tensor(room))[None, None]
        (t, y, x), (frames, height, width) = corner, config.cube_size
        plain = clips_BTHWC[:, t : t + frames, y : y + height, x : x + width].float()
        torch.testing.assert_close(crop_between_pixels(clips_BTHWC, positions_BK3, config), plain, rtol=0, atol=0.05)


def test_the_gradient_between_pixels_is_the_finite_difference_of_a_move() -> None:
    clips_BTHWC = clips(CLIP_CUBES, batch=2)
    positions_BK3 = random_positions(CLIP_CUBES, batch=2).double().requires_grad_()
    crop_between_pixels(clips_BTHWC, positions_BK3, CLIP_CUBES).square().mean().backward()
    step = 1e-4
    for axis in range(3):
        moved_3 = torch.zeros(3, dtype=torch.float64)
        moved_3[axis] = step
        with torch.no_grad():
            ahead, behind = (
                crop_between_pixels(clips_BTHWC, positions_BK3 + way * moved_3, CLIP_CUBES).square().mean()
                for way in (1, -1)
            )
        torch.testing.assert_close(
            positions_BK3.grad[..., axis].sum(), (ahead - behind) / (2 * step), rtol=1e-2, atol=1e-3, check_dtype=False
        )


@pytest.mark.parametrize("config", FORMS)
def test_the_policy_learns_through_pixels_where_it_is_asked_to(config: AdaFocusConfig) -> None:
    network, clips_BTHWC = training_network(config), clips(config)
    maps_BTChw = network.glance_maps(clips_BTHWC)
    exits = network.exits(clips_BTHWC, maps_BTChw, network.policy(maps_BTChw.detach()), cubes="pixel")
    exits.logits_BEC[:, 1:].square().sum().backward()
    assert network.policy.layers[-2].weight.grad.abs().sum() > 0


# --- the classifier ---


def test_statistics_see_a_change_that_the_mean_over_frames_does_not() -> None:
    config = replace(CLIP_CUBES, aggregation="joint_statistics", temporal_shift=False)
    still_BTD = torch.ones(1, 4, 8)
    flickering_BTD = still_BTD * torch.tensor([0.0, 2.0, 0.0, 2.0])[:, None]
    for aggregation, told_apart in (("average", False), ("joint_statistics", True)):
        classifier = build_network(replace(config, aggregation=aggregation), 0).classifier
        still, flickering = (classifier.pool(features_BTD) for features_BTD in (still_BTD, flickering_BTD))
        assert torch.allclose(still, flickering) != told_apart


def test_without_glance_features_predictions_after_cubes_do_not_change_with_the_glance() -> None:
    for config in (FRAME_CUBES, CLIP_CUBES):
        clips_BTHWC, positions_BK3 = clips(config), random_positions(config)
        for kept in (True, False):
            network = build_network(replace(config, glance_features=kept), 0)
            with torch.inference_mode():
                maps_BTChw = network.glance_maps(clips_BTHWC)
                one, other = (
                    network.exits(clips_BTHWC, maps, positions_BK3, cubes="plain").logits_BEC
                    for maps in (maps_BTChw, 2 * maps_BTChw)
                )
            assert not torch.equal(one[:, 0], other[:, 0])
            assert torch.equal(one[:, 1:], other[:, 1:]) != kept


# --- the enlarged cube ---


@pytest.mark.parametrize(
    ("config", "size"),
    [
        pytest.param(frame_cubes(5, cube=96), (2, 128, 128), id="the paper's 96"),
        pytest.param(frame_cubes(5, cube=128), (2, 160, 160), id="the paper's 128"),
        pytest.param(clip_cubes(5), (13, 160, 160), id="the paper's clip cube"),
        pytest.param(clip_cubes(5, cube_frames=16), (16, 160, 160), id="all frames: none to add"),
        pytest.param(
            replace(tiny(), cube_size=(1, 48, 32)), (2, 48, 64), id="one cell and a half take two, all there are"
        ),
        pytest.param(replace(tiny(), cube_size=(1, 64, 40)), (2, 64, 40), id="no further cell in the frame"),
    ],
)
def test_the_enlarged_cube_has_a_cell_more_where_there_is_one(
    config: AdaFocusConfig, size: tuple[int, int, int]
) -> None:
    assert enlarged_size(config) == size


def test_an_enlarged_cube_at_an_edge_is_moved_inwards_whole() -> None:
    config = replace(tiny(), frame_size=(128, 96), glance_size=(64, 48))  # cube 1 x 32 x 32, enlarged 2 x 64 x 64
    clip_THWC = torch.arange(6 * 128 * 96).reshape(6, 128, 96, 1).expand(-1, -1, -1, 3)
    positions_BK3 = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.5, 0.5, 0.5]]])
    crops_NTHWC = crop_enlarged(clip_THWC[None], centres(positions_BK3, config), config)
    assert crops_NTHWC.shape == (3, 2, 64, 64, 3)
    first_pixels = [divmod(int(crop[0, 0, 0, 0]), 96) for crop in crops_NTHWC]
    assert [(row // 128, row % 128, x) for row, x in first_pixels] == [(0, 0, 0), (4, 64, 32), (2, 32, 16)]


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_at_an_edge_there_is_still_a_gradient_inwards_or_outwards(edge: float) -> None:
    positions_BK3 = torch.full((2, 3, 3), edge, requires_grad=True)
    network = training_network(FRAME_CUBES)
    network(clips(FRAME_CUBES, batch=2), positions_BK3).logits_BEC.square().sum().backward()
    assert (positions_BK3.grad != 0).flatten(0, 1).any(0).all()
    assert positions_BK3.grad.isfinite().all()


# --- the forward pass ---


@pytest.mark.parametrize("config", FORMS)
def test_every_exit_has_logits_and_each_encoder_auxiliary_ones(config: AdaFocusConfig) -> None:
    exits = training_network(config)(clips(config))
    cubes, classes = config.max_cubes, config.num_classes
    assert exits.logits_BEC.shape == (3, cubes + 1, classes)
    assert exits.auxiliary_glance_BTC.shape == (3, config.num_glance_frames, classes)
    assert exits.auxiliary_focus_BKTC.shape == (3, cubes, config.cube_size[0], classes)
    assert exits.positions_BK3.shape == (3, cubes, 3)


def test_an_exit_knows_only_the_cubes_before_it() -> None:
    network, clips_BTHWC, positions_BK3 = build_network(CLIP_CUBES, 0), clips(CLIP_CUBES), random_positions(CLIP_CUBES)
    moved_BK3 = positions_BK3.clone()
    moved_BK3[:, 1] = 1 - moved_BK3[:, 1]
    with torch.inference_mode():
        logits_BEC = network(clips_BTHWC, positions_BK3).logits_BEC
        moved_BEC = network(clips_BTHWC, moved_BK3).logits_BEC
    torch.testing.assert_close(moved_BEC[:, :2], logits_BEC[:, :2])
    assert (moved_BEC[:, 2] - logits_BEC[:, 2]).abs().max() > 0


@pytest.mark.parametrize("shape", [(6, 96, 96, 3), (2, 5, 96, 96, 3), (2, 6, 96, 64, 3), (2, 6, 96, 96, 1)])
def test_clips_of_another_shape_are_refused_with_wanted_and_given(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"clips are torch.uint8 .* must be torch.uint8 \(batch, 6, 96, 96, 3\)"):
        build_network(FRAME_CUBES, 0)(torch.zeros(shape, dtype=torch.uint8))
