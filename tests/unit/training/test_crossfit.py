"""Budgets on fresh videos: thresholds never see the groups that they are judged on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.training.drawing import COSTS, draw
from training.judge.crossfit import TOLERANCE, assign_folds, cross_fit, summarise

FULL = sum(COSTS)


class TestFolds:
    @given(
        st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xy")), min_size=4),
        st.integers(2, 4),
        st.integers(0, 9),
    )
    def test_no_group_is_torn_apart_and_none_is_used_twice(self, pairs, num_folds, seed):
        if len(set(pairs)) < num_folds:
            pairs = [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")]
        groups, strata = zip(*pairs, strict=True)
        folds = assign_folds(groups, strata, num_folds, seed)
        of_group = {}
        for pair, fold in zip(pairs, folds, strict=True):
            assert of_group.setdefault(pair, fold) == fold
        assert set(folds) == set(range(num_folds))

    def test_every_source_is_dealt_out_evenly(self):
        seen = draw()
        folds = assign_folds(seen.groups_N, seen.sources_N, 3, seed=1)
        for fold in range(3):
            groups = {(s, g) for s, g, f in zip(seen.sources_N, seen.groups_N, folds, strict=True) if f == fold}
            assert sorted(source for source, _ in groups) == ["court", "court", "street", "street"]

    def test_fewer_groups_than_folds_are_refused(self):
        with pytest.raises(ValueError, match="2 groups cannot be dealt into 3 folds"):
            assign_folds(["a", "b"], ["s", "s"], 3, seed=0)


class TestCrossFitting:
    def test_every_fold_of_every_repeat_is_spent_on_once_at_every_budget(self):
        seen = draw()
        trials = cross_fit(seen, num_folds=3, num_repeats=2)
        budgets = sorted({trial.budget_flops for trial in trials})
        assert len({(t.repeat, t.fold, t.budget_flops) for t in trials}) == len(trials) == 3 * 2 * len(budgets)
        assert (budgets[0], budgets[-1]) == (COSTS[0], FULL)
        for repeat in range(2):
            of_repeat = [t for t in trials if t.repeat == repeat and t.budget_flops == FULL]
            assert sum(t.num_fresh for t in of_repeat) == seen.num_videos

    def test_where_solved_the_budget_holds(self):
        for trial in cross_fit(draw(seed=3), num_folds=4, num_repeats=1):
            assert trial.solved_flops <= trial.budget_flops

    def test_at_the_full_cost_fresh_videos_take_all_steps(self):
        for trial in cross_fit(draw(), num_folds=3, num_repeats=1):
            if trial.budget_flops == FULL:
                assert trial.fresh_flops == FULL

    def test_the_least_budget_buys_the_glance_exactly(self):
        for trial in cross_fit(draw(), num_folds=3, num_repeats=1):
            if trial.budget_flops == COSTS[0]:
                assert trial.fresh_flops == COSTS[0]
            assert COSTS[0] <= trial.fresh_flops <= FULL

    def test_on_many_videos_like_those_solved_on_budgets_hold(self):
        check = summarise(cross_fit(draw(num_videos=3000, num_groups=600), num_folds=2, num_repeats=1))
        assert check.share_kept == 1
        assert check.typical_error < 0.05


class TestTheSummary:
    def test_counts_what_stays_within_five_percent(self):
        trials = cross_fit(draw(), num_folds=3, num_repeats=2)
        check = summarise(trials)
        assert check.num_trials == len(trials)
        assert check.share_kept == np.mean([t.fresh_flops <= TOLERANCE * t.budget_flops for t in trials])
        assert check.worst_overspend == max(t.fresh_flops / t.budget_flops - 1 for t in trials)
        not_below = [t.solved_accuracy >= t.geometric_solved_accuracy for t in trials]
        assert check.share_not_below_geometric == np.mean(not_below) > 0.8

    def test_taken_together_the_folds_are_one_set_of_videos(self):
        """A fold that overspends and one that underspends may keep the budget between them."""
        trials = cross_fit(draw(), num_folds=3, num_repeats=1)
        by_budget = {}
        for trial in trials:
            by_budget.setdefault(trial.budget_flops, []).append((trial.num_fresh, trial.fresh_flops))
        kept = [sum(n * cost for n, cost in rows) / 96 <= TOLERANCE * budget for budget, rows in by_budget.items()]
        assert summarise(trials).share_kept_over_all == pytest.approx(np.mean(kept))

    def test_of_nothing_is_refused(self):
        with pytest.raises(ValueError, match="no trials"):
            summarise([])
