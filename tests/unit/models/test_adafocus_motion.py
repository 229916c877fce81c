"""Where pixels change, and a first step that looks there."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.adafocus.config import AdaFocusConfig
from models.adafocus.encoders import MotionEncoder
from models.adafocus.motion import motion_cube
from models.adafocus.parts import load_part, make_recognizer
from models.adafocus.placed import PlacedAdaFocus
from models.adafocus.shapes import tiny
from models.backbones.config import BackboneConfig
from models.recognizer import Window

from .lively import EagerRuntime, assert_same, clip_rule, clips, run_alone
from .placed_cubes import MOTION, PERSON, RECYCLED, lively_placed

ROWS, COLUMNS = MOTION.frame_size
FIRST = tuple(Window(frame, 0, 0, 48, 40) for frame in MOTION.motion_frames)


def still(level: int = 90) -> np.ndarray:
    return np.full((6, ROWS, COLUMNS, 3), level, np.uint8)


@settings(max_examples=40, deadline=None)
@given(y=st.integers(0, ROWS - 12), x=st.integers(0, COLUMNS - 12), grey=st.integers(0, 255))
def test_a_window_of_each_pair_holds_what_changes_wherever_that_is(y: int, x: int, grey: int) -> None:
    clip_THWC = still()
    for frame in range(6):
        clip_THWC[frame, y : y + 12, x : x + 12] = (grey + 60 * frame) % 256
    cube = motion_cube(MOTION, clip_THWC)
    assert cube.frames == MOTION.motion_frames
    assert [(one.y, one.x) for one in cube.windows[::2]] == [(one.y, one.x) for one in cube.windows[1::2]]
    for window in cube.windows:
        assert (window.height_px, window.width_px) == MOTION.motion_window
        assert 0 <= window.y <= y // 4 * 4
        assert 0 <= window.x <= x // 4 * 4
        assert y + 12 <= window.y + 48 + 3  # found in blocks of four pixels
        assert x + 12 <= window.x + 40 + 3
        assert window.y + 48 <= ROWS
        assert window.x + 40 <= COLUMNS


def test_where_nothing_moves_and_where_all_becomes_lighter_it_looks_into_the_first_corner() -> None:
    lighter = np.stack([still(level)[0] for level in (20, 60, 100, 140, 180, 220)])
    assert motion_cube(MOTION, still()).windows == FIRST
    assert motion_cube(MOTION, lighter).windows == FIRST


def test_the_network_sees_differences_alone() -> None:
    encoder = MotionEncoder(MOTION).eval()
    pairs_NHWC = torch.from_numpy(np.random.default_rng(0).integers(0, 200, (4, 48, 40, 3), dtype=np.uint8))
    with torch.inference_mode():
        torch.testing.assert_close(encoder(pairs_NHWC), encoder(pairs_NHWC + 40))
        assert not torch.allclose(encoder(pairs_NHWC), encoder(pairs_NHWC.flip(0)))


def test_what_moves_changes_every_answer_but_the_glances() -> None:
    network = lively_placed(MOTION)
    recognizer = make_recognizer(network, clip_rule(MOTION), [1.0] * 4, EagerRuntime())
    (clip_THWC,) = clips(MOTION, 1)
    before = run_alone(recognizer, clip_THWC)
    assert network.motion is not None
    with torch.no_grad():
        for parameter in network.motion.parameters():
            parameter.mul_(0.5)
    after = run_alone(make_recognizer(network, clip_rule(MOTION), [1.0] * 4, EagerRuntime()), clip_THWC)
    assert [np.array_equal(a.probabilities_C, b.probabilities_C) for a, b in zip(before, after, strict=True)] == [
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize("config", [MOTION, RECYCLED], ids=["heads alone", "with a share of the exit before"])
def test_rows_that_look_at_motion_and_rows_that_look_at_cubes_share_a_batch(config: AdaFocusConfig) -> None:
    runtime = EagerRuntime()
    recognizer = make_recognizer(lively_placed(config), clip_rule(config), [1.0] * 4, runtime)
    some = clips(config, 3)
    alone = [run_alone(recognizer, clip_THWC) for clip_THWC in some]
    glanced = recognizer.glance(some)
    second = recognizer.focus(recognizer.focus(glanced[:1]))
    mixed = recognizer.focus([*glanced[1:2], *second, *glanced[2:]])
    for state, row, step in zip(mixed, (1, 0, 2), (1, 3, 1), strict=True):
        assert_same(state, alone[row][step])
    with pytest.raises(ValueError, match="takes 3 after the first"):
        recognizer.focus(mixed)


def test_it_is_said_beforehand_which_frames_are_looked_at() -> None:
    recognizer = make_recognizer(lively_placed(MOTION), clip_rule(MOTION), [1.0] * 4, EagerRuntime())
    assert recognizer.step_indices == (MOTION.glance_indices, (0, 1, 3, 5), (1, 3), (0, 5))
    (ahead,) = recognizer.look_ahead(recognizer.glance(clips(MOTION, 1)))
    assert (ahead.next_indices, ahead.later_indices) == ((0, 1, 3, 5), (0, 1, 3, 5))
    (ahead,) = recognizer.look_ahead(recognizer.focus([ahead.state]))
    assert (ahead.next_indices, ahead.later_indices) == ((1, 3), (0, 5))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"motion_frames": (0, 1, 3)}, r"motion_frames are \(0, 1, 3\), but must rise and be pairs"),
        ({"motion_frames": (0, 1)}, "two at least"),
        ({"motion_frames": (1, 0, 3, 5)}, "must rise"),
        ({"motion_frames": (0, 1, 2, 4)}, r"name \[2, 4\], which are none of the glance's"),
        ({"motion_window": (60, 40)}, r"at most frame_size \(56, 72\)"),
        ({"motion_size": (64, 32)}, "at least motion_size"),
        ({"motion_frames": (0.0, 1, 3, 5)}, "whole numbers"),
        ({"motion_window": (50, 48)}, "multiples of 4"),
        ({"motion_window": (48.0, 40)}, "in whole pixels"),
        ({"motion_window": (48, 40, 3)}, r"\(rows, columns\)"),
        ({"motion_size": (0, 0)}, "motion_size at least 32"),
        ({"motion": BackboneConfig("resnet18")}, "take mobilenet_v2"),
    ],
)
def test_motion_that_cannot_be_is_refused_with_its_value_and_rule(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(MOTION, **change)


def test_motion_is_not_for_learned_cubes() -> None:
    with pytest.raises(ValueError, match=r"motion_frames is .* belongs to another placement"):
        replace(tiny(), motion_frames=(0, 2, 2, 4))


def test_a_configuration_from_before_motion_has_none() -> None:
    values = PERSON.to_dict()
    for name in ("motion", "motion_frames", "motion_window", "motion_size"):
        del values[name]
    assert AdaFocusConfig.from_dict(values) == PERSON
    assert AdaFocusConfig.from_dict(MOTION.to_dict()) == MOTION


def test_weights_of_motion_are_for_a_network_that_sees_it() -> None:
    network = PlacedAdaFocus(MOTION)
    assert network.motion is not None
    other = {name: tensor + 1 for name, tensor in network.motion.backbone.state_dict().items()}
    load_part("motion", network, other)
    assert torch.equal(next(network.motion.parameters()), next(iter(other.values())))
    with pytest.raises(ValueError, match="motion weights are for a model with motion_frames"):
        load_part("motion", PlacedAdaFocus(PERSON), other)
