"""The loop as a whole, with a recognizer whose answers are known: who is charged what, and who hears what."""

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fovea.errors import DeadlineBeforeGlance, Draining, InferenceFailed, RequestCancelled, VideoUnreadable
from fovea.words import ExitReason
from models.recognizer import Ahead, Cube, Frames
from service.engine.engine import HELD_S, Engine
from service.engine.lanes import Lane, Owner
from service.engine.request import EngineEvent, FramesNeeded, Request, Step
from service.engine.scheduler import Scheduler
from service.metrics import Metrics
from video.clip import ClipRule

from .making import COSTS, CUBE, GLANCE, a_plan, a_request


@dataclass(frozen=True)
class KnownState:
    step: int
    entropy_nats: float
    clip: Frames

    @property
    def probabilities_C(self):
        return np.float32([0.5, 0.5])

    @property
    def cube(self):
        return Cube(0, 0, 0, 1, 2, 2) if self.step else None


class KnownRecognizer:
    """Entropy falls by 0.25 nats a step from what the clip's first byte says. Notes every batch it is given."""

    clip_rule = ClipRule(2, 4, 4, "stretch")
    step_flops = COSTS

    def __init__(self, broken_batches: Sequence[int] = ()) -> None:
        self.batches: list[tuple[int, ...]] = []  # the steps of each batch's rows
        self._broken_batches = broken_batches

    def glance(self, clips_THWC: Sequence[Frames]) -> list[KnownState]:
        return self._answer([KnownState(0, float(clip.flat[0]) / 128, clip) for clip in clips_THWC])

    def focus(self, states: Sequence[KnownState]) -> list[KnownState]:
        return self._answer(
            [replace(state, step=state.step + 1, entropy_nats=state.entropy_nats - 0.25) for state in states]
        )

    def _answer(self, states: list[KnownState]) -> list[KnownState]:
        self.batches.append(tuple(state.step for state in states))
        if len(self.batches) - 1 in self._broken_batches:
            raise RuntimeError("the device is on fire")
        return states


class Listener:
    """What one request heard."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []

    def __call__(self, event: EngineEvent) -> None:
        assert not self.over, "an event after the exit"
        self.events.append(event)

    @property
    def over(self) -> bool:
        return bool(self.events) and not isinstance(self.events[-1], Step | FramesNeeded)

    @property
    def steps(self) -> list[Step]:
        return [event for event in self.events if isinstance(event, Step)]


class Bench:
    """An engine without its thread: `add` requests, `run` turns until nothing waits."""

    def __init__(
        self, recognizer: KnownRecognizer | None = None, scheduler: Scheduler | None = None, **limits: int
    ) -> None:
        self.recognizer = recognizer or KnownRecognizer()
        made = Scheduler(**{"max_batch_flops": 64 * GLANCE, "max_batch_size": 64} | limits)
        self.scheduler = made if scheduler is None else scheduler
        self.metrics = Metrics()
        self.now_s = 0.0
        self.engine = Engine({"m": self.recognizer}, self.scheduler, self.metrics, clock=lambda: self.now_s)

    def add(self, request: Request) -> Listener:
        request.emit = Listener()
        self.metrics.requests_waiting.inc()
        self.scheduler.add([request])
        return request.emit

    def run(self) -> None:
        while len(self.scheduler):
            self.engine.step()

    def deliver(self) -> None:
        """What came in is taken in."""
        self.engine._inbox.put(None)
        assert not self.engine._receive()

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def test_a_request_takes_steps_until_it_is_sure_and_hears_of_each():
    bench = Bench()
    request = a_request(a_plan(thresholds=(0.5, 0.5, 0.5)))
    request.clip.frames_THWC.flat[0] = 96  # entropies 0.75, 0.5, ...
    heard = bench.add(request)
    bench.run()
    assert [(step.step, step.flops, step.entropy_nats) for step in heard.steps] == [(0, GLANCE, 0.75), (1, CUBE, 0.5)]
    assert [step.cube is None for step in heard.steps] == [True, False]
    assert heard.events[-1] is ExitReason.CONFIDENT


def test_requests_join_and_leave_between_turns():
    bench = Bench()
    first = bench.add(a_request())
    bench.engine.step()
    second = bench.add(a_request())
    bench.run()
    # the second glance runs while the first waits; then their cubes share batches at different steps
    assert bench.recognizer.batches == [(0,), (1,), (0,), (2, 1), (3, 2), (3,)]
    assert first.events[-1] is second.events[-1] is ExitReason.EXHAUSTED


def test_flops_are_counted_as_they_are_spent_and_sum_up_to_what_the_answers_say():
    bench = Bench()
    heard = [bench.add(a_request(a_plan(ceiling=ceiling))) for ceiling in (GLANCE, GLANCE + CUBE, None)]
    bench.run()
    told = sum(step.flops for one in heard for step in one.steps)
    assert told == 3 * GLANCE + 4 * CUBE
    assert bench.metric("fovea_flops_total", model="m") == told


def test_a_cancelled_request_leaves_at_the_next_turn_and_is_charged_what_it_spent():
    bench = Bench()
    request = a_request()
    heard = bench.add(request)
    bench.engine.step()
    request.cancelled = True
    bench.run()
    assert isinstance(heard.events[-1], RequestCancelled)
    assert bench.metric("fovea_flops_total", model="m") == GLANCE


def test_a_deadline_ends_a_request_with_the_best_answer_so_far():
    bench = Bench()
    heard = bench.add(a_request(a_plan(deadline_ms=1000), deadline_s=1.0))
    bench.engine.step()
    bench.now_s = 1.0
    bench.run()
    assert heard.events[-1] is ExitReason.DEADLINE
    assert len(heard.steps) == 1


def test_a_deadline_before_the_glance_leaves_nothing_to_answer():
    bench = Bench()
    heard = bench.add(a_request(a_plan(deadline_ms=1000), deadline_s=1.0))
    bench.now_s = 1.5
    bench.run()
    assert isinstance(heard.events[-1], DeadlineBeforeGlance)
    assert bench.recognizer.batches == []


def test_a_batch_that_fails_fails_its_requests_and_nobody_else():
    bench = Bench(KnownRecognizer(broken_batches=[0]), max_batch_size=1)
    unlucky, lucky = bench.add(a_request()), bench.add(a_request())
    bench.run()
    assert isinstance(unlucky.events[-1], InferenceFailed)
    assert "on fire" in str(unlucky.events[-1])
    assert lucky.events[-1] is ExitReason.EXHAUSTED


@pytest.mark.parametrize(
    "nonsense",
    [lambda states: states[:-1], lambda states: [replace(state, step=7) for state in states]],
    ids=["an answer too few", "another step"],
)
def test_an_answer_that_makes_no_sense_is_a_failed_batch_too(nonsense):
    class NonsensicalRecognizer(KnownRecognizer):
        def focus(self, states):
            return nonsense(super().focus(states))

    bench = Bench(NonsensicalRecognizer())
    unlucky, lucky = bench.add(a_request()), bench.add(a_request(a_plan(ceiling=GLANCE)))
    bench.run()
    assert isinstance(unlucky.events[-1], InferenceFailed)
    assert lucky.events[-1] is ExitReason.CEILING
    assert bench.metric("fovea_requests_waiting") == bench.metric("fovea_requests_running") == 0


class TestAScheduleThatCannotBeMade:
    """A bug in whose turn it is costs those who wait, and not the loop."""

    def broken_once(self) -> Scheduler:
        class BrokenScheduler(Scheduler):
            broken = True

            def schedule(self, quantum_flops=None):
                if self.broken:
                    self.broken = False
                    raise StopIteration
                return super().schedule(quantum_flops)

        return BrokenScheduler(max_batch_flops=GLANCE, max_batch_size=1)

    def test_who_waits_is_told_and_who_comes_next_is_served(self):
        bench = Bench(scheduler=self.broken_once())
        unlucky = [bench.add(a_request()), bench.add(a_request())]
        bench.engine.step()
        lucky = bench.add(a_request())
        bench.run()
        assert [type(heard.events[-1]) for heard in unlucky] == [InferenceFailed, InferenceFailed]
        assert lucky.events[-1] is ExitReason.EXHAUSTED
        assert bench.metric("fovea_requests_waiting") == 0

    def test_the_thread_goes_on(self):
        bench = Bench(scheduler=self.broken_once())
        bench.engine.start()
        heard: queue.SimpleQueue[EngineEvent] = queue.SimpleQueue()
        bench.engine.submit(a_request(emit=heard.put))
        assert isinstance(heard.get(timeout=10), InferenceFailed)
        bench.engine.submit(a_request(emit=heard.put))
        assert [heard.get(timeout=10) for _ in range(len(COSTS) + 1)][-1] is ExitReason.EXHAUSTED
        assert bench.engine.is_alive
        bench.engine.stop(timeout_s=10)


def test_a_request_for_a_model_that_is_not_there_costs_itself_alone():
    bench = Bench()
    bench.engine.start()
    heard: queue.SimpleQueue[EngineEvent] = queue.SimpleQueue()
    bench.engine.submit(a_request(a_plan(model="elsewhere"), emit=heard.put))
    assert isinstance(heard.get(timeout=10), InferenceFailed)
    bench.engine.submit(a_request(emit=heard.put))
    assert [heard.get(timeout=10) for _ in range(len(COSTS) + 1)][-1] is ExitReason.EXHAUSTED
    bench.engine.stop(timeout_s=10)


def test_gauges_are_back_at_zero_whatever_became_of_the_requests():
    bench = Bench(KnownRecognizer(broken_batches=[1]), max_batch_size=2)
    requests = [a_request(), a_request(deadline_s=0.0), a_request(), a_request(), a_request()]
    requests[2].cancelled = True
    for request in requests:
        bench.add(request)
    assert bench.metric("fovea_requests_waiting") == 5
    bench.run()
    assert bench.metric("fovea_requests_waiting") == bench.metric("fovea_requests_running") == 0


def test_ten_thousand_random_requests_never_pass_their_ceiling_and_a_higher_ceiling_never_lowers_the_steps():
    rng = np.random.default_rng(7)
    bench = Bench(max_batch_flops=20 * GLANCE)
    pairs = []
    for turn in range(5_000):
        thresholds = tuple(rng.uniform(-0.5, 2.5, size=3))
        low, high = sorted(int(ceiling) for ceiling in rng.integers(GLANCE, sum(COSTS) + 50, size=2))
        seed = int(rng.integers(1 << 31))
        pair = [
            (ceiling, bench.add(a_request(a_plan(thresholds=thresholds, ceiling=ceiling), seed=seed)))
            for ceiling in (low, high)
        ]
        pairs.append(pair)
        if turn % 50 == 0:
            bench.run()
    bench.run()
    for (low, under_low), (high, under_high) in pairs:
        assert sum(step.flops for step in under_low.steps) <= low
        assert sum(step.flops for step in under_high.steps) <= high
        assert len(under_low.steps) <= len(under_high.steps)
    told = sum(step.flops for pair in pairs for _, heard in pair for step in heard.steps)
    assert bench.metric("fovea_flops_total", model="m") == told
    assert max(len(batch) for batch in bench.recognizer.batches) > 10


class ChoosyRecognizer(KnownRecognizer):
    """Of a clip of two, the glance looks at frame 0, cube k at frame k % 2; never at one that is not there."""

    step_indices = ((0,), (1,), (0,), (1,))

    def look_ahead(self, states: Sequence[KnownState]) -> list[Ahead]:
        return [Ahead(state, ((state.step + 1) % 2,), (0, 1)) for state in states]

    def focus(self, states: Sequence[KnownState]) -> list[KnownState]:
        for ahead in self.look_ahead(states):
            for index in ahead.next_indices:
                assert ahead.state.clip[index].any(), "it looks at a frame that was not decoded"
        return super().focus(states)


def begun(request: Request) -> Request:
    """Its clip lacks frame 1."""
    request.clip.frames_THWC[1] = 0
    request.clip = replace(request.clip, absent=frozenset({1}))
    return request


def come(request: Request) -> None:
    """What it lacks is decoded."""
    request.clip.frames_THWC[1] = 9
    request.clip = replace(request.clip, absent=frozenset())


class TestRequestsThatWaitForFrames:
    def bench(self, **limits: int) -> Bench:
        return Bench(ChoosyRecognizer(), **limits)

    def test_one_that_goes_on_says_which_frames_it_needs_and_takes_no_step_before_they_come(self):
        bench, request = self.bench(), begun(a_request())
        heard = bench.add(request)
        bench.run()
        assert heard.events[1:] == [FramesNeeded((1,), ())]
        assert len(heard.steps) == 1
        come(request)
        bench.engine.frames_came(request)
        bench.deliver()
        bench.run()
        assert heard.events[-1] is ExitReason.EXHAUSTED
        assert [type(event) for event in heard.events].count(FramesNeeded) == 1, "what came is not asked for again"

    def test_one_whose_frames_come_while_it_asks_takes_each_step_once(self):
        bench, request = self.bench(), begun(a_request())
        heard = bench.add(request)

        def at_once(event: EngineEvent) -> None:
            heard(event)
            if isinstance(event, FramesNeeded):
                come(request)
                bench.engine.frames_came(request)

        request.emit = at_once
        bench.engine.step()
        bench.deliver()
        assert (len(bench.scheduler), bench.scheduler.num_parked) == (1, 0)
        bench.run()
        assert [step.step for step in heard.steps] == [0, 1, 2, 3]
        assert bench.metric("fovea_requests_waiting") == 0

    def test_one_that_is_sure_after_its_glance_needs_none(self):
        bench = self.bench()
        heard = bench.add(begun(a_request(a_plan(thresholds=(9.0, 9.0, 9.0)))))
        bench.run()
        assert [type(event) for event in heard.events] == [Step, ExitReason]

    def test_the_batches_of_others_run_meanwhile(self):
        bench, waiting = self.bench(), begun(a_request())
        bench.add(waiting)
        other = bench.add(a_request())
        bench.run()
        assert other.events[-1] is ExitReason.EXHAUSTED
        assert len(waiting.steps) == 1

    def test_what_could_not_be_decoded_ends_it_with_the_answer_so_far(self):
        bench, request = self.bench(), begun(a_request())
        heard = bench.add(request)
        bench.run()
        bench.engine.frames_came(request, VideoUnreadable("broken"))
        bench.deliver()
        assert heard.events[-1] is ExitReason.UNDECODED
        assert len(heard.steps) == 1

    def test_a_word_that_frames_came_which_did_not_come_changes_nothing(self):
        bench, request = self.bench(), begun(a_request())
        heard = bench.add(request)
        bench.run()
        bench.engine.frames_came(request)
        bench.deliver()
        assert not heard.over
        assert bench.scheduler.num_parked == 1

    def test_its_deadline_holds_and_its_client_may_leave(self):
        bench = self.bench()
        late, left = begun(a_request(deadline_s=5.0)), begun(a_request())
        heard = [bench.add(late), bench.add(left)]
        bench.run()
        bench.now_s, left.cancelled = 5.0, True
        bench.engine.step()
        assert heard[0].events[-1] is ExitReason.DEADLINE
        assert isinstance(heard[1].events[-1], RequestCancelled)
        assert bench.metric("fovea_requests_waiting") == bench.metric("fovea_requests_awaiting_frames") == 0

    def test_frames_of_one_that_left_are_nobody_s(self):
        bench, request = self.bench(), begun(a_request())
        bench.add(request)
        bench.run()
        request.cancelled = True
        bench.engine.step()
        come(request)
        bench.engine.frames_came(request)
        bench.deliver()
        assert len(bench.scheduler) == bench.scheduler.num_parked == 0

    def test_where_to_look_that_cannot_be_told_costs_those_who_ask(self):
        class LostRecognizer(ChoosyRecognizer):
            def look_ahead(self, states):
                raise RuntimeError("the policy is on fire")

        bench = Bench(LostRecognizer())
        unlucky, lucky = bench.add(begun(a_request())), bench.add(a_request(a_plan(ceiling=GLANCE)))
        bench.run()
        assert isinstance(unlucky.events[-1], InferenceFailed)
        assert lucky.events[-1] is ExitReason.CEILING

    def test_the_thread_wakes_for_the_deadline_of_one_that_waits_for_frames_that_never_come(self):
        bench = self.bench()
        bench.engine._clock = time.monotonic
        bench.engine.start()
        heard: queue.SimpleQueue[EngineEvent] = queue.SimpleQueue()
        request = begun(a_request(deadline_s=time.monotonic() + 0.3, emit=heard.put))
        bench.engine.submit(request)
        events = [heard.get(timeout=10) for _ in range(3)]
        assert events[1:] == [FramesNeeded((1,), ()), ExitReason.DEADLINE]
        bench.engine.stop(timeout_s=10)

    def test_whoever_waits_for_frames_is_answered_when_the_engine_is_stopped(self):
        bench = self.bench()
        bench.engine.start()
        heard: queue.SimpleQueue[EngineEvent] = queue.SimpleQueue()
        bench.engine.submit(begun(a_request(emit=heard.put)))
        assert isinstance([heard.get(timeout=10) for _ in range(2)][-1], FramesNeeded)
        bench.engine.stop(timeout_s=10)
        assert isinstance(heard.get(timeout=10), Draining)
        assert bench.metric("fovea_requests_waiting") == 0

    def test_ten_thousand_random_requests_keep_every_promise_with_frames_late_never_and_for_those_who_left(self):
        rng = np.random.default_rng(11)
        bench = self.bench(max_batch_flops=20 * GLANCE, max_batch_size=16)
        fates = ("whole", "soon", "late", "never", "broken", "leaves", "leaves, then they come")
        going: list[tuple[str, Request]] = []
        all_of_them: list[tuple[str, int, Request, Listener]] = []
        for turn in range(5_000):
            for _ in range(2):
                fate = fates[int(rng.integers(len(fates)))]
                ceiling = int(rng.integers(GLANCE, sum(COSTS) + 50))
                thresholds = tuple(rng.uniform(-0.5, 2.0, size=3))
                # who never gets its frames has a deadline: without one the pipeline's own limits end the wait
                deadline_s = bench.now_s + float(rng.uniform(0, 200)) if fate == "never" or rng.random() < 0.2 else None
                plan = a_plan(thresholds=thresholds, ceiling=ceiling, deadline_ms=1)
                request = a_request(plan, seed=int(rng.integers(1 << 31)), deadline_s=deadline_s)
                if fate != "whole":
                    begun(request)
                all_of_them.append((fate, ceiling, request, bench.add(request)))
                going.append((fate, request))
            bench.now_s += 1.0
            if turn % 10 == 0:
                bench.engine.step()
                going = [one for one in going if not self.fate(bench, *one, rng)]
        while going or len(bench.scheduler) or bench.scheduler.num_parked:
            bench.now_s += 1.0
            bench.engine.step()
            going = [one for one in going if not self.fate(bench, *one, rng)]
        for fate, ceiling, request, heard in all_of_them:
            assert heard.over, "everyone hears of its end, and of nothing after it"
            assert sum(step.flops for step in heard.steps) <= ceiling
            assert request.state is None
            if heard.events[-1] is ExitReason.UNDECODED:
                assert fate == "broken"
                assert heard.steps
        told = sum(step.flops for *_, heard in all_of_them for step in heard.steps)
        assert bench.metric("fovea_flops_total", model="m") == told
        assert bench.metric("fovea_requests_waiting") == bench.metric("fovea_requests_awaiting_frames") == 0
        ends = {type(heard.events[-1]) if not isinstance(heard.events[-1], ExitReason) else heard.events[-1]
                for *_, heard in all_of_them}  # fmt: skip
        assert ends >= {*ExitReason} - {ExitReason.BUDGET} | {RequestCancelled, DeadlineBeforeGlance}

    def fate(self, bench: Bench, fate: str, request: Request, rng: np.random.Generator) -> bool:
        """What becomes of a request that asks for frames, some turns after it asked; True: nothing more."""
        if request.emit.over:
            return True
        if FramesNeeded not in {type(event) for event in request.emit.events} or rng.random() < 0.7:
            return False
        if fate == "broken":
            bench.engine.frames_came(request, VideoUnreadable("broken"))
        elif fate in {"soon", "late"} and (fate == "soon" or rng.random() < 0.1):
            come(request)
            bench.engine.frames_came(request)
        elif fate.startswith("leaves"):
            request.cancelled = True
            bench.engine.frames_came(request)
            if "come" in fate:
                come(request)
                bench.engine.frames_came(request)
        else:
            return False
        bench.deliver()
        return True


class TestATurnThatIsKept:
    """Steps are not divided: one that takes long is not begun just before a video comes whose turn it would be."""

    GREEDY, MODEST = (Lane("upload", 0.5, Owner(name)) for name in ("greedy", "modest"))

    def bench(self, glance_s: float = 1.0) -> Bench:
        bench = Bench()
        """Greedy was served, and has one more that is ready."""
        bench.add(a_request(lane=self.GREEDY))
        bench.run()
        for _ in range(100):
            bench.engine.flop_rate.observe(GLANCE, glance_s)
        bench.add(a_request(lane=self.GREEDY))
        return bench

    def expecting(self, bench: Bench, lane: Lane, within_s: float = 0.01) -> float:
        bench.engine.expect(lane, within_s)
        bench.deliver()
        return bench.engine._held_s()

    def test_for_a_video_that_is_being_decoded_but_not_for_long(self):
        bench = self.bench()
        assert self.expecting(bench, self.MODEST) == HELD_S
        bench.now_s += HELD_S
        assert bench.engine._held_s() == 0

    def test_once_it_has_come_there_is_nothing_to_wait_for(self):
        bench = self.bench()
        self.expecting(bench, self.MODEST)
        bench.engine.submit(a_request(lane=self.MODEST))
        bench.deliver()
        assert bench.engine._held_s() == 0

    def test_not_where_decoding_takes_long(self):
        assert self.expecting(self.bench(), self.MODEST, within_s=2 * HELD_S) == 0

    def test_not_where_a_step_is_short(self):
        assert self.expecting(self.bench(glance_s=0.001), self.MODEST) == 0

    def test_not_for_more_videos_of_one_who_waits_already_or_was_served_more(self):
        assert self.expecting(self.bench(), self.GREEDY) == 0
        bench = Bench()
        bench.engine.flop_rate.observe(GLANCE, 1.0)
        bench.add(a_request(lane=self.MODEST))
        bench.run()
        bench.add(a_request(lane=self.GREEDY))
        assert self.expecting(bench, self.MODEST) == 0

    def test_no_longer_for_videos_that_are_announced_one_after_the_other_and_never_come(self):
        bench = self.bench()
        kept_s = 0.0
        for _ in range(50):  # as of damaged files: each is announced before the one before it is forgotten
            if not self.expecting(bench, self.MODEST):
                break
            bench.now_s += HELD_S / 3
            kept_s += HELD_S / 3
        assert kept_s <= HELD_S * 1.01
        assert self.expecting(bench, self.MODEST) == 0

    def test_again_once_a_video_has_come_after_all(self):
        bench = self.bench()
        self.expecting(bench, self.MODEST)
        bench.now_s += HELD_S
        assert bench.engine._held_s() == 0
        late = a_request(lane=self.MODEST)
        late.emit = Listener()
        bench.engine.submit(late)
        bench.deliver()
        bench.run()
        bench.add(a_request(lane=self.GREEDY))
        bench.run()
        bench.add(a_request(lane=self.GREEDY))
        assert self.expecting(bench, self.MODEST) == pytest.approx(HELD_S)

    def test_not_for_one_whose_further_frames_have_come(self):
        bench = self.bench()
        request = a_request(lane=self.MODEST)
        bench.engine._scheduler.park(request)
        assert self.expecting(bench, self.MODEST) == HELD_S
        bench.engine.frames_came(request)
        bench.deliver()
        assert bench.engine._coming == []


class TestTheThread:
    def test_serves_submissions_of_other_threads_one_device_call_at_a_time(self):
        bench = Bench()
        bench.engine.start()
        done = threading.Semaphore(0)
        requests = [a_request(seed=seed) for seed in range(20)]
        for request in requests:
            request.emit = lambda event: done.release() if isinstance(event, ExitReason) else None
            bench.engine.submit(request)
        for _ in requests:
            assert done.acquire(timeout=10)
        bench.engine.stop(timeout_s=10)
        assert all(len(request.steps) == len(COSTS) for request in requests)
        assert bench.metric("fovea_requests_waiting") == 0

    def test_answers_whoever_is_still_there_when_it_is_stopped(self):
        at_the_glance, go_on = threading.Event(), threading.Event()

        class SlowRecognizer(KnownRecognizer):
            def glance(self, clips_THWC):
                at_the_glance.set()
                assert go_on.wait(10)
                return super().glance(clips_THWC)

        bench = Bench(SlowRecognizer())
        heard = [Listener(), Listener()]
        bench.engine.start()
        bench.engine.submit(a_request(emit=heard[0]))
        assert at_the_glance.wait(10)
        bench.engine.submit(a_request(emit=heard[1]))  # is never even looked at
        stopping = threading.Thread(target=bench.engine.stop)
        stopping.start()
        go_on.set()
        stopping.join(10)
        assert [len(one.steps) for one in heard] == [1, 0]
        assert [type(one.events[-1]) for one in heard] == [Draining, Draining]
        assert all(one.events[-1].retry_after_s for one in heard), "503 always says when to try again"
        assert bench.metric("fovea_requests_waiting") == 0

    def test_answers_whoever_comes_after_it_was_stopped(self):
        bench = Bench()
        bench.engine.start()
        bench.engine.stop(timeout_s=10)
        heard = Listener()
        bench.engine.submit(a_request(emit=heard))
        assert [type(event) for event in heard.events] == [Draining]
        assert bench.metric("fovea_requests_waiting") == 0

    def test_survives_a_failing_batch(self):
        bench = Bench(KnownRecognizer(broken_batches=[0]))
        bench.engine.start()
        heard: queue.SimpleQueue[EngineEvent] = queue.SimpleQueue()
        bench.engine.submit(a_request(emit=heard.put))
        assert isinstance(heard.get(timeout=10), InferenceFailed)
        bench.engine.submit(a_request(emit=heard.put))
        assert [heard.get(timeout=10) for _ in range(len(COSTS) + 1)][-1] is ExitReason.EXHAUSTED
        bench.engine.stop(timeout_s=10)


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_inference_seconds_count_the_batches_a_request_was_in(turns):
    bench = Bench()
    ticks = iter(range(1000))
    bench.engine._clock = lambda: float(next(ticks))  # every look at the clock is one second later
    request = a_request()
    bench.add(request)
    for _ in range(turns):
        bench.engine.step()
    assert request.inference_s == turns
