"""Cubes of differences: the glance sees how things look, cubes how they move."""

import numpy as np
import pytest
import torch

from models.adafocus.config import AdaFocusConfig
from models.adafocus.costs import step_flops
from models.flops import count_call_flops
from models.recognizer import Frames
from tests.unit.models.lively import DIFFERENCE_CUBES, STATISTICS_CLIP_CUBES, clips, lively_network


def still(config: AdaFocusConfig, seed: int) -> Frames:
    """One picture of noise, as a clip."""
    return np.repeat(clips(config, 1, seed)[0][:1], config.num_frames, axis=0)


def stack(*clips_THWC: Frames) -> torch.Tensor:
    return torch.from_numpy(np.stack(clips_THWC))


@pytest.mark.parametrize(("config", "told_apart"), [(STATISTICS_CLIP_CUBES, True), (DIFFERENCE_CUBES, False)])
def test_where_nothing_moves_all_scenes_look_alike_to_cubes_but_not_to_the_glance(
    config: AdaFocusConfig, told_apart: bool
) -> None:
    network = lively_network(config)
    two_BTHWC = stack(still(config, 0), still(config, 1))
    with torch.inference_mode():
        maps_BTChw = network.glance_maps(two_BTHWC)
        cubes_BKTD = network.cube_features(two_BTHWC, torch.full((2, 2, 3), 0.5), cubes="plain")
    assert not torch.allclose(maps_BTChw[0], maps_BTChw[1])
    assert torch.allclose(cubes_BKTD[0], cubes_BKTD[1]) != told_apart


def test_a_difference_is_that_of_neighbours_within_one_cube() -> None:
    """Cubes lie side by side in a batch: the last frame of one is no neighbour of the first of the next."""
    network, clip_THWC = lively_network(DIFFERENCE_CUBES), clips(DIFFERENCE_CUBES, 1)[0]
    crops_THWC = torch.from_numpy(clip_THWC[:3, :32, :32])
    other_THWC = torch.from_numpy(clip_THWC[3:, :32, :32])
    with torch.inference_mode():
        alone_TD = network.focus(crops_THWC)
        together_TD = network.focus(torch.cat((crops_THWC, other_THWC)))
        backwards_TD = network.focus(crops_THWC.flip(0))
    assert len(alone_TD) == DIFFERENCE_CUBES.num_focus_images(3) == 2
    torch.testing.assert_close(together_TD[:2], alone_TD)
    assert not torch.allclose(alone_TD, backwards_TD.flip(0)), "a difference has a direction"


def test_a_cube_of_three_frames_costs_two_images() -> None:
    crops_THWC = torch.zeros(3, 32, 32, 3, dtype=torch.uint8)
    frames, differences = (
        count_call_flops(lively_network(config).focus, crops_THWC)
        for config in (STATISTICS_CLIP_CUBES, DIFFERENCE_CUBES)
    )
    assert 3 * differences == 2 * frames
    saved = [a - b for a, b in zip(step_flops(STATISTICS_CLIP_CUBES), step_flops(DIFFERENCE_CUBES), strict=True)]
    assert saved[0] == 0
    assert saved[2] == frames - differences
