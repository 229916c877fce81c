"""Whether two pictures show different things."""

import numpy as np

from service.timelines.reel import differ

SCENE = np.random.default_rng(1).integers(40, 200, (10, 10, 3), np.uint8).repeat(16, 0).repeat(16, 1)


def test_a_sensors_noise_is_no_difference() -> None:
    noisy = SCENE + np.random.default_rng(2).integers(0, 3, SCENE.shape, np.uint8)
    assert not differ(noisy, SCENE)


def test_something_small_that_comes_into_the_picture_is() -> None:
    with_thing = SCENE.copy()
    with_thing[40:52, 60:72] = 255 - with_thing[40:52, 60:72]
    assert differ(with_thing, SCENE)


def test_a_lamp_that_goes_off_is() -> None:
    assert differ((SCENE * 0.9).astype(np.uint8), SCENE)


def test_pictures_smaller_than_the_blocks_are_compared_as_a_whole() -> None:
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert differ(black, white)
    assert not differ(black, black)
