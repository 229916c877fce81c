"""Overlapping windows share the glance's work on the frames they have in common, and get the answers they would get."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from models.adafocus.recognizer import AdaFocusRecognizer
from models.recognizer import Frames, ReusesFrames, Shared

from .lively import CLIP_CUBES, FRAME_CUBES, EagerRuntime, assert_same, recognizer_of, run_alone

T = FRAME_CUBES.num_frames
GLANCE_FRAMES = FRAME_CUBES.num_glance_frames


def footage(count: int, seed: int = 0) -> Frames:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, *FRAME_CUBES.frame_size, 3), np.uint8)


def glance_at(
    recognizer: AdaFocusRecognizer, frames_NHWC: Frames, keys_T: tuple[int, ...], memory: dict[int, Any]
) -> Any:
    (state,) = recognizer.glance_sharing([frames_NHWC[list(keys_T)]], [Shared(keys_T, memory)])
    return state


def assert_same_answer(state: Any, alone: Any, scores: float = 1e-6) -> None:
    """Scores to 1e-6, the entropy to 1e-5: it sums what one new frame and three round differently."""
    np.testing.assert_allclose(state.probabilities_C, alone.probabilities_C, atol=scores)
    assert_same(state, alone)


def counted(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() // 2


def test_only_models_whose_frames_do_not_look_at_each_other_can_share() -> None:
    frames, clips = recognizer_of(FRAME_CUBES), recognizer_of(CLIP_CUBES)
    assert isinstance(frames, ReusesFrames)
    assert frames.frame_flops is not None
    assert clips.frame_flops is None


def test_sliding_windows_get_the_answers_they_would_get_alone_at_every_step() -> None:
    recognizer, frames_NHWC, memory = recognizer_of(FRAME_CUBES), footage(4 * T), {}
    for start in range(0, 3 * T, max(1, T // 4)):
        keys_T = tuple(range(start, start + T))
        state = glance_at(recognizer, frames_NHWC, keys_T, memory)
        alone = run_alone(recognizer, frames_NHWC[list(keys_T)])
        assert_same_answer(state, alone[0], scores=2e-6)
        states = [state]
        for expected in alone[1:]:
            states = recognizer.focus(states)
            assert_same_answer(states[0], expected, scores=2e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 11), min_size=T, max_size=T).map(sorted), min_size=1, max_size=5))
def test_whatever_frames_windows_repeat_or_skip_the_answers_are_the_same(windows: list[list[int]]) -> None:
    recognizer, frames_NHWC, memory = recognizer_of(FRAME_CUBES), footage(12), {}
    for window in windows:
        state = glance_at(recognizer, frames_NHWC, tuple(window), memory)
        (alone,) = recognizer.glance([frames_NHWC[window]])
        assert_same_answer(state, alone)
        assert memory.keys() <= set(window)  # it does not grow


def test_new_frames_alone_are_looked_at_each_once() -> None:
    runtime = EagerRuntime()
    recognizer, frames_NHWC, memory = recognizer_of(FRAME_CUBES, runtime), footage(2 * T), {}
    first, second = tuple(range(T)), tuple(range(1, T + 1))
    glance_at(recognizer, frames_NHWC, first, memory)
    glance_at(recognizer, frames_NHWC, first, memory)
    (new,) = recognizer.num_new_frames(Shared(second, memory))
    glance_at(recognizer, frames_NHWC, second, memory)
    glance_at(recognizer, frames_NHWC, (2 * T - 1,) * T, memory)
    rows = [count for _, count in runtime.ran]
    assert rows == [GLANCE_FRAMES, *([new] if new else []), 1]


def test_a_glance_that_skips_frames_finds_them_two_windows_later() -> None:
    """By an odd number of frames a window moves onto those that its glance skips; the next one is back."""
    recognizer, frames_NHWC, memory = recognizer_of(FRAME_CUBES), footage(2 * T), {}
    assert np.diff(FRAME_CUBES.glance_indices).tolist() == [2] * (GLANCE_FRAMES - 1)
    new = []
    for start in range(4):
        keys_T = tuple(range(start, start + T))
        new += recognizer.num_new_frames(Shared(keys_T, memory))
        glance_at(recognizer, frames_NHWC, keys_T, memory)
    assert new == [GLANCE_FRAMES, GLANCE_FRAMES, 1, 1]


def test_a_batch_may_mix_clips_that_share_with_clips_that_do_not() -> None:
    recognizer, frames_NHWC, memory = recognizer_of(FRAME_CUBES), footage(2 * T), {}
    glance_at(recognizer, frames_NHWC, tuple(range(T)), memory)
    keys_T = tuple(range(2, T + 2))
    clips_THWC = [frames_NHWC[:T], frames_NHWC[list(keys_T)], frames_NHWC[T:]]
    mixed = recognizer.glance_sharing(clips_THWC, [None, Shared(keys_T, memory), None])
    for state, alone in zip(mixed, recognizer.glance(clips_THWC), strict=True):
        assert_same(state, alone, tolerance=1e-6)


@pytest.mark.parametrize("shift", [0, 1, T])
def test_what_is_saved_is_what_torch_does_not_count(shift: int) -> None:
    recognizer, frames_NHWC, memory = recognizer_of(FRAME_CUBES), footage(2 * T), {}
    glance_at(recognizer, frames_NHWC, tuple(range(T)), memory)
    keys_T = tuple(range(shift, shift + T))
    (num_new,) = recognizer.num_new_frames(Shared(keys_T, memory))
    spent = counted(lambda: glance_at(recognizer, frames_NHWC, keys_T, memory))
    assert recognizer.frame_flops is not None
    assert spent == recognizer.step_flops[0] - (GLANCE_FRAMES - num_new) * recognizer.frame_flops


def test_remembered_features_keep_no_batch_alive() -> None:
    recognizer, memory = recognizer_of(FRAME_CUBES), {}
    glance_at(recognizer, footage(T), tuple(range(T)), memory)
    for features in memory.values():
        assert isinstance(features, torch.Tensor)
        assert features.untyped_storage().nbytes() == features.nbytes
