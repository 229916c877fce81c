"""A glance that comes in two parts: an exit after some of its frames, and another after all of them."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.adafocus.config import AdaFocusConfig
from models.adafocus.costs import frame_flops, step_flops
from models.adafocus.parts import heads, make_recognizer, parts
from models.adafocus.recognizer import AdaFocusRecognizer
from models.adafocus.shapes import tiny
from models.recognizer import Frames, Shared
from training.families import training_of

from .lively import EagerRuntime, assert_same, clip_rule, clips, run_alone
from .placed_cubes import IN_PARTS, PERSON, RECYCLED, lively_placed

FIRST, SECOND = (0, 3), (1, 5)


def recognizer_of(config: AdaFocusConfig = IN_PARTS, runtime: Any = None) -> AdaFocusRecognizer:
    rule, num_exits = clip_rule(config), config.num_steps + 1
    return make_recognizer(lively_placed(config), rule, [1.0] * num_exits, runtime or EagerRuntime())


def whole_clip_without(frames: tuple[int, ...]) -> tuple[Frames, Frames]:
    """A clip, and the same with other pixels in these frames."""
    (clip_THWC,) = clips(IN_PARTS, 1)
    other_THWC = clip_THWC.copy()
    other_THWC[list(frames)] = 255 - other_THWC[list(frames)]
    return clip_THWC, other_THWC


def test_the_first_step_sees_its_own_frames_and_the_second_the_rest() -> None:
    assert IN_PARTS.glance_parts == (FIRST, SECOND)
    assert RECYCLED.glance_parts == (RECYCLED.glance_indices,)
    recognizer = recognizer_of()
    assert recognizer.glance_indices == IN_PARTS.glance_indices
    assert recognizer.step_indices == (FIRST, SECOND, IN_PARTS.motion_frames, *IN_PARTS.step_frames)
    before, after = (run_alone(recognizer, clip_THWC) for clip_THWC in whole_clip_without(SECOND))
    assert_same(before[0], after[0])
    assert not np.allclose(before[1].probabilities_C, after[1].probabilities_C)
    assert [state.cube is None for state in before] == [True, True, False, False, False]


def test_after_its_second_part_a_glance_is_the_one_that_came_at_once() -> None:
    """Its head, its memory, its cubes and all that follows, but for what exits keep of the first."""
    config = replace(IN_PARTS, recycled_share=0.0)
    at_once = replace(config, first_glance_indices=())
    whole = lively_placed(at_once)
    split = lively_placed(config)
    split.load_state_dict(whole.state_dict(), strict=False)
    rule = clip_rule(config)
    (clip_THWC,) = clips(config, 1)
    found, wanted = (
        run_alone(make_recognizer(network, rule, [1.0] * (network.config.num_steps + 1), EagerRuntime()), clip_THWC)
        for network in (split, whole)
    )
    assert len(found) == len(wanted) + 1
    for state, other in zip(found[1:], wanted, strict=True):
        np.testing.assert_allclose(state.probabilities_C, other.probabilities_C, atol=1e-5)
        assert state.cube == other.cube


def test_both_parts_together_cost_a_glance_and_a_head_more() -> None:
    first, second, *cubes = step_flops(IN_PARTS)
    glance, *same = step_flops(RECYCLED)
    assert cubes == same
    a_frame = frame_flops(IN_PARTS)
    assert a_frame is not None
    head = first - len(FIRST) * a_frame
    assert first + second == glance + head
    assert 0 < head < a_frame / 10


def test_a_batch_may_hold_clips_at_every_step() -> None:
    recognizer = recognizer_of()
    some = clips(IN_PARTS, 5)
    alone = [run_alone(recognizer, clip_THWC) for clip_THWC in some]
    mixed = [states[step] for step, states in enumerate(alone[:4])]
    for step, (row, state) in enumerate(zip(alone[:4], recognizer.focus(mixed), strict=True)):
        assert_same(state, row[step + 1])
    with pytest.raises(ValueError, match="no step left"):
        recognizer.focus([alone[4][4]])


def test_where_it_looks_next_is_known_before_its_cubes_are_placed() -> None:
    recognizer = recognizer_of()
    states = recognizer.glance(clips(IN_PARTS, 1))
    (ahead,) = recognizer.look_ahead(states)
    assert ahead.next_indices == SECOND
    assert set(ahead.later_indices) == {0, 1, 3, 5}
    assert ahead.state.cubes == ()
    (ahead,) = recognizer.look_ahead(recognizer.focus([ahead.state]))
    assert ahead.next_indices == IN_PARTS.motion_frames
    both = recognizer.look_ahead([states[0], ahead.state])
    assert [one.next_indices for one in both] == [SECOND, IN_PARTS.motion_frames]


def test_frames_that_come_late_are_those_that_the_second_part_sees() -> None:
    """A state keeps the array it was given: the second part sees what was written into it by then."""
    recognizer = recognizer_of()
    (clip_THWC,) = clips(IN_PARTS, 1)
    late_THWC = clip_THWC.copy()
    late_THWC[list(SECOND)] = 0
    states = recognizer.glance([late_THWC])
    late_THWC[list(SECOND)] = clip_THWC[list(SECOND)]
    assert_same(recognizer.focus(states)[0], run_alone(recognizer, clip_THWC)[1])


def test_windows_share_frames_of_both_parts_and_are_told_what_each_saves() -> None:
    runtime = EagerRuntime()
    recognizer = recognizer_of(runtime=runtime)
    frames_NHWC = np.concatenate(clips(IN_PARTS, 2))
    memory: dict[int, Any] = {}
    keys_T = tuple(range(6))
    assert recognizer.num_glance_frames == (2, 2)
    assert recognizer.num_new_frames(Shared(keys_T, memory)) == (2, 2)
    states = recognizer.glance_sharing([frames_NHWC[:6]], [Shared(keys_T, memory)])
    assert set(memory) == set(FIRST)
    recognizer.focus(states)
    assert set(memory) == {0, 1, 3, 5}
    moved = Shared(tuple(range(2, 8)), memory)  # its first part sees 2 and 5, its second one 3 and 7
    expected = recognizer.num_new_frames(moved)
    assert expected == (1, 1)
    clip_THWC, ran = frames_NHWC[list(moved.keys_T)], len(runtime.ran)
    with FlopCounterMode(display=False) as counter:
        (first,) = recognizer.glance_sharing([clip_THWC], [moved])
    frame = frame_flops(IN_PARTS)
    assert frame is not None
    assert counter.get_total_flops() == 2 * (step_flops(IN_PARTS)[0] - frame)
    with FlopCounterMode(display=False) as counter:
        (second,) = recognizer.focus([first])
    assert counter.get_total_flops() == 2 * (step_flops(IN_PARTS)[1] - frame)
    assert [rows for _, rows in runtime.ran[ran:]] == [1, 1]
    alone = run_alone(recognizer, clip_THWC)
    assert_same(first, alone[0])
    assert_same(second, alone[1])
    assert second.unseen is None
    # what was known at the first part stays known, whatever the memory holds by then
    again = Shared(keys_T, dict(memory))
    (first,) = recognizer.glance_sharing([frames_NHWC[:6]], [again])
    again.memory.clear()
    ran = len(runtime.ran)
    (second,) = recognizer.focus([first])
    assert [rows for _, rows in runtime.ran[ran:]] == [1]
    assert set(again.memory) == set(SECOND)
    assert_same(second, run_alone(recognizer, frames_NHWC[:6])[1])
    repeated = Shared((0, 1, 1, 0, 4, 1), {})  # as clips of short videos are: the second part knows 0 and finds 1
    assert recognizer.num_new_frames(repeated) == (1, 1)


def test_its_open_set_features_are_those_of_the_first_part() -> None:
    recognizer = recognizer_of()
    before, after = (recognizer.glance([clip_THWC])[0] for clip_THWC in whole_clip_without(SECOND))
    np.testing.assert_array_equal(recognizer.glance_features(before), recognizer.glance_features(after))
    with pytest.raises(ValueError, match="ask before the next step"):
        recognizer.glance_features(recognizer.focus([before])[0])


def test_its_head_is_the_first_of_all_and_is_fitted_like_the_others() -> None:
    network = lively_placed(IN_PARTS)
    found = heads(network)
    assert found[0].module is network.classifier.first_head
    assert len(found) == IN_PARTS.num_steps + 1
    assert set(parts(network)) - set(parts(lively_placed(RECYCLED))) == {"second"}
    training = training_of(network)
    given = training.features(network, torch.from_numpy(np.stack(clips(IN_PARTS, 3))), torch.Generator(), learned=False)
    regressions = training.regressions(network)
    assert [head.weights[0].shape for head in regressions] == [one.weight_CF.shape for one in found]
    with torch.inference_mode():
        own = [head.rows(given).flatten(1) @ head.weights[0].T + head.biases[0] for head in regressions]
        wanted_BEC = network(torch.from_numpy(np.stack(clips(IN_PARTS, 3)))).logits_BEC
    torch.testing.assert_close(torch.stack(list(training.answered(network, own)), dim=1), wanted_BEC)


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ((0,), "two at least"),
        ((3, 0), "must rise"),
        ((0, 0), "must rise"),
        ((0, 2), r"some of the glance's \(0, 1, 3, 5\)"),
        ((0, 1, 3, 5), "not all"),
        ((0.0, 3), "whole numbers"),
    ],
)
def test_frames_that_cannot_be_the_first_are_refused_with_their_rule(frames: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ValueError, match=f"first_glance_indices are .*{said}"):
        replace(IN_PARTS, first_glance_indices=frames)


def test_a_learned_placement_has_no_first_part_and_a_configuration_made_before_none_either() -> None:
    with pytest.raises(ValueError, match="belongs to another placement"):
        replace(tiny(), first_glance_indices=(0, 2))
    values = PERSON.to_dict()
    del values["first_glance_indices"]
    assert AdaFocusConfig.from_dict(json.loads(json.dumps(values))) == PERSON
    assert AdaFocusConfig.from_dict(json.loads(json.dumps(IN_PARTS.to_dict()))) == IN_PARTS
