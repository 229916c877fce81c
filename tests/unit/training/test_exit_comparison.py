"""Exit rules against leaving at random: thresholds never see the videos that they are judged on."""

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.training.drawing import COSTS, dealt, draw
from training.judge.exit_choice import choose_exit_rule, default_budget_flops
from training.judge.exit_comparison import (
    COMPARISONS,
    RULES,
    cross_fitted,
    on_other_videos,
    read_comparisons,
    write_comparisons,
)
from training.judge.exit_page import exits_section, exits_table
from training.judge.exit_steps import random_exit, solved_steps

SEEN = draw(num_videos=200, num_groups=40)


@pytest.fixture(scope="module")
def comparison():
    return cross_fitted(SEEN, name="drawn", num_folds=3, num_repeats=2)


class TestRandomExit:
    def test_at_the_cost_of_a_fixed_depth_is_that_depth(self):
        for k, spent in enumerate(SEEN.spent_K):
            np.testing.assert_allclose(random_exit(SEEN, float(spent)), SEEN.correct_NK[:, k])

    def test_between_two_depths_lies_on_the_straight_line(self):
        middle = random_exit(SEEN, float(SEEN.spent_K[1] + SEEN.spent_K[2]) / 2)
        np.testing.assert_allclose(middle, SEEN.correct_NK[:, 1:3].mean(axis=1))

    def test_of_a_fixed_cost_model_is_its_one_answer(self):
        seen = draw(costs=(100,), knows=(1.0,))
        np.testing.assert_allclose(random_exit(seen, 100.0), seen.correct_NK[:, 0])


class TestComparing:
    def test_every_rule_is_judged_at_every_budget_and_plain_eq_7_differs_from_itself_by_nothing(self, comparison):
        assert [len(comparison.at(rule)) for rule in (*RULES, "chosen")] == [16, 16, 16]
        assert {point.minus_entropy.value for point in comparison.at("entropy")} == {0.0}

    def test_at_both_ends_there_is_nothing_to_choose(self, comparison):
        for rule in RULES:
            first, *_, last = comparison.at(rule)
            assert (first.mean_gflops, last.mean_gflops) == pytest.approx((COSTS[0] / 1e9, sum(COSTS) / 1e9))
            assert last.minus_random.value == pytest.approx(0.0)

    def test_entropy_that_tells_easy_videos_apart_beats_leaving_at_random(self, comparison):
        assert max(point.minus_random.value for point in comparison.at("entropy")) > 0.02
        assert "above" in {point.verdict for point in comparison.at("entropy")}

    def test_labels_of_the_videos_judged_change_no_step(self):
        fresh_N = np.arange(200) % 40 < 10
        for rule in RULES:
            told = solved_steps(SEEN, ~fresh_N, SEEN, fresh_N, rule)
            lied = draw(num_videos=200, num_groups=40)
            lied.labels_N[fresh_N] = 0
            np.testing.assert_array_equal(solved_steps(lied, ~fresh_N, lied, fresh_N, rule), told)

    def test_thresholds_go_to_other_videos_of_the_same_model_alone(self):
        other = on_other_videos(SEEN, draw(num_videos=60, num_groups=12, seed=5), name="val")
        assert (other.videos, other.groups) == (60, 12)
        with pytest.raises(ValueError, match="differ in prices or labels"):
            on_other_videos(SEEN, draw(costs=(100, 60, 40, 41)), name="val")


class TestTheDefaultBudget:
    def test_is_within_an_error_of_the_best_and_no_smaller_one_is(self, comparison):
        budget = default_budget_flops(SEEN, "entropy_by_label", num_folds=3, num_repeats=2)
        points = comparison.at("entropy_by_label")
        best = max(point.top1.value for point in points)
        (chosen,) = [point for point in points if point.asked_gflops == budget / 1e9]
        assert COSTS[0] <= budget <= sum(COSTS)
        assert best - chosen.top1.value < 0.05
        assert all(point.top1.value < best for point in points if point.asked_gflops < budget / 1e9)

    def test_gives_up_a_point_that_is_sure_and_not_five(self):
        """The error of one point is half a point here: by the error alone all videos would take all steps."""
        assert default_budget_flops(a_cube_puts_right(0.01), "entropy", num_folds=3, num_repeats=1) == 100
        assert default_budget_flops(a_cube_puts_right(0.05), "entropy", num_folds=3, num_repeats=1) > 100

    def test_and_the_rule_are_the_same_from_several_deals_that_say_the_same(self):
        twice = dealt([SEEN, SEEN])
        how = {"num_folds": 3, "num_repeats": 1}
        assert default_budget_flops(twice, "entropy", **how) == default_budget_flops(SEEN, "entropy", **how)
        one, two = (choose_exit_rule(seen, **how) for seen in (SEEN, twice))
        assert two.rule == one.rule
        assert two.by_label_less_entropy.value == pytest.approx(one.by_label_less_entropy.value, abs=1e-3)

    def test_is_a_glance_where_cubes_teach_nothing(self):
        useless = draw(knows=(2.0, 0.0, 0.0, 0.0))
        assert default_budget_flops(useless, "entropy", num_folds=3, num_repeats=1) == COSTS[0]


def a_cube_puts_right(share, num_videos=400, num_groups=80):
    """A glance is wrong in so many videos, and as sure of itself as in all others; a cube never is."""
    seen = draw(num_videos, num_groups, costs=(100, 60), knows=(0.0, 0.0))
    log_probs_NKC = np.random.default_rng(3).normal(0, 0.2, seen.log_probs_NKC.shape)
    for video, label in enumerate(seen.labels_N):
        is_wrong = video % round(1 / share) == 0
        for step, said in enumerate(((label + 1) % 4 if is_wrong else label, label)):
            log_probs_NKC[video, step, said] += 3
    return replace(seen, log_probs_NKC=log_probs_NKC)


def one_label_is_taken_back(num_videos=400, num_groups=80):
    """At equal entropy a cube always takes back the first label and never another: what thresholds by label are for."""
    seen = draw(num_videos, num_groups, costs=(100, 60), knows=(0.0, 0.0))
    log_probs_NKC = seen.log_probs_NKC.copy()
    rng = np.random.default_rng(3)
    for video, label in enumerate(seen.labels_N):
        first = 0 if label == 0 or rng.uniform() < 0.3 else label
        for step, said in enumerate((first, label)):
            log_probs_NKC[video, step] = rng.normal(0, 0.2, 4)
            log_probs_NKC[video, step, said] += 2
    return replace(seen, log_probs_NKC=log_probs_NKC)


class TestTheRuleThatABundleIsServedBy:
    def test_is_thresholds_by_label_where_a_label_is_often_taken_back(self):
        choice = choose_exit_rule(one_label_is_taken_back(), num_folds=3, num_repeats=1)
        assert choice.rule == "entropy_by_label"
        assert choice.by_label_less_entropy.value > 0.01
        assert "thresholds by label less Eq. 7 +" in choice.told

    def test_is_plain_eq_7_where_labels_tell_nothing(self):
        choice = choose_exit_rule(SEEN, num_folds=3, num_repeats=2)
        assert choice.rule == "entropy"
        assert choice.by_label_less_entropy is not None

    def test_is_plain_eq_7_where_one_group_is_all_there_is(self):
        choice = choose_exit_rule(draw(num_videos=20, num_groups=1))
        assert (choice.rule, choice.by_label_less_entropy) == ("entropy", None)
        assert "too few groups" in choice.told

    def test_ours_is_chosen_without_the_videos_it_is_judged_on_and_the_comparison_says_what_all_choose(self):
        seen = one_label_is_taken_back()
        comparison = cross_fitted(seen, name="drawn", num_folds=3, num_repeats=1)
        ours, by_label = comparison.at("chosen"), comparison.at("entropy_by_label")
        assert [point.top1 for point in ours] == [point.top1 for point in by_label]
        assert comparison.chosen.startswith("entropy_by_label: chosen by folds")


def test_a_file_gives_back_what_was_written_and_another_is_refused(comparison, tmp_path):
    write_comparisons(tmp_path / COMPARISONS, [comparison])
    assert read_comparisons(tmp_path / COMPARISONS) == (comparison,)
    (tmp_path / COMPARISONS).write_text('[{"name": "x"}]')
    with pytest.raises(ValueError, match="holds no comparison of exits"):
        read_comparisons(tmp_path / COMPARISONS)


def test_the_page_has_a_row_a_budget_and_says_by_what_rule_it_is_served(comparison):
    page = exits_section([comparison])
    assert page.count("\n| 0") + page.count("\n| 1") + page.count("\n| 2") == 14
    assert "Served by entropy: chosen by folds" in page
    assert "Nothing was compared" in exits_section([])


def test_one_figure_over_all_budgets_between_a_glance_and_everything_stands_beside_those_of_each(comparison):
    mean = comparison.mean_minus_random
    assert mean is not None
    inner = [point.minus_random for point in comparison.at("chosen")[1:-1]]
    assert mean.value == pytest.approx(np.mean([gain.value for gain in inner]))
    assert mean.high - mean.low <= max(gain.high - gain.low for gain in inner)
    told = f"Mean over these budgets: {100 * mean.value:.1f} [{100 * mean.low:.1f}, {100 * mean.high:.1f}] points"
    assert told in exits_table(comparison)
    assert "Mean over these budgets" not in exits_table(replace(comparison, mean_minus_random=None))


def test_a_comparison_made_before_calibration_chose_is_still_shown(comparison):
    points = tuple(point for point in comparison.points if point.rule != "chosen")
    older = exits_table(replace(comparison, points=points, chosen=""))
    assert "by label is" in older
    assert "Served by" not in older


def test_the_page_tells_what_the_served_rule_gives_where_folds_chose_another(comparison):
    told = "Some folds choose another rule"
    served = replace(comparison, chosen="entropy_by_label: chosen by folds")
    by_label = [replace(point, rule="chosen") for point in comparison.at("entropy_by_label")]
    others = [point for point in comparison.points if point.rule != "chosen"]
    assert told not in exits_section([replace(served, points=(*others, *by_label))])
    by_entropy = [replace(point, rule="chosen") for point in comparison.at("entropy")]
    page = exits_section([replace(served, points=(*others, *by_entropy))])
    above = sum(point.verdict == "above" for point in comparison.at("entropy_by_label")[1:-1])
    assert f"{told} than the one served; that one by itself is above at {above} of 14 budgets" in page
