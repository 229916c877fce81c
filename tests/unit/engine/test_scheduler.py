"""The scheduler's specification: who is served next, with whom, and when a request is done."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.words import ExitReason
from models.exit_rules import MAX_OFFSET_NATS
from models.thresholds import ALWAYS_NATS, NEVER_NATS
from service.engine.lanes import Lane, Owner
from service.engine.request import Request
from service.engine.scheduler import ABOUT_TURNS, Kind, Scheduler, exit_reason

from .making import CAMERAS, COSTS, CUBE, GLANCE, UPLOADS, a_plan, a_request, a_step


def a_scheduler(max_batch_flops: int = 10 * GLANCE, max_batch_size: int = 64) -> Scheduler:
    return Scheduler(max_batch_flops=max_batch_flops, max_batch_size=max_batch_size)


class TestWhoRunsTogether:
    def test_nothing_waiting_makes_no_batch(self):
        assert a_scheduler().schedule() is None

    def test_glances_of_different_videos_share_a_batch(self):
        scheduler = a_scheduler()
        requests = [a_request() for _ in range(3)]
        scheduler.add(requests)
        batch = scheduler.schedule()
        assert batch is not None
        assert (batch.kind, batch.requests) == (Kind.GLANCE, tuple(requests))
        assert batch.flops == 3 * GLANCE
        assert len(scheduler) == 0

    def test_cubes_share_a_batch_though_their_requests_stand_at_different_steps(self):
        scheduler = a_scheduler()
        requests = [a_request(steps_taken=taken) for taken in (1, 3, 2)]
        scheduler.add(requests)
        batch = scheduler.schedule()
        assert batch is not None
        assert (batch.kind, batch.requests) == (Kind.FOCUS, tuple(requests))

    def test_a_batch_is_of_one_kind_and_one_model(self):
        scheduler = a_scheduler()
        first, cube, other_model, second = (
            a_request(),
            a_request(steps_taken=1),
            a_request(a_plan(model="n")),
            a_request(),
        )
        scheduler.add([first, cube, other_model, second])
        batches = [scheduler.schedule() for _ in range(3)]
        assert [batch and batch.requests for batch in batches] == [(first, second), (cube,), (other_model,)]

    def test_a_batch_is_bounded_by_summed_flops(self):
        scheduler = a_scheduler(max_batch_flops=2 * GLANCE + GLANCE // 2)
        requests = [a_request() for _ in range(3)]
        scheduler.add(requests)
        first, second = scheduler.schedule(), scheduler.schedule()
        assert first is not None
        assert second is not None
        assert (first.requests, second.requests) == (tuple(requests[:2]), (requests[2],))

    def test_a_batch_is_bounded_by_size(self):
        scheduler = a_scheduler(max_batch_size=2)
        scheduler.add(a_request() for _ in range(3))
        batch = scheduler.schedule()
        assert batch is not None
        assert len(batch.requests) == 2

    def test_a_step_dearer_than_a_whole_batch_runs_alone(self):
        scheduler = a_scheduler(max_batch_flops=GLANCE - 1)
        dear, other = a_request(), a_request()
        scheduler.add([dear, other])
        batch = scheduler.schedule()
        assert batch is not None
        assert batch.requests == (dear,)


class TestFairness:
    def test_who_became_ready_first_is_served_first(self):
        scheduler = a_scheduler()
        cube, glance = a_request(steps_taken=1), a_request()
        scheduler.add([cube])
        scheduler.add([glance])
        first, second = scheduler.schedule(), scheduler.schedule()
        assert first is not None
        assert second is not None
        assert (first.kind, second.kind) == (Kind.FOCUS, Kind.GLANCE)

    @given(
        waiting=st.lists(st.tuples(st.sampled_from(["m", "n"]), st.integers(0, 3)), min_size=1, max_size=12),
        newcomers_per_turn=st.integers(0, 6),
        max_batch_flops=st.integers(1, 5 * GLANCE),
    )
    def test_nobody_waits_more_turns_than_there_were_requests_when_it_came(
        self, waiting, newcomers_per_turn, max_batch_flops
    ):
        scheduler = a_scheduler(max_batch_flops=max_batch_flops)
        requests = [a_request(a_plan(model=model), steps_taken=taken) for model, taken in waiting]
        scheduler.add(requests)
        unserved = set(requests)
        for _ in range(len(requests)):
            batch = scheduler.schedule()
            assert batch is not None
            unserved -= set(batch.requests)
            scheduler.add([*batch.requests, *(a_request() for _ in range(newcomers_per_turn))])  # a flood of others
        assert not unserved


class TestSeveralOwners:
    def test_while_several_are_about_a_batch_is_smaller_and_alone_it_is_not(self):
        greedy, modest = (Lane("upload", 1.0, Owner(name)) for name in ("greedy", "modest"))
        scheduler = a_scheduler()
        scheduler.add([a_request(lane=greedy) for _ in range(14)])
        alone = scheduler.schedule(2 * GLANCE)
        scheduler.add([a_request(lane=modest)])
        beside = [scheduler.schedule(2 * GLANCE), scheduler.schedule(2 * GLANCE)]
        assert alone is not None
        assert len(alone.requests) == 10
        assert [len(batch.requests) for batch in beside if batch is not None] == [2, 2]

    def test_one_request_is_taken_however_small_the_bound(self):
        lanes = [Lane("upload", 1.0, Owner(name)) for name in ("greedy", "modest")]
        scheduler = a_scheduler()
        scheduler.add([a_request(lane=lane) for lane in lanes])
        batches = [scheduler.schedule(1), scheduler.schedule(1)]
        assert [len(batch.requests) for batch in batches if batch is not None] == [1, 1]

    def test_whoever_is_gone_for_many_turns_makes_batches_no_smaller(self):
        greedy, modest = (Lane("upload", 1.0, Owner(name)) for name in ("greedy", "modest"))
        scheduler = a_scheduler()
        scheduler.add([a_request(lane=modest)])
        assert scheduler.schedule(1) is not None
        for _ in range(ABOUT_TURNS + 1):
            scheduler.add([a_request(lane=greedy) for _ in range(4)])
            batch = scheduler.schedule(1)
        assert batch is not None
        assert len(batch.requests) > 1


class TestWhoLeavesBetweenTurns:
    def test_a_request_whose_client_left(self):
        scheduler = a_scheduler()
        gone, staying = a_request(), a_request()
        scheduler.add([gone, staying])
        gone.cancelled = True
        assert scheduler.departures(now_s=0.0) == [gone]
        assert len(scheduler) == 1

    def test_a_request_whose_deadline_has_come(self):
        scheduler = a_scheduler()
        late, early = a_request(deadline_s=5.0), a_request(deadline_s=5.1)
        scheduler.add([late, early])
        assert scheduler.departures(now_s=5.0) == [late]

    def test_nobody_else(self):
        scheduler = a_scheduler()
        scheduler.add([a_request(), a_request(deadline_s=1.0)])
        assert scheduler.departures(now_s=0.9) == []
        assert len(scheduler) == 2


class TestExitReason:
    """Checked in this order after every step: confident, ceiling, deadline; exhausted where no step is left."""

    def test_entropy_at_the_threshold_is_confident(self):
        plan = a_plan(thresholds=(0.5, 0.5, 0.5))
        assert exit_reason(plan, 0, 0.5, GLANCE, late=False) is ExitReason.CONFIDENT
        assert exit_reason(plan, 0, 0.501, GLANCE, late=False) is None

    def test_each_step_has_its_own_threshold(self):
        plan = a_plan(thresholds=(0.1, 0.9, 0.1))
        reasons = [exit_reason(plan, step, 0.5, GLANCE, late=False) for step in range(3)]
        assert reasons == [None, ExitReason.CONFIDENT, None]

    def test_a_label_with_an_offset_has_a_threshold_of_its_own(self):
        plan = replace(a_plan(thresholds=(0.5, 0.5, 0.5)), label_offsets_nats=((0.2, 0.0), (0.0, -0.2), (0.0, 0.0)))
        reasons = [
            [exit_reason(plan, step, 0.6, GLANCE, late=False, label=label) for label in (0, 1)] for step in (0, 1)
        ]
        assert reasons == [[ExitReason.CONFIDENT, None], [None, None]]
        assert exit_reason(plan, 1, 0.4, GLANCE, late=False, label=1) is None
        assert exit_reason(plan, 1, 0.3, GLANCE, late=False, label=1) is ExitReason.CONFIDENT

    def test_never_and_always_hold_for_every_label_whatever_its_offset(self):
        plan = replace(
            a_plan(thresholds=(NEVER_NATS, ALWAYS_NATS, 0.5)),
            label_offsets_nats=((MAX_OFFSET_NATS, -MAX_OFFSET_NATS),) * 3,
        )
        for label in (0, 1):
            assert exit_reason(plan, 0, 0.0, GLANCE, late=False, label=label) is None
            assert exit_reason(plan, 1, 9.0, GLANCE, late=False, label=label) is ExitReason.CONFIDENT

    def test_a_next_step_that_would_pass_the_ceiling_is_not_taken(self):
        exactly = a_plan(ceiling=GLANCE + CUBE)
        assert exit_reason(exactly, 0, 1.0, GLANCE, late=False) is None
        assert exit_reason(exactly, 1, 1.0, GLANCE + CUBE, late=False) is ExitReason.CEILING
        assert exit_reason(a_plan(ceiling=GLANCE + CUBE - 1), 0, 1.0, GLANCE, late=False) is ExitReason.CEILING

    def test_a_threshold_that_stops_every_video_is_the_budget_s_doing_not_the_video_s(self):
        plan = replace(a_plan(thresholds=(0.6, 0.7, 100.0)), max_entropy_nats=0.7)
        assert exit_reason(plan, 0, 0.5, GLANCE, late=False) is ExitReason.CONFIDENT
        assert exit_reason(plan, 1, 0.7, GLANCE + CUBE, late=False) is ExitReason.BUDGET
        assert exit_reason(plan, 2, 0.1, GLANCE + 2 * CUBE, late=True) is ExitReason.BUDGET

    def test_late_comes_after_ceiling_and_ceiling_after_confident(self):
        plan = a_plan(thresholds=(0.5, 0.5, 0.5), ceiling=GLANCE)
        assert exit_reason(plan, 0, 0.4, GLANCE, late=True) is ExitReason.CONFIDENT
        assert exit_reason(plan, 0, 0.6, GLANCE, late=True) is ExitReason.CEILING
        assert exit_reason(a_plan(), 0, 0.6, GLANCE, late=True) is ExitReason.DEADLINE

    def test_no_step_left_is_exhausted_however_sure_short_or_late(self):
        last = len(COSTS) - 1
        assert exit_reason(a_plan(ceiling=sum(COSTS)), last, 0.0, sum(COSTS), late=True) is ExitReason.EXHAUSTED

    def test_a_fixed_cost_model_is_always_exhausted(self):
        assert exit_reason(a_plan(costs=(GLANCE,)), 0, 0.0, GLANCE, late=False) is ExitReason.EXHAUSTED


class TestUploadsAndCameras:
    def test_they_take_turns_by_what_their_turns_cost(self):
        scheduler = a_scheduler(max_batch_flops=GLANCE)
        scheduler.add([a_request() for _ in range(4)] + [a_camera() for _ in range(4)])
        assert [turn(scheduler) for _ in range(8)].count("upload") == 4
        scheduler.add([a_request() for _ in range(9)] + [a_camera() for _ in range(9)])
        firsts = [turn(scheduler) for _ in range(8)]
        assert firsts.count("upload") == firsts.count("camera") == 4

    def test_a_share_gives_one_of_them_more(self):
        scheduler = a_scheduler(max_batch_flops=GLANCE)
        uploads, cameras = Lane("upload", 0.75), Lane("camera", 0.25)
        scheduler.add([a_request(lane=uploads) for _ in range(100)] + [a_request(lane=cameras) for _ in range(100)])
        assert [turn(scheduler) for _ in range(80)].count("camera") == 20

    def test_who_had_nothing_to_do_has_saved_up_no_turns(self):
        scheduler = a_scheduler(max_batch_flops=GLANCE)
        scheduler.add([a_camera() for _ in range(50)])
        assert [turn(scheduler) for _ in range(40)] == ["camera"] * 40
        scheduler.add([a_request() for _ in range(50)])
        assert [turn(scheduler) for _ in range(8)].count("upload") <= 5

    def test_they_share_a_batch_where_there_is_room(self):
        scheduler = a_scheduler()
        requests = [a_camera(), a_request(), a_camera()]
        scheduler.add(requests)
        batch = scheduler.schedule()
        assert batch is not None
        assert batch.requests == tuple(requests)

    @given(st.lists(st.booleans(), min_size=1, max_size=40))
    def test_whatever_comes_everybody_is_served(self, cameras: list[bool]):
        scheduler = a_scheduler(max_batch_flops=2 * GLANCE)
        waiting = [a_camera() if is_camera else a_request() for is_camera in cameras]
        scheduler.add(waiting)
        served: list[int] = []
        for _ in waiting:
            batch = scheduler.schedule()
            served += [] if batch is None else [id(request) for request in batch.requests]
        assert sorted(served) == sorted(map(id, waiting))

    def test_frames_that_are_shared_make_a_glance_cheaper(self):
        request = a_camera()
        request.saved_flops = (60, 5)  # of a glance that comes in two parts
        assert request.next_cost_flops == GLANCE - 60
        request.steps.append(a_step(0, GLANCE - 60))
        assert request.next_cost_flops == CUBE - 5
        request.steps.append(a_step(1, CUBE - 5))
        assert request.next_cost_flops == CUBE


THREE = (UPLOADS, CAMERAS, Lane("job", 0.25))


class TestAnyNumberOfLanes:
    @given(st.lists(st.tuples(st.sampled_from(THREE), st.integers(0, 3)), min_size=1, max_size=40))
    def test_whichever_of_them_wait_the_turn_goes_to_one_that_does(self, waiting: list[tuple[Lane, int]]):
        scheduler = a_scheduler(max_batch_flops=GLANCE)
        requests = [a_request(lane=lane, steps_taken=taken) for lane, taken in waiting]
        scheduler.add(requests)
        served: list[Request] = []
        while len(scheduler):
            batch = scheduler.schedule()
            assert batch is not None
            served += batch.requests
        assert sorted(map(id, served)) == sorted(map(id, requests))

    @given(weights=st.lists(st.floats(0.05, 1), min_size=2, max_size=5), turns=st.integers(1, 80))
    def test_while_all_wait_their_shares_are_their_weights_to_within_one_step(self, weights: list[float], turns: int):
        lanes = [Lane(f"lane {number}", weight) for number, weight in enumerate(weights)]
        scheduler = a_scheduler(max_batch_flops=GLANCE)
        scheduler.add(a_request(lane=lane) for lane in lanes for _ in range(turns))
        counts = dict.fromkeys((lane.name for lane in lanes), 0)
        for _ in range(turns):
            counts[turn(scheduler)] += 1
        served = [counts[lane.name] / lane.weight for lane in lanes]
        assert max(served) - min(served) <= 1 / min(weights) + 1e-9

    @given(st.lists(st.sampled_from(THREE), min_size=1, max_size=30))
    def test_a_lane_that_comes_late_is_served_within_one_round_of_the_others(self, before: list[Lane]):
        scheduler = a_scheduler(max_batch_flops=GLANCE)
        for lane in before:  # one after the other: at each turn nobody else waits
            scheduler.add([a_request(lane=lane)])
            turn(scheduler)
        scheduler.add([a_request(lane=lane) for lane in THREE for _ in range(12)])
        assert {turn(scheduler) for _ in range(9)} == {"upload", "camera", "job"}

    def test_a_lane_without_weight_is_refused(self):
        with pytest.raises(ValueError, match="lane 'idle' has weight 0: it must be above 0"):
            Lane("idle", 0)


def a_camera() -> Request:
    return a_request(lane=CAMERAS)


def turn(scheduler: Scheduler) -> str:
    """Whose the only request of the next batch is."""
    batch = scheduler.schedule()
    assert batch is not None
    (request,) = batch.requests
    return request.lane.name
