"""What a request may spend: which model `auto` takes, which thresholds a budget buys, and what is too little."""

from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.errors import BudgetTooSmall, InvalidOption, UnknownModel
from models.thresholds import GridPoint, Solution
from service.api.recognitions.options import Ceilings, parse_options
from service.engine.budget import MeasuredPoint, Offer, RecognitionOptions, plan
from service.engine.request import Plan
from video.clip import ClipRule


def an_offer(
    name: str,
    *,
    costs: tuple[int, ...] = (100, 40, 40),
    task: str = "t",
    trained: bool = True,
    points: tuple[tuple[int, float], ...] = ((100, 0.5), (140, 0.6), (180, 0.7)),
    default: int = 140,
) -> Offer:
    """`points`: (budget, measured accuracy); the k-th point's thresholds are all k: a test sees which was taken.

    On calibration data everything was right: what `auto` weighs must be what was measured.
    """
    grid = tuple(
        GridPoint(budget, Solution((float(k),) * (len(costs) - 1), mean_cost_flops=budget, accuracy=1.0))
        for k, (budget, _) in enumerate(points)
    )
    frontier = tuple(MeasuredPoint(budget, accuracy) for budget, accuracy in points)
    rule = ClipRule(num_frames=4, height_px=8, width_px=8, resize="stretch")
    return Offer(name, "sha256:0", task, ("a", "b"), trained, rule, costs, default, grid, frontier)


DYNAMIC = an_offer("dynamic")
FIXED = an_offer("fixed", costs=(120,), points=((120, 0.55),), default=120)


class TestANamedModel:
    def test_gets_the_thresholds_of_the_last_grid_point_the_budget_pays_for(self):
        for budget, point in ((100, 0), (139, 0), (140, 1), (179, 1), (180, 2), (10**15, 2)):
            settled = plan(RecognitionOptions(model="dynamic", budget_flops=budget), [DYNAMIC], DYNAMIC)
            assert settled.thresholds_nats == (float(point),) * 2, budget
            assert settled.budget_flops == budget

    def test_without_a_budget_gets_the_bundles_default(self):
        settled = plan(RecognitionOptions(model="dynamic"), [DYNAMIC], DYNAMIC)
        assert (settled.budget_flops, settled.thresholds_nats) == (140, (1.0, 1.0))

    def test_with_a_ceiling_alone_keeps_the_default_budget(self):
        settled = plan(RecognitionOptions(model="dynamic", max_flops=110), [DYNAMIC], DYNAMIC)
        assert (settled.budget_flops, settled.max_flops) == (140, 110)

    @pytest.mark.parametrize("option", ["budget_flops", "max_flops"])
    def test_below_a_glance_is_refused_naming_the_least_price(self, option):
        with pytest.raises(BudgetTooSmall, match=r"at least 1e-07") as refusal:
            plan(RecognitionOptions(model="dynamic", **{option: 99}), [DYNAMIC], DYNAMIC)
        assert refusal.value.extra["least_gflops"] == 1e-7

    def test_the_least_price_as_told_is_enough(self):
        odd = an_offer("odd", costs=(123_456_449,), points=((123_456_449, 0.5),), default=123_456_449)
        with pytest.raises(BudgetTooSmall) as refusal:
            plan(RecognitionOptions(model="odd", max_flops=100), [odd], odd)
        told = str(refusal.value).rpartition("at least ")[2]
        options = parse_options([("model", "odd"), ("max_gflops", told)], Ceilings(top_k=1, deadline_ms=1))
        assert plan(options, [odd], odd).max_flops == 123_456_449

    def test_that_is_not_loaded_is_refused_naming_the_loaded_ones(self):
        with pytest.raises(UnknownModel, match=r"'resnet'.*dynamic, fixed"):
            plan(RecognitionOptions(model="resnet"), [FIXED, DYNAMIC], DYNAMIC)

    def test_of_another_task_is_refused(self):
        with pytest.raises(UnknownModel, match=r"answers task 't', not 'other'"):
            plan(RecognitionOptions(model="dynamic", task="other"), [DYNAMIC], DYNAMIC)


class TestAuto:
    def test_takes_the_best_accuracy_the_budget_pays_for(self):
        offers = [DYNAMIC, FIXED]
        assert plan(RecognitionOptions(budget_flops=125), offers, DYNAMIC).model == "fixed"  # 0.55 beats 0.5
        assert plan(RecognitionOptions(budget_flops=140), offers, DYNAMIC).model == "dynamic"  # 0.6 beats 0.55

    def test_weighs_what_the_budget_buys_and_no_better_point_below_it(self):
        """Thresholds of a larger budget may be right less often, and they are what is served."""
        falling = an_offer("falling", points=((100, 0.5), (120, 0.9), (140, 0.58), (180, 0.58)))
        assert plan(RecognitionOptions(budget_flops=139), [DYNAMIC, falling], DYNAMIC).model == "falling"
        assert plan(RecognitionOptions(budget_flops=140), [DYNAMIC, falling], DYNAMIC).model == "dynamic"

    def test_takes_the_cheaper_on_a_tie(self):
        cheaper = an_offer("cheaper", costs=(90,), points=((90, 0.6),), default=90)
        assert plan(RecognitionOptions(budget_flops=140), [DYNAMIC, cheaper], DYNAMIC).model == "cheaper"

    def test_without_a_budget_serves_at_the_budget_it_was_chosen_for(self):
        dear = an_offer("dear", points=((100, 0.5), (140, 0.9), (1000, 0.95)), default=1000)
        settled = plan(RecognitionOptions(), [DYNAMIC, dear], DYNAMIC)
        assert (settled.model, settled.budget_flops, settled.thresholds_nats) == ("dear", 140, (1.0, 1.0))

    def test_weighs_only_models_of_the_task(self):
        other = an_offer("other", task="u", points=((100, 0.99),))
        assert plan(RecognitionOptions(), [DYNAMIC, other], DYNAMIC).model == "dynamic"
        assert plan(RecognitionOptions(task="u"), [DYNAMIC, other], DYNAMIC).model == "other"

    def test_never_weighs_an_untrained_model_against_a_trained_one(self):
        untrained = an_offer("untrained", trained=False, points=((100, 1.0),))
        assert plan(RecognitionOptions(), [untrained, DYNAMIC], untrained).model == "dynamic"

    def test_takes_the_untrained_default_only_where_nothing_is_trained(self):
        untrained = an_offer("untrained", trained=False)
        assert plan(RecognitionOptions(), [untrained], untrained).model == "untrained"

    def test_passes_over_a_model_whose_glance_is_above_the_ceiling(self):
        assert plan(RecognitionOptions(budget_flops=125, max_flops=110), [DYNAMIC, FIXED], DYNAMIC).model == "dynamic"

    def test_with_too_little_for_any_model_names_the_cheapest(self):
        with pytest.raises(BudgetTooSmall, match="the first step of dynamic"):
            plan(RecognitionOptions(budget_flops=50), [FIXED, DYNAMIC], DYNAMIC)
        with pytest.raises(BudgetTooSmall, match="max_gflops=5e-08"):
            plan(RecognitionOptions(max_flops=50), [FIXED, DYNAMIC], DYNAMIC)

    def test_for_an_unknown_task_names_the_known_ones(self):
        with pytest.raises(UnknownModel, match=r"'u'; the tasks here are: t"):
            plan(RecognitionOptions(task="u"), [DYNAMIC], DYNAMIC)


@given(costs=st.lists(st.integers(1, 50), min_size=1, max_size=6), extra=st.integers(0, 300))
def test_a_plan_reserves_the_most_it_can_spend_under_its_ceiling(costs, extra):
    ceiling = costs[0] + extra
    offer = an_offer("m", costs=tuple(costs), points=((costs[0], 0.5),), default=costs[0])
    settled = plan(RecognitionOptions(max_flops=ceiling), [offer], offer)
    affordable_exits = [flops for flops in accumulate(costs) if flops <= ceiling]
    assert settled.most_flops == max(affordable_exits)


class TestAModelThatIsNotCalibrated:
    RAW = replace(an_offer("raw", points=((180, 0.9),), default=180), calibrated=False, frontier=())

    def test_takes_all_steps(self):
        settled = plan(RecognitionOptions(model="raw"), [self.RAW], self.RAW)
        assert (settled.budget_flops, settled.max_flops) == (180, None)

    def test_promises_no_budget_below_all_of_its_steps_but_keeps_to_a_ceiling(self):
        with pytest.raises(BudgetTooSmall, match=r"not calibrated.*or set max_gflops instead") as refusal:
            plan(RecognitionOptions(model="raw", budget_flops=179), [self.RAW], self.RAW)
        assert refusal.value.extra["least_gflops"] == 180 / 1e9
        assert plan(RecognitionOptions(model="raw", max_flops=140), [self.RAW], self.RAW).max_flops == 140

    def test_is_never_taken_by_auto_not_even_as_the_default(self):
        assert plan(RecognitionOptions(budget_flops=1000), [self.RAW, FIXED], FIXED).model == "fixed"
        with pytest.raises(UnknownModel, match=r"no trained model.*not calibrated.*: raw"):
            plan(RecognitionOptions(), [self.RAW], self.RAW)


class TestAModelThatIsRightLessOftenThanTheMostFrequentClass:
    POOR = replace(an_offer("poor", points=((100, 0.9),)), below_majority=True)

    def test_is_never_taken_by_auto_whatever_was_measured_of_it_elsewhere(self):
        assert plan(RecognitionOptions(budget_flops=1000), [self.POOR, FIXED], self.POOR).model == "fixed"
        with pytest.raises(UnknownModel, match=r"less often than the most frequent class.*: poor; name one"):
            plan(RecognitionOptions(), [self.POOR], self.POOR)

    def test_answers_who_names_it(self):
        assert plan(RecognitionOptions(model="poor"), [self.POOR, FIXED], FIXED).model == "poor"


@pytest.mark.parametrize(
    ("thresholds", "offsets", "max_flops", "goes_on"),
    [
        ((-1.0, -1.0), (), None, True),
        ((0.0, -1.0), (), None, False),  # a glance may be as sure as that
        ((-0.1, -1.0), ((0.2, 0.0), (0.0, 0.0)), None, False),  # one label's threshold is above 0
        ((-1.0, -1.0), (), 100, False),  # the ceiling pays for the glance alone
        ((-1.0, -1.0), (), 150, True),
    ],
)
def test_a_plan_knows_whether_any_video_stops_after_its_glance(thresholds, offsets, max_flops, goes_on):
    plan = Plan("m", (100, 40, 40), thresholds, 180, max_flops, None, 5, label_offsets_nats=offsets)
    assert plan.always_goes_on is goes_on


def test_a_model_of_one_step_does_not_go_on():
    assert not Plan("m", (100,), (), 100, None, None, 5).always_goes_on


@pytest.mark.parametrize(
    ("thresholds", "offsets", "max_flops", "steps"),
    [
        ((0.5, 0.5), (), None, 3),
        ((0.5, 0.5), (), 179, 2),  # the ceiling does not pay for the last
        ((0.5, 0.5), (), 100, 1),
        ((0.7, 0.5), (), None, 1),  # no answer of two labels is less sure than ln 2
        ((0.7, 0.5), ((0.1, -0.1), (0.0, 0.0)), None, 3),  # but the second label's threshold is lower
        ((0.5, 0.7), (), None, 2),
    ],
)
def test_a_plan_knows_how_many_steps_it_can_take_at_most(thresholds, offsets, max_flops, steps):
    plan = Plan(
        "m", (100, 40, 40), thresholds, 180, max_flops, None, 5, max_entropy_nats=0.69, label_offsets_nats=offsets
    )
    assert plan.most_steps == steps


def test_a_model_of_one_step_takes_one():
    assert Plan("m", (100,), (), 100, None, None, 5).most_steps == 1


class TestUnderLoad:
    RISING = replace(
        DYNAMIC,
        grid=tuple(
            GridPoint(budget, Solution((float(k),) * 2, mean_cost_flops=budget - 1, accuracy=accuracy))
            for k, (budget, accuracy) in enumerate(((100, 0.5), (120, 0.4), (140, 0.6), (160, 0.65), (180, 0.7)))
        ),
        default_budget_flops=180,
    )

    def granted(self, pressure: float, **asked: int) -> int:
        options = RecognitionOptions(model="dynamic", **asked)
        settled = plan(options, [self.RISING], self.RISING, pressure=pressure)
        assert settled.budget_flops == asked.get("budget_flops", 180), "what was asked for is told all the same"
        assert settled.thresholds_nats == self.RISING.point_at(settled.budget_granted_flops).solution.thresholds_nats
        return settled.budget_granted_flops

    def test_the_budget_falls_along_the_solved_ones_and_passes_over_those_that_are_no_better(self):
        seen = [self.granted(pressure / 100) for pressure in range(101)]
        assert sorted(set(seen), reverse=True) == [180, 160, 140, 100]
        assert seen == sorted(seen, reverse=True)

    def test_it_never_falls_below_what_the_request_allows(self):
        assert self.granted(1.0, min_budget_flops=130) == 140
        assert self.granted(1.0, min_budget_flops=160) == 160
        assert self.granted(1.0, min_budget_flops=1) == 100

    @given(budget=st.integers(100, 300), pressure=st.floats(0, 1), data=st.data())
    def test_whatever_is_asked_for_it_lies_between_the_least_and_the_budget(self, budget, pressure, data):
        least = data.draw(st.integers(0, budget))
        granted = self.granted(pressure, budget_flops=budget, min_budget_flops=least)
        assert least <= granted <= budget
        assert self.granted(pressure, budget_flops=budget, min_budget_flops=budget) == budget

    def test_a_least_budget_above_the_budget_is_refused_with_both(self):
        with pytest.raises(InvalidOption, match=r"min_budget_gflops=2e-07 is above the budget of 1\.8e-07"):
            self.granted(0.0, min_budget_flops=200)

    def test_it_stays_with_the_model_that_was_chosen_for_the_budget(self):
        cheap = replace(FIXED, frontier=(MeasuredPoint(90, 0.1),), step_flops=(90,))
        settled = plan(RecognitionOptions(), [self.RISING, cheap], self.RISING, pressure=1.0)
        assert settled.model == "dynamic"

    def test_a_model_that_nobody_calibrated_and_one_of_a_fixed_cost_have_nothing_to_give(self):
        whole = replace(DYNAMIC, calibrated=False, frontier=(), grid=DYNAMIC.grid[-1:], default_budget_flops=180)
        for offer in (whole, FIXED):
            settled = plan(RecognitionOptions(model=offer.name), [offer], offer, pressure=1.0)
            assert settled.budget_granted_flops == settled.budget_flops

    def test_what_is_expected_is_the_mean_of_what_was_granted_and_never_more_than_the_ceiling(self):
        for pressure, extra, expected in ((0.0, {}, 179), (1.0, {}, 99), (0.0, {"max_flops": 120}, 100)):
            options = RecognitionOptions(model="dynamic", **extra)
            assert plan(options, [self.RISING], self.RISING, pressure=pressure).expected_flops == expected
