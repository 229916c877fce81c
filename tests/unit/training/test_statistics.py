"""Scores and their intervals: whole groups are resampled, differences are paired, nothing is too sure."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.judge.statistics import (
    LEAST_GROUPS,
    Interval,
    accuracy_interval,
    calibration_error,
    class_mean_interval,
    confusion_matrix,
    mean_interval,
    resample,
    verdict,
    wilson,
)

videos = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(["court", "street"]), st.floats(-5, 5)),
    min_size=1,
    max_size=40,
)


def columns(rows):
    groups, strata, values = zip(*rows, strict=True)
    return list(groups), list(strata), np.array(values)


class TestBootstrapOverGroups:
    @given(videos, st.floats(-3, 3))
    def test_of_a_constant_has_no_width(self, rows, constant):
        groups, strata, values = columns(rows)
        interval = mean_interval(np.full(len(values), constant), resample(groups, strata, num_draws=50))
        assert (interval.low, interval.high) == pytest.approx((constant, constant))

    @given(videos)
    def test_holds_the_mean_and_stays_within_the_values(self, rows):
        groups, strata, values = columns(rows)
        interval = mean_interval(values, resample(groups, strata, num_draws=50))
        assert interval.low <= interval.value <= interval.high
        assert interval.value == pytest.approx(values.mean())
        assert values.min() - 1e-9 <= interval.low <= interval.high <= values.max() + 1e-9

    @given(videos)
    def test_a_models_difference_from_itself_is_0_without_width(self, rows):
        groups, strata, values = columns(rows)
        assert mean_interval(values - values, resample(groups, strata, num_draws=50)) == Interval(0, 0, 0)

    @given(videos)
    def test_each_draw_takes_as_many_groups_of_a_stratum_as_it_has(self, rows):
        groups, strata, _ = columns(rows)
        resamples = resample(groups, strata, num_draws=20)
        for stratum in set(strata):
            of_stratum = {resamples.group_of_N[i] for i in range(len(rows)) if strata[i] == stratum}
            assert set(resamples.counts_DG[:, list(of_stratum)].sum(axis=1)) == {len(of_stratum)}

    def test_videos_that_agree_within_groups_count_once(self):
        """Ten copies of every video in its group say nothing new; as independent videos they would seem to."""
        values = np.arange(12) % 2
        once = mean_interval(values, resample([str(i) for i in range(12)], ["s"] * 12))
        copied = mean_interval(np.repeat(values, 10), resample([str(i // 10) for i in range(120)], ["s"] * 120))
        assert copied == once
        apart = mean_interval(np.repeat(values, 10), resample([str(i) for i in range(120)], ["s"] * 120))
        assert apart.high - apart.low < 0.5 * (once.high - once.low)

    def test_is_about_as_wide_as_theory_says_where_each_video_is_a_group(self):
        values = np.arange(400) % 2
        interval = mean_interval(values, resample([str(i) for i in range(400)], ["s"] * 400))
        assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.15)

    def test_the_same_seed_gives_the_same_interval_and_another_seed_another(self):
        values, groups = np.arange(30) % 7, [str(i // 3) for i in range(30)]
        first, again, other = (mean_interval(values, resample(groups, ["s"] * 30, seed=seed)) for seed in (1, 1, 2))
        assert first == again != other

    @pytest.mark.parametrize(("groups", "strata"), [([], []), (["a"], []), (["a"], ["s", "s"])])
    def test_no_videos_or_lengths_that_differ_are_refused(self, groups, strata):
        with pytest.raises(ValueError, match="one entry per video"):
            resample(groups, strata)


class TestClassMean:
    def test_weighs_classes_alike_however_many_videos_they_have(self):
        labels, correct = np.array([0] * 90 + [1] * 10), np.array([True] * 90 + [False] * 10)
        resamples = resample([str(i) for i in range(100)], ["s"] * 100)
        assert class_mean_interval(correct, labels, resamples).value == 0.5

    def test_a_class_that_a_draw_lacks_makes_no_nan(self):
        interval = class_mean_interval(np.array([True, False]), np.array([0, 1]), resample(["a", "b"], ["s", "s"]))
        assert (interval.low, interval.high) == (0.0, 1.0)

    @given(videos)
    def test_of_one_class_is_top_1(self, rows):
        groups, strata, values = columns(rows)
        resamples = resample(groups, strata, num_draws=30)
        one_class = class_mean_interval(values > 0, np.zeros(len(values), int), resamples)
        plain = mean_interval(values > 0, resamples)
        assert (one_class.low, one_class.high) == pytest.approx((plain.low, plain.high))


class TestWilson:
    @given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_holds_the_share_and_is_never_empty(self, counts):
        correct, total = counts
        low, high = wilson(correct, total)
        assert 0 <= low <= correct / total <= high <= 1
        assert high > low

    def test_is_the_textbooks(self):
        assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)

    @pytest.mark.parametrize(("correct", "total"), [(1, 0), (-1, 3), (4, 3)])
    def test_what_is_no_share_is_refused(self, correct, total):
        with pytest.raises(ValueError, match="is no share"):
            wilson(correct, total)


def test_an_accuracy_without_errors_is_not_certain():
    interval = accuracy_interval(np.ones(9, bool), resample(list("aaabbbccc"), ["s"] * 9))
    assert interval.value == interval.high == 1
    assert interval.low == pytest.approx(wilson(9, 9)[0])


def test_an_accuracy_over_several_deals_is_no_surer_than_one_of_as_many_videos():
    shares_N = np.full(9, 1 / 3)  # alike in every group: the bootstrap sees no spread at all
    interval = accuracy_interval(shares_N, resample(list("aaabbbccc"), ["s"] * 9))
    assert (interval.low, interval.high) == pytest.approx(wilson(3, 9))
    third = sum([1 / 3] * 3)
    assert accuracy_interval(np.full(9, third), resample(list("aaabbbccc"), ["s"] * 9)).high == pytest.approx(1)


class TestVerdict:
    @pytest.mark.parametrize(
        ("interval", "said"),
        [
            (Interval(0.1, 0.01, 0.2), "above"),
            (Interval(-0.1, -0.2, -0.01), "below"),
            (Interval(0.1, 0, 0.2), "not resolved"),
        ],
    )
    def test_goes_by_the_interval(self, interval, said):
        assert verdict(interval, LEAST_GROUPS) == said

    def test_fewer_than_six_groups_resolve_nothing(self):
        assert verdict(Interval(0.5, 0.4, 0.6), LEAST_GROUPS - 1) == "not resolved"


class TestCalibrationError:
    def test_is_0_where_confidence_is_accuracy(self):
        log_probs = np.log(np.array([[0.75, 0.25]] * 4))
        assert calibration_error(log_probs, np.array([0, 0, 0, 1])) == pytest.approx(0)

    def test_is_the_gap_where_all_are_surely_wrong(self):
        log_probs = np.log(np.array([[0.9, 0.1]] * 5))
        assert calibration_error(log_probs, np.ones(5, int)) == pytest.approx(0.9)

    @given(st.integers(0, 50))
    def test_lies_between_0_and_1(self, seed):
        rng = np.random.default_rng(seed)
        logits = rng.normal(0, 30, (20, 3))
        log_probs = logits - np.logaddexp.reduce(logits, axis=1)[:, None]
        error = calibration_error(log_probs, rng.integers(0, 3, 20))
        assert 0 <= error <= 1
        assert not math.isnan(error)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_a_confusion_matrix_counts_every_video_once(pairs):
    labels, said = (np.array(column) for column in zip(*pairs, strict=True))
    counts = confusion_matrix(labels, said, 4)
    assert counts.sum() == len(pairs)
    assert np.trace(counts) == (labels == said).sum()
    assert (counts.sum(axis=1) == np.bincount(labels, minlength=4)).all()


def test_several_rows_of_a_video_make_no_interval_narrower():
    groups, right_N = list("aaabbbcccddd"), np.array([1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1], float)
    once = accuracy_interval(right_N, resample(groups, ["s"] * 12))
    thrice = accuracy_interval(np.tile(right_N, 3), resample(3 * groups, ["s"] * 36, rows_a_video=3))
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx((once.value, once.low, once.high))
