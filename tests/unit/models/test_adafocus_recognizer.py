"""AdaFocusV3 as a recognizer: batched by nature, each answer its own."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.adafocus.config import AdaFocusConfig
from models.adafocus.cubes import cut
from models.adafocus.network import build_network
from models.adafocus.parts import make_recognizer
from models.adafocus.recognizer import AdaFocusState
from models.recognizer import ChoosesFrames
from models.runtime import RuntimeConfig, make_runtime
from tests.unit.models.lively import (
    CLIP_CUBES,
    FORMS,
    FRAME_CUBES,
    POOLED_CLIP_CUBES,
    EagerRuntime,
    assert_same,
    clip_rule,
    clips,
    lively_network,
    recognizer_of,
    run_alone,
)
from video.clip import ClipRule


def test_the_fixture_is_lively_enough_for_the_tests_below_to_mean_something() -> None:
    for config in (FRAME_CUBES, CLIP_CUBES, POOLED_CLIP_CUBES):
        recognizer = recognizer_of(config)
        one, other = (run_alone(recognizer, clip_THWC) for clip_THWC in clips(config, 2))
        assert one[-1].cubes != other[-1].cubes
        for step in range(config.max_cubes + 1):
            assert np.abs(one[step].probabilities_C - other[step].probabilities_C).max() > 1e-3
            assert one[step].entropy_nats < 0.99 * math.log(config.num_classes)


# --- one clip, step by step ---


@pytest.mark.parametrize("config", FORMS)
def test_steps_count_up_and_name_the_cube_they_looked_at(config: AdaFocusConfig) -> None:
    states = run_alone(recognizer_of(config), clips(config, 1)[0])
    assert [state.step for state in states] == list(range(config.max_cubes + 1))
    assert states[0].cube is None
    assert tuple(state.cube for state in states[1:]) == states[1].cubes == states[-1].cubes


@pytest.mark.parametrize("config", FORMS)
def test_probabilities_sum_to_one_and_entropy_is_theirs(config: AdaFocusConfig) -> None:
    for state in run_alone(recognizer_of(config), clips(config, 1)[0]):
        assert state.probabilities_C.dtype == np.float32
        assert state.probabilities_C.sum() == pytest.approx(1, abs=1e-5)
        expected = -(state.probabilities_C * np.log(state.probabilities_C)).sum()
        assert state.entropy_nats == pytest.approx(expected, abs=1e-5)
        assert 0 <= state.entropy_nats <= math.log(config.num_classes)


@pytest.mark.parametrize("config", FORMS)
def test_every_exit_is_what_the_training_network_says_in_eval_mode(config: AdaFocusConfig) -> None:
    (clip_THWC,) = clips(config, 1)
    with torch.inference_mode():
        logits_EC = lively_network(config)(torch.from_numpy(clip_THWC[None])).logits_BEC[0]
    for state, logits_C in zip(run_alone(recognizer_of(config), clip_THWC), logits_EC, strict=True):
        np.testing.assert_allclose(state.probabilities_C, logits_C.softmax(0), atol=1e-6)


def test_the_running_maximum_equals_one_taken_from_scratch() -> None:
    config, network = POOLED_CLIP_CUBES, lively_network(POOLED_CLIP_CUBES)
    (clip_THWC,) = clips(config, 1)
    final = run_alone(recognizer_of(config), clip_THWC)[-1]
    classifier = network.classifier
    with torch.inference_mode():
        maps = network.glance(torch.from_numpy(clip_THWC[list(config.glance_indices)]))
        glance_G = classifier.glance_mlp(maps.mean((2, 3))).max(0).values
        frames_FD = torch.cat([network.focus(torch.from_numpy(cut(clip_THWC, cube).copy())) for cube in final.cubes])
        pooled_M = classifier.focus_mlp(frames_FD).max(0).values
        head = classifier.step_heads
        logits_C = torch.cat((pooled_M, glance_G)) @ head.weight_KCD[-1].T + head.bias_KC[-1]
    np.testing.assert_allclose(final.probabilities_C, logits_C.softmax(0), atol=1e-6)


def test_averaging_adds_the_glance_to_the_mean_of_all_frame_logits_so_far() -> None:
    config, network = CLIP_CUBES, lively_network(CLIP_CUBES)
    (clip_THWC,) = clips(config, 1)
    final = run_alone(recognizer_of(config), clip_THWC)[-1]
    classifier = network.classifier
    with torch.inference_mode():
        maps = network.glance(torch.from_numpy(clip_THWC[list(config.glance_indices)]))
        glance_TC = classifier.glance_head(maps.mean((2, 3)))
        frames_FD = torch.cat([network.focus(torch.from_numpy(cut(clip_THWC, cube).copy())) for cube in final.cubes])
        logits_C = glance_TC.mean(0) + classifier.focus_head(frames_FD).mean(0)
    np.testing.assert_allclose(final.probabilities_C, logits_C.softmax(0), atol=1e-6)


@pytest.mark.parametrize("config", [FRAME_CUBES, CLIP_CUBES])
def test_the_glance_sees_exactly_its_frames(config: AdaFocusConfig) -> None:
    recognizer = recognizer_of(config)
    (clip_THWC,) = clips(config, 1)
    before = recognizer.glance([clip_THWC])[0].probabilities_C
    for frame in range(config.num_frames):
        changed_THWC = clip_THWC.copy()
        changed_THWC[frame] = 255 - changed_THWC[frame]
        same = np.array_equal(recognizer.glance([changed_THWC])[0].probabilities_C, before)
        assert same == (frame not in config.glance_indices)


@pytest.mark.parametrize("config", FORMS)
def test_a_step_sees_only_its_cube(config: AdaFocusConfig) -> None:
    recognizer = recognizer_of(config)
    (clip_THWC,) = clips(config, 1)
    (glanced,) = recognizer.glance([clip_THWC])
    (state,) = recognizer.focus([glanced])
    assert state.cube is not None
    elsewhere_THWC = np.zeros_like(clip_THWC)
    cut(elsewhere_THWC, state.cube)[:] = cut(clip_THWC, state.cube)
    (again,) = recognizer.focus([replace(glanced, clip_THWC=elsewhere_THWC)])
    assert np.array_equal(again.probabilities_C, state.probabilities_C)
    (blind,) = recognizer.focus([replace(glanced, clip_THWC=np.zeros_like(clip_THWC))])
    assert not np.array_equal(blind.probabilities_C, state.probabilities_C)


# --- company ---


@pytest.mark.parametrize("config", FORMS)
def test_an_answer_does_not_depend_on_its_company(config: AdaFocusConfig) -> None:
    recognizer = recognizer_of(config)
    videos = clips(config, 4)
    alone = [run_alone(recognizer, clip_THWC) for clip_THWC in videos]
    glanced = recognizer.glance(videos)
    for states, state in zip(alone, glanced, strict=True):
        assert_same(state, states[0])
    # Row i starts i % K steps ahead, so that one batch holds rows at different steps; those at the end leave.
    running = [(row, alone[row][row % config.max_cubes]) for row in range(len(videos))]
    assert len({state.step for _, state in running}) > 1
    while running:
        focused = recognizer.focus([state for _, state in running])
        for (row, before), after in zip(running, focused, strict=True):
            assert after.step == before.step + 1
            assert_same(after, alone[row][after.step])
        running = [
            (row, state) for (row, _), state in zip(running, focused, strict=True) if state.step < config.max_cubes
        ]


def test_states_are_values_that_a_step_leaves_alone() -> None:
    recognizer = recognizer_of(FRAME_CUBES)
    (glanced,) = recognizer.glance(clips(FRAME_CUBES, 1))
    (first,) = recognizer.focus([glanced])
    assert (glanced.step, glanced.cubes, first.step) == (0, (), 1)
    (again,) = recognizer.focus([glanced])
    assert_same(again, first, tolerance=0)
    (second,) = recognizer.focus([first])
    assert_same(recognizer.focus([first])[0], second, tolerance=0)


def test_a_state_shares_the_callers_clip_and_keeps_no_batch_alive() -> None:
    recognizer = recognizer_of(FRAME_CUBES)
    videos = clips(FRAME_CUBES, 3)
    for video, state in zip(videos, recognizer.focus(recognizer.glance(videos)), strict=True):
        assert state.clip_THWC is video
        assert state.maps_TChw is None
        for tensor in (state.glance_G, state.memory_M, state.logits_C):
            assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_no_clips_and_no_states_are_no_work() -> None:
    runtime = EagerRuntime()
    recognizer = recognizer_of(FRAME_CUBES, runtime)
    assert recognizer.glance([]) == recognizer.focus([]) == []
    assert runtime.ran == []


def test_later_changes_of_the_network_are_not_seen() -> None:
    network = lively_network(FRAME_CUBES)
    torch_runtime = make_runtime(RuntimeConfig(name="torch", precision="fp32", num_threads=1))
    recognizer = make_recognizer(network, clip_rule(FRAME_CUBES), [1.0] * 4, torch_runtime)
    (clip_THWC,) = clips(FRAME_CUBES, 1)
    before = run_alone(recognizer, clip_THWC)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    for state, was in zip(run_alone(recognizer, clip_THWC), before, strict=True):
        assert_same(state, was, tolerance=0)


# --- the price ---


@pytest.mark.parametrize("config", FORMS)
def test_each_step_costs_what_torch_counts_while_it_runs(config: AdaFocusConfig) -> None:
    recognizer = recognizer_of(config)
    assert all(type(cost) is int for cost in recognizer.step_flops)
    (clip_THWC,) = clips(config, 1)

    def counted(step: Callable[[], Sequence[AdaFocusState]]) -> tuple[int, Sequence[AdaFocusState]]:
        with FlopCounterMode(display=False) as counter:
            states = step()
        return counter.get_total_flops() // 2, states

    counted_flops, states = counted(lambda: recognizer.glance([clip_THWC]))
    assert counted_flops == recognizer.step_flops[0]
    for cost in recognizer.step_flops[1:]:
        counted_flops, states = counted(lambda states=states: recognizer.focus(states))  # type: ignore[misc]
        assert counted_flops == cost


def test_only_the_first_cube_pays_for_the_policy_and_every_batch_is_one_run() -> None:
    runtime = EagerRuntime()
    recognizer = recognizer_of(FRAME_CUBES, runtime)
    _, first, *further = recognizer.step_flops
    assert {first - cost for cost in further} == {first - further[0]}
    assert first > further[0]
    states = recognizer.glance(clips(FRAME_CUBES, 3))
    recognizer.focus(recognizer.focus(states))
    assert runtime.ran == [("GlanceEncoder", 9), ("FocusEncoder", 3), ("FocusEncoder", 3)]


# --- temperature, saturation, refusals ---


def test_temperature_divides_the_logits_of_its_exit() -> None:
    (clip_THWC,) = clips(FRAME_CUBES, 1)
    plain = run_alone(recognizer_of(FRAME_CUBES), clip_THWC)
    warm = run_alone(recognizer_of(FRAME_CUBES, temperature=2.0), clip_THWC)
    for cold_state, warm_state in zip(plain, warm, strict=True):
        expected = np.sqrt(cold_state.probabilities_C)
        np.testing.assert_allclose(warm_state.probabilities_C, expected / expected.sum(), atol=1e-6)
        assert warm_state.entropy_nats >= cold_state.entropy_nats


def test_saturated_logits_have_an_entropy_of_zero_not_nan() -> None:
    for state in run_alone(recognizer_of(FRAME_CUBES, temperature=1e-4), clips(FRAME_CUBES, 1)[0]):
        assert state.entropy_nats == 0
        assert sorted(state.probabilities_C) == [0, 0, 0, 0, 1]


def test_broken_weights_are_an_error_not_an_answer() -> None:
    network = lively_network(FRAME_CUBES)
    with torch.no_grad():
        network.classifier.glance_head.bias.fill_(math.nan)  # type: ignore[union-attr]
    recognizer = make_recognizer(network, clip_rule(FRAME_CUBES), [1.0] * 4, EagerRuntime())  # type: ignore[arg-type]
    with pytest.raises(FloatingPointError, match="not finite"):
        recognizer.glance(clips(FRAME_CUBES, 1))


def test_a_clip_of_another_shape_is_refused_with_wanted_and_given() -> None:
    recognizer = recognizer_of(FRAME_CUBES)
    (clip_THWC,) = clips(FRAME_CUBES, 1)
    for wrong in (clip_THWC[:5], clip_THWC[:, :32], clip_THWC[..., :1], clip_THWC[0], clip_THWC.astype(np.float32)):
        with pytest.raises(ValueError, match=r"a clip is .* must be uint8 \(6, 64, 64, 3\)"):
            recognizer.glance([clip_THWC, wrong])


def test_a_state_with_no_step_left_is_refused() -> None:
    recognizer = recognizer_of(FRAME_CUBES)
    states = run_alone(recognizer, clips(FRAME_CUBES, 1)[0])
    with pytest.raises(ValueError, match="step 3 has no step left"):
        recognizer.focus([states[1], states[-1]])


@pytest.mark.parametrize(
    ("spec", "temperatures", "said"),
    [
        (ClipRule(5, 64, 64, "stretch"), [1.0] * 4, "clip rule gives"),
        (ClipRule(6, 64, 32, "stretch"), [1.0] * 4, "clip rule gives"),
        (ClipRule(6, 64, 64, "stretch"), [1.0] * 3, "4 exits"),
        (ClipRule(6, 64, 64, "stretch"), [1.0, 1.0, 0.0, 1.0], "above 0"),
        (ClipRule(6, 64, 64, "stretch"), [1.0, 1.0, math.nan, 1.0], "finite"),
    ],
)
def test_parts_that_do_not_fit_the_network_are_refused(spec: ClipRule, temperatures: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_recognizer(lively_network(FRAME_CUBES), spec, temperatures, EagerRuntime())  # type: ignore[arg-type]


def test_a_key_names_the_weights_and_the_shape() -> None:
    def keys(config: AdaFocusConfig, seed: int) -> list[str]:
        runtime = EagerRuntime()
        network = build_network(config, seed)
        make_recognizer(network, clip_rule(config), [1.0] * (config.max_cubes + 1), runtime)  # type: ignore[arg-type]
        return runtime.keys

    first = keys(FRAME_CUBES, 0)
    assert first == keys(FRAME_CUBES, 0)
    assert len({*first, *keys(FRAME_CUBES, 1), *keys(replace(FRAME_CUBES, mean=(0.5, 0.5, 0.5)), 0)}) == 6


# --- frames that come later ---


@pytest.mark.parametrize("config", FORMS)
def test_looking_ahead_tells_the_frames_of_the_next_cube_and_changes_no_answer(config: AdaFocusConfig) -> None:
    recognizer = recognizer_of(config)
    (clip_THWC,) = clips(config, 1)
    (state,) = recognizer.glance([clip_THWC])
    for expected in run_alone(recognizer, clip_THWC)[1:]:
        (ahead,) = recognizer.look_ahead([state])
        (state,) = recognizer.focus([ahead.state])
        assert state.cube is not None
        assert ahead.next_indices == tuple(range(state.cube.t, state.cube.t + state.cube.num_frames))
        later = {index for cube in state.cubes[state.step :] for index in range(cube.t, cube.t + cube.num_frames)}
        assert set(ahead.later_indices) == later
        assert_same(state, expected)
    with pytest.raises(ValueError, match="has no step left"):
        recognizer.look_ahead([state])


@pytest.mark.parametrize("config", FORMS)
def test_a_step_reads_no_frame_but_those_it_told_of(config: AdaFocusConfig) -> None:
    recognizer = recognizer_of(config)
    (clip_THWC,) = clips(config, 1)
    held_THWC = np.zeros_like(clip_THWC)  # frames are written into it as they are told of
    glance_indices = list(recognizer.step_indices[0])
    held_THWC[glance_indices] = clip_THWC[glance_indices]
    (state,) = recognizer.glance([held_THWC])
    for expected in run_alone(recognizer, clip_THWC)[1:]:
        (ahead,) = recognizer.look_ahead([state])
        assert {*ahead.next_indices} <= {*recognizer.step_indices[state.step + 1]}
        held_THWC[list(ahead.next_indices)] = clip_THWC[list(ahead.next_indices)]
        (state,) = recognizer.focus([ahead.state])
        assert_same(state, expected)


def test_it_states_that_it_chooses_frames() -> None:
    assert isinstance(recognizer_of(CLIP_CUBES), ChoosesFrames)
