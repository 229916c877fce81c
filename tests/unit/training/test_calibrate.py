"""Calibration: every clip through every step, a temperature per exit, thresholds on tempered entropies."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.adafocus.network import build_network
from models.adafocus.parts import make_recognizer
from models.adafocus.shapes import tiny
from models.runtime import RuntimeConfig, make_runtime
from models.thresholds import entropy_nats, evaluate, log_softmax
from tests.unit.training.drawing import dealt, draw
from training.data.synthetic import LABELS, synthetic_clips
from training.judge.calibrate import (
    GREATEST_TEMPERATURE,
    LEAST_TEMPERATURE,
    calibrate,
    fit_temperature,
    measure,
    observe,
)
from training.judge.calibrated import measure_fresh
from video.clip import ClipRule

CONFIG = tiny(len(LABELS))
SPEC = ClipRule(CONFIG.num_frames, *CONFIG.frame_size, "letterbox")
COSTS = (10, 5, 5)


def recognizer(temperatures):
    runtime = make_runtime(RuntimeConfig(name="torch", precision="fp32", num_threads=1))
    return make_recognizer(build_network(CONFIG, seed=3), SPEC, temperatures, runtime)


def drawn(num_videos=60, num_classes=5, sharpness=1.0, seed=0):
    """Logits of three exits that know the label a little better each, and the labels."""
    rng = np.random.default_rng(seed)
    labels_N = rng.integers(0, num_classes, num_videos)
    logits_NKC = rng.normal(0, 1, (num_videos, 3, num_classes))
    logits_NKC += np.array([0.5, 1.0, 2.0])[:, None] * np.eye(num_classes)[labels_N][:, None]
    return log_softmax(sharpness * logits_NKC), labels_N


class TestObserving:
    def test_every_clip_goes_through_every_step_in_any_batches(self):
        clips = [frames_THWC for frames_THWC, _ in synthetic_clips(SPEC, 5, seed=1)]
        model = recognizer([1.0] * 4)
        by_two, by_eight = (observe(model, clips, batch_size=size) for size in (2, 8))
        assert by_two.shape == (5, len(model.step_flops), len(LABELS))
        np.testing.assert_allclose(np.exp(by_two).sum(axis=2), 1, atol=1e-6)
        np.testing.assert_allclose(by_two, by_eight, atol=1e-5)

    def test_entropies_on_file_are_those_the_tempered_recognizer_answers_with(self):
        pairs = list(synthetic_clips(SPEC, 6, seed=2))
        clips, labels_N = [frames for frames, _ in pairs], [label for _, label in pairs]
        temperatures = [0.5, 1.0, 2.0, 0.1]
        plain = recognizer([1.0] * 4)
        calibration = calibrate(
            observe(plain, clips), labels_N, plain.step_flops, data="d", temperatures_K=temperatures
        )
        tempered = recognizer(temperatures)
        states = tempered.glance(clips)
        for k in range(4):
            states = states if k == 0 else tempered.focus(states)
            served_N = [state.entropy_nats for state in states]
            np.testing.assert_allclose(calibration.entropy_NK[:, k], served_N, atol=1e-5)

    def test_no_clips_are_refused(self):
        with pytest.raises(ValueError, match="no clips"):
            observe(recognizer([1.0] * 4), [])


class TestTemperature:
    @given(st.floats(0.2, 5), st.integers(0, 20))
    def test_undoes_a_scaling_of_the_logits(self, factor, seed):
        log_probs_NKC, labels_N = drawn(seed=seed)
        once, scaled = (fit_temperature(scale * log_probs_NKC[:, 2], labels_N) for scale in (1.0, factor))
        assert scaled == pytest.approx(factor * once, rel=1e-3)

    def test_beats_every_other_on_likelihood(self):
        log_probs_NKC, labels_N = drawn(sharpness=3.0)
        logits_NC = log_probs_NKC[:, 1]

        def nll(temperature):  # with two more clips of any label
            log_probs_NC = log_softmax(logits_NC / temperature)
            said, any_label = log_probs_NC[np.arange(len(labels_N)), labels_N].mean(), log_probs_NC.mean()
            return -(len(labels_N) * said + 2 * any_label) / (len(labels_N) + 2)

        best = fit_temperature(logits_NC, labels_N)
        assert best > 1
        assert all(
            nll(best) <= nll(other) + 1e-9 for other in np.geomspace(LEAST_TEMPERATURE, GREATEST_TEMPERATURE, 99)
        )

    @pytest.mark.parametrize("num_videos", [3, 12, 39, 300])
    def test_clips_that_are_all_right_make_nothing_certain(self, num_videos):
        labels_N = np.arange(num_videos) % 3
        logits_NC = 10 * np.eye(3)[labels_N]
        temperature = fit_temperature(logits_NC, labels_N)
        sure = np.exp(log_softmax(logits_NC[0] / temperature))[0]
        assert sure == pytest.approx(1 - (2 / 3) * 2 / (num_videos + 2), abs=1e-3), "Platt's: as if two more were seen"

    def test_stays_within_its_bounds_where_all_answers_are_wrong(self):
        assert fit_temperature(np.eye(3), np.array([1, 2, 0])) == pytest.approx(GREATEST_TEMPERATURE)
        assert fit_temperature(1000 * np.eye(3), np.array([0, 1, 2])) <= GREATEST_TEMPERATURE

    def test_is_1_where_logits_say_nothing(self):
        assert fit_temperature(np.zeros((4, 3)), np.array([0, 1, 2, 0])) == 1.0


class TestClipsThatCannotCalibrate:
    @pytest.mark.parametrize("right", [True, False])
    def test_all_right_or_all_wrong_is_warned_of_with_the_step(self, right):
        log_probs_NKC, labels_N = drawn()
        calibration = calibrate(log_probs_NKC, labels_N, COSTS, data="clips")
        assert calibration.warning is None
        correct_NK = calibration.correct_NK.copy()
        correct_NK[:, 1] = right
        warning = replace(calibration, correct_NK=correct_NK).warning
        assert warning is not None
        assert warning.startswith("these clips cannot calibrate: at step 1 all ")


class TestCalibrating:
    def test_thresholds_are_solved_on_tempered_entropies(self):
        log_probs_NKC, labels_N = drawn(sharpness=3.0)
        calibration = calibrate(log_probs_NKC, labels_N, COSTS, data="drawn")
        tempered = log_probs_NKC / np.array(calibration.temperatures_K)[:, None]
        np.testing.assert_array_equal(calibration.entropy_NK, entropy_nats(tempered).astype(np.float32))
        assert len(set(calibration.temperatures_K)) == 3
        held_NK = calibration.held_against_thresholds(calibration.entropy_NK, calibration.top_label_NK)
        for point in calibration.grid.points:
            thresholds = point.solution.thresholds_nats
            assert point.solution == evaluate(held_NK, calibration.correct_NK, COSTS, thresholds)

    def test_keeps_what_every_exit_said_and_by_how_much_labels_differ(self):
        log_probs_NKC, labels_N = drawn()
        calibration = calibrate(log_probs_NKC, labels_N, COSTS, data="drawn")
        np.testing.assert_array_equal(calibration.top_label_NK, log_probs_NKC.argmax(axis=2))
        assert calibration.exit_rule == "entropy_by_label"

    def test_plain_eq_7_is_there_to_be_asked_for(self):
        log_probs_NKC, labels_N = drawn()
        calibration = calibrate(log_probs_NKC, labels_N, COSTS, data="drawn", exit_rule="entropy")
        assert (calibration.exit_rule, calibration.offsets) == ("entropy", None)
        for point in calibration.grid.points:
            thresholds = point.solution.thresholds_nats
            assert point.solution == evaluate(calibration.entropy_NK, calibration.correct_NK, COSTS, thresholds)

    def test_saturated_answers_make_no_nan(self):
        log_probs_NKC, labels_N = drawn(sharpness=1e6)
        calibration = calibrate(log_probs_NKC, labels_N, COSTS, data="saturated")
        assert np.isfinite(calibration.entropy_NK).all()
        assert all(math.isfinite(temperature) for temperature in calibration.temperatures_K)

    def test_fewer_videos_than_exits_are_refused(self):
        log_probs_NKC, labels_N = drawn(num_videos=2)
        with pytest.raises(ValueError, match="2 videos are fewer than the model's 3 exits"):
            calibrate(log_probs_NKC, labels_N, COSTS, data="few")

    @pytest.mark.parametrize("labels", [[0, 1], [0, 1, 5], [-1, 0, 1]])
    def test_labels_that_do_not_fit_are_refused(self, labels):
        log_probs_NKC, _ = drawn(num_videos=3)
        with pytest.raises(ValueError, match=r"3 class numbers, one per video, in 0\.\.4"):
            calibrate(log_probs_NKC, labels, COSTS, data="wrong")


def test_measuring_on_the_calibration_set_itself_gives_back_the_grid():
    log_probs_NKC, labels_N = drawn()
    calibration = calibrate(log_probs_NKC, labels_N, COSTS, data="drawn")
    measured = measure(log_probs_NKC, labels_N, calibration, data="the same")
    for point, counted in zip(calibration.grid.points, measured.points, strict=True):
        assert counted.correct == round(point.solution.accuracy * 60)
        spent = sum(n * cost for n, cost in zip(counted.videos_by_last_step_K, np.cumsum(COSTS), strict=True))
        assert spent / 60 == pytest.approx(point.solution.mean_cost_flops)


class TestSeveralDealsOfTheFolds:
    """Every video has a row in each, and weighs once whatever their number."""

    @pytest.mark.parametrize("exit_rule", ["entropy", "entropy_by_label"])
    def test_that_say_the_same_give_what_one_gives(self, exit_rule):
        log_probs_NKC, labels_N = drawn(num_videos=90)
        one, three = (
            calibrate(
                np.tile(log_probs_NKC, (deals, 1, 1)),
                np.tile(labels_N, deals),
                COSTS,
                data="d",
                exit_rule=exit_rule,
                num_deals=deals,
            )
            for deals in (1, 3)
        )
        assert three.temperatures_K == pytest.approx(one.temperatures_K, rel=1e-6)
        for a, b in zip(one.grid.points, three.grid.points, strict=True):
            assert b.solution.thresholds_nats == pytest.approx(a.solution.thresholds_nats, abs=1e-5)
            assert b.solution.accuracy == pytest.approx(a.solution.accuracy)
            assert three.accuracy_by_deal(b) == pytest.approx([a.solution.accuracy] * 3)

    def test_are_told_by_their_mean_at_every_budget_which_keeps_to_it_in_the_mean(self):
        deals = [drawn(num_videos=90, seed=seed) for seed in range(3)]
        labels_N = deals[0][1]
        log_probs_NKC = np.concatenate([deals[0][0], 1.5 * deals[0][0], deals[0][0][::-1]])
        labels = np.concatenate([labels_N, labels_N, labels_N[::-1]])
        calibration = calibrate(log_probs_NKC, labels, COSTS, data="d", num_deals=3)
        assert calibration.num_videos == 90
        for point in calibration.grid.points:
            assert np.mean(calibration.accuracy_by_deal(point)) == pytest.approx(point.solution.accuracy)
            assert point.solution.mean_cost_flops <= point.budget_flops

    def test_do_not_make_fewer_videos_than_exits_enough(self):
        log_probs_NKC, labels_N = drawn(num_videos=2)
        with pytest.raises(ValueError, match="2 videos are fewer than the model's 3 exits"):
            calibrate(np.tile(log_probs_NKC, (5, 1, 1)), np.tile(labels_N, 5), COSTS, data="d", num_deals=5)

    def test_without_other_videos_each_is_measured_once(self):
        deals = [draw(seed=0), draw(seed=0, sharpness=2.0), draw(seed=0, sharpness=0.5)]
        seen = dealt(deals)
        calibration = calibrate(seen.log_probs_NKC, seen.labels_N, seen.step_flops_K, data="d", num_deals=3)
        measured = measure_fresh(seen, None, calibration, 0, Path("videos"))
        assert {sum(point.videos_by_last_step_K) for point in measured.points} == {96}
        assert measured.data.endswith("as the first deal answered them")
