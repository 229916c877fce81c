"""Where cubes lie at inference."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.adafocus.config import AdaFocusConfig
from models.adafocus.cubes import cut, place_cubes
from models.adafocus.shapes import clip_cubes, frame_cubes, tiny
from models.recognizer import Cube

positions_in = st.floats(0, 1, width=32)


@st.composite
def placements(draw: st.DrawFn) -> tuple[AdaFocusConfig, np.ndarray]:
    frames = draw(st.integers(1, 9))
    height, width = draw(st.integers(1, 70)), draw(st.integers(1, 70))
    cube = tuple(draw(st.integers(1, size)) for size in (frames, height, width))
    config = replace(
        tiny(),
        num_frames=frames,
        frame_size=(height, width),
        glance_size=(height, width),
        glance_indices=(0,),
        cube_size=cube,
        max_cubes=draw(st.integers(1, frames if cube[0] == 1 else 5)),
    )
    return config, draw(arrays.arrays(np.float32, (config.max_cubes, 3), elements=positions_in))


@given(placements())
def test_every_cube_lies_inside_the_clip(placement: tuple[AdaFocusConfig, np.ndarray]) -> None:
    config, positions_K3 = placement
    clip_THWC = np.zeros((config.num_frames, *config.frame_size, 3), np.uint8)
    cubes = place_cubes(positions_K3, config)
    assert len(cubes) == config.max_cubes
    for cube in cubes:
        assert min(cube.t, cube.y, cube.x) >= 0
        assert cut(clip_THWC, cube).shape == (*config.cube_size, 3)


@given(placements())
def test_single_frame_cubes_never_use_a_frame_twice(placement: tuple[AdaFocusConfig, np.ndarray]) -> None:
    config, positions_K3 = placement
    config = replace(config, cube_size=(1, *config.cube_size[1:]), max_cubes=min(config.max_cubes, config.num_frames))
    frames = [cube.t for cube in place_cubes(positions_K3[: config.max_cubes], config)]
    assert len(set(frames)) == len(frames)


@given(arrays.arrays(np.float32, (18, 3), elements=positions_in))
def test_as_many_cubes_as_frames_see_every_frame(positions_K3: np.ndarray) -> None:
    assert sorted(cube.t for cube in place_cubes(positions_K3, frame_cubes(200))) == list(range(18))


@given(placements())
def test_the_centre_is_where_the_policy_put_it_to_within_a_pixel(placement: tuple[AdaFocusConfig, np.ndarray]) -> None:
    config, positions_K3 = placement
    for (_, v, u), cube in zip(positions_K3.astype(float), place_cubes(positions_K3, config), strict=True):
        height, width = config.frame_size
        assert 0 <= v * (height - cube.height_px) - cube.y < 1 + 1e-6
        assert 0 <= u * (width - cube.width_px) - cube.x < 1 + 1e-6


def positions(*first_frames: float) -> np.ndarray:
    return np.array([(t / 5, 0.0, 0.0) for t in first_frames], np.float32)


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ((1, 3, 5), [1, 3, 5]),
        ((3, 3, 3), [3, 2, 4]),  # the nearest unused frame, the earlier on a tie
        ((0, 0, 0), [0, 1, 2]),
        ((5, 5, 4), [5, 4, 3]),
        ((1.4, 1.6, 2.4), [1, 2, 3]),  # 2.4 wants 2, which is used; 1 is as well
    ],
)
def test_a_used_frame_gives_way_to_the_nearest_unused_one(wanted: tuple[float, ...], taken: list[int]) -> None:
    assert [cube.t for cube in place_cubes(positions(*wanted), tiny())] == taken


def test_clip_cubes_may_overlap() -> None:
    both = place_cubes(np.full((2, 3), 0.5, np.float32), clip_cubes(174))
    assert both == (Cube(2, 48, 48, 12, 128, 128),) * 2


def test_first_and_last_positions_touch_the_edges() -> None:
    first, last = place_cubes(np.array([(0, 0, 0), (1, 1, 1)], np.float32), clip_cubes(174))
    assert (first.t, first.y, first.x) == (0, 0, 0)
    assert (last.t, last.y, last.x) == (4, 96, 96)


def test_a_cut_is_a_view() -> None:
    clip_THWC = np.zeros((6, 64, 64, 3), np.uint8)
    cut(clip_THWC, Cube(2, 3, 4, 1, 32, 32))[:] = 9
    assert clip_THWC[2, 3:35, 4:36].min() == 9
    assert clip_THWC.sum() == 9 * 32 * 32 * 3
