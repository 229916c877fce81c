"""From observations to a result: by source and pooled, budgets as the service spends them, differences paired."""

from dataclasses import replace

import numpy as np
import pytest

from models.thresholds import exit_steps
from tests.unit.training.drawing import COSTS, SOURCES, draw
from training.judge.calibrate import calibrate
from training.judge.results import POOLED, pooled, read_result, write_result
from training.judge.scoring import Origin, score

ORIGIN = Origin(trained=True, data="drawn", seed=0, commit=None, recipe="by hand", machine="none")
FULL = sum(COSTS)


def calibrated(seed=9):
    held_out = draw(num_videos=200, num_groups=40, seed=seed)
    return calibrate(held_out.log_probs_NKC, held_out.labels_N, COSTS, data="drawn")


CALIBRATION = calibrated()


def scored(seen, **more):
    return score(
        seen,
        ORIGIN,
        grid=CALIBRATION.grid,
        temperatures_K=CALIBRATION.temperatures_K,
        default_budget_flops=(COSTS[0] + FULL) // 2,
        offsets=CALIBRATION.offsets,
        **more,
    )


@pytest.fixture(scope="module")
def result():
    return scored(draw())


def by_source(scores):
    return {one.source: one for one in scores}


class TestBySource:
    def test_every_score_is_told_pooled_and_for_each_source(self, result):
        for point in (*result.depths, *result.budgets):
            assert list(by_source(point.scores)) == [POOLED, *SOURCES]

    def test_the_pooled_accuracy_is_the_mean_of_the_sources_weighted_by_videos(self, result):
        for point in (*result.depths, *result.budgets):
            scores = by_source(point.scores)
            right = sum(scores[source].top1.value * scores[source].videos for source in SOURCES)
            assert right / 96 == pytest.approx(scores[POOLED].top1.value)
            assert scores[POOLED].groups == sum(scores[source].groups for source in SOURCES) == 12

    def test_a_set_without_sources_is_pooled_alone(self):
        seen = replace(draw(), sources_N=("",) * 96)
        assert [one.source for one in scored(seen).depths[0].scores] == [POOLED]

    def test_the_majority_is_told_beside(self, result):
        for one in result.depths[0].scores:
            assert 1 / 4 <= one.majority < 1


class TestFixedDepths:
    def test_are_the_exits_themselves(self, result):
        seen = draw()
        for k, point in enumerate(result.depths):
            assert pooled(point.scores).top1.value == pytest.approx(seen.correct_NK[:, k].mean())
            assert point.gflops == sum(COSTS[: k + 1]) / 1e9
            assert point.ms == pytest.approx(sum(COSTS[: k + 1]) / 10)

    def test_temperatures_lessen_the_calibration_error_of_logits_that_are_too_sure(self):
        sure = draw(num_videos=400, sharpness=6.0)
        temperatures = calibrate(sure.log_probs_NKC, sure.labels_N, COSTS, data="d").temperatures_K
        for point in score(sure, ORIGIN, grid=None, temperatures_K=temperatures).depths:
            assert point.temperature > 1
            assert point.calibration_error_after < point.calibration_error_before


class TestBudgets:
    def test_are_spent_as_the_bundles_thresholds_say(self, result):
        seen = draw()
        entropies = seen.entropies(CALIBRATION.temperatures_K)
        entropies = CALIBRATION.held_against_thresholds(entropies, seen.log_probs_NKC.argmax(axis=2))
        for point, solved in zip(result.budgets, CALIBRATION.grid.points, strict=True):
            steps = exit_steps(entropies, solved.solution.thresholds_nats)
            assert point.asked_gflops == solved.budget_flops / 1e9
            assert point.mean_gflops.value == pytest.approx(seen.spent_K[steps].mean() / 1e9)
            assert point.mean_ms == pytest.approx(seen.spent_K[steps].mean() / 10)
            exits = {one.source: one.videos_by_last_step_K for one in point.exits}
            assert exits[POOLED] == tuple(np.bincount(steps, minlength=4))
            assert np.sum([exits[source] for source in SOURCES], axis=0) == pytest.approx(exits[POOLED])

    def test_the_default_is_the_greatest_solved_budget_not_above_the_one_asked(self, result):
        asked = (COSTS[0] + FULL) // 2 / 1e9
        above = [point.asked_gflops for point in result.budgets if point.asked_gflops > asked]
        assert result.default_point.asked_gflops <= asked < min(above)

    def test_confusions_are_at_all_steps_and_at_the_default_budget(self, result):
        assert [one.way for one in result.confusions] == ["full", "default budget"]
        right = np.trace(np.array(result.confusions[1].counts_CC))
        assert right / 96 == pytest.approx(pooled(result.default_point.scores).top1.value)

    def test_are_cross_fitted(self, result):
        check = result.cross_fit
        assert (check.folds, result.cross_fit_missing) == (5, "")
        assert 0 <= check.share_kept <= 1
        assert 0 <= check.share_not_below_geometric <= 1

    def test_are_not_cross_fitted_where_one_group_is_all_there_is_and_the_result_says_so(self):
        alone = scored(replace(draw(), groups_N=("one",) * 96, sources_N=("",) * 96))
        assert alone.cross_fit is None
        assert "1 group" in alone.cross_fit_missing

    def test_are_not_cross_fitted_on_fewer_videos_than_exits(self):
        few = scored(draw(num_videos=4, num_groups=4))
        assert few.cross_fit is None
        assert "fewer than 4 videos" in few.cross_fit_missing


class TestAgainstAnother:
    def test_a_model_against_itself_differs_by_nothing(self):
        seen = draw()
        comparison = scored(seen, others=[seen]).comparisons[0]
        full = [point for point in comparison.points if point.way == "full"]
        assert {(p.difference.low, p.difference.value, p.difference.high) for p in full} == {(0, 0, 0)}
        assert {p.verdict for p in full} == {"not resolved"}
        assert {p.cost_ratio for p in full} == {1}

    def test_a_clearly_better_one_is_told_to_be_so_whatever_the_order_of_its_videos(self):
        weak = draw(costs=(1000,), knows=(0.0,), model="baseline")
        rows = np.random.default_rng(0).permutation(96)
        names = ("paths_N", "groups_N", "sources_N")
        shuffled = replace(
            weak,
            **{name: tuple(getattr(weak, name)[row] for row in rows) for name in names},
            labels_N=weak.labels_N[rows],
            log_probs_NKC=weak.log_probs_NKC[rows],
        )
        first, second = (scored(draw(), others=[one]).comparisons[0] for one in (weak, shuffled))
        assert first == second
        point = first.points[0]
        assert (first.other, point.source, point.verdict) == ("baseline", POOLED, "above")
        assert point.cost_ratio == pytest.approx(FULL / 1000)

    def test_videos_that_differ_are_refused(self):
        with pytest.raises(ValueError, match="different videos"):
            scored(draw(), others=[draw(num_videos=90)])


class TestRandomCubes:
    def test_are_compared_after_1_2_4_cubes_and_after_all(self):
        weak = draw(knows=(0.5, 0.5, 0.5, 0.5))
        points = scored(draw(), random={"space-time": [weak, weak], "time": [draw()]}).random
        assert [(p.coordinates, p.step) for p in points] == [(c, k) for c in ("space-time", "time") for k in (1, 2, 3)]
        assert points[2].draws == 2
        assert points[2].learned_minus_random.value > 0
        assert all(point.learned_minus_random.value == 0 for point in points if point.coordinates == "time")


def test_a_model_of_fixed_cost_has_one_depth_and_no_budget():
    result = score(draw(costs=(1000,), knows=(1.0,)), ORIGIN, grid=None)
    assert (len(result.depths), result.budgets, result.default_point) == (1, (), None)
    assert "fixed" in result.cross_fit_missing


def test_times_that_were_not_measured_are_absent_not_nan(tmp_path):
    result = scored(replace(draw(), seconds_K=(float("nan"),) * 4))
    assert result.step_ms_K == (None,) * 4
    assert result.budgets[0].mean_ms is result.depths[0].ms is None
    assert "NaN" not in write_result(tmp_path, result).read_text()


def test_the_same_observations_give_the_same_result(result):
    assert scored(draw()) == result


class TestTheFile:
    def test_comes_back_as_it_was(self, tmp_path, result):
        assert read_result(write_result(tmp_path / "new", result)) == result
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["result.json"]

    @pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1}', "{"])
    def test_another_file_is_refused_by_name(self, tmp_path, text):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(ValueError, match=r"result\.json is no result"):
            read_result(tmp_path / "result.json")
