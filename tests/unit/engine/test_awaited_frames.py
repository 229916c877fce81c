"""Requests that wait for frames: each says which it needs, and takes no step before they come."""

import queue
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fovea.errors import DeadlineBeforeGlance, Draining, InferenceFailed, RequestCancelled, VideoUnreadable
from fovea.words import ExitReason
from models.recognizer import Ahead
from service.engine.request import EngineEvent, FramesNeeded, Request, Step

from .benches import Bench, KnownRecognizer, KnownState, Listener
from .making import COSTS, GLANCE, a_plan, a_request


class ChoosyRecognizer(KnownRecognizer):
    """Of a clip of two, the glance looks at frame 0, cube k at frame k % 2; never at one that is not there."""

    glance_indices = (0,)
    step_indices = (glance_indices, (1,), (0,), (1,))

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
