"""The loop as a whole, with a recognizer whose answers are known: who is charged what, and who hears what."""

import queue
import threading
from dataclasses import replace

import numpy as np
import pytest

from fovea.errors import DeadlineBeforeGlance, Draining, InferenceFailed, RequestCancelled
from fovea.words import ExitReason
from service.engine.request import EngineEvent
from service.engine.scheduler import Scheduler

from .benches import Bench, KnownRecognizer, Listener
from .making import COSTS, CUBE, GLANCE, a_plan, a_request


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
