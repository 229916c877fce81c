"""The one loop: schedule, run, postprocess. Owns the device from a single thread; knows no HTTP and no video file.

Other threads hand requests in with `submit` and hear back through `Request.emit`. Where a clip is not whole, a request
that goes on may have to wait for frames: it says which (FramesNeeded), and others' batches run until `frames_came`.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fovea.errors import (
    DeadlineBeforeGlance,
    Draining,
    FoveaError,
    InferenceFailed,
    OutOfMemory,
    RequestCancelled,
)
from fovea.words import ExitReason
from models.open_set import OpenSetScore
from models.recognizer import Ahead, ChoosesFrames, Recognizer, ReusesFrames, State, TellsFeatures
from service.engine.lanes import Lane
from service.engine.request import FramesNeeded, Request, Step
from service.engine.scheduler import Batch, Kind, Scheduler, exit_reason, is_late
from service.metrics import Metrics
from video.rate import Rate

log = logging.getLogger(__name__)

QUANTUM_S = 0.01  # of a batch, while several owners are about; one step may take longer, and is not divided
SOON_S = 0.03  # within which a video must usually be decoded, for a turn to be kept for it
HELD_S = 0.045  # at most, that it is kept: beside others decoding takes half as long again


@dataclass(frozen=True, slots=True)
class _Coming:
    """A video that is being decoded."""

    lane: Lane
    until_s: float  # the engine's clock: longer it is not waited for


@dataclass(frozen=True, slots=True)
class _FramesCame:
    """Or they never will: `failure`."""

    request: Request
    failure: FoveaError | None


class Engine:
    """Runs the steps of all requests, batched across videos.

    `recognizers` and `open_sets` by model name. `flop_rate` is what the device was measured to do.
    """

    def __init__(
        self,
        recognizers: Mapping[str, Recognizer[State]],
        scheduler: Scheduler,
        metrics: Metrics,
        *,
        open_sets: Mapping[str, OpenSetScore] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.flop_rate = Rate()
        self._recognizers = recognizers
        self._open_sets = open_sets or {}
        self._scheduler = scheduler
        self._metrics = metrics
        self._clock = clock
        self._inbox: queue.SimpleQueue[Request | _FramesCame | _Coming | None] = queue.SimpleQueue()  # None: stop
        self._coming: list[_Coming] = []
        self._in_vain: set[Lane] = set()  # waited for too long: not again before a video of theirs has come
        self._ended = False
        self._ending = threading.Lock()  # of `_ended`: nothing comes into the inbox once nobody reads it
        metrics.requests_awaiting_frames.set_function(lambda: scheduler.num_parked)
        self._thread = threading.Thread(target=self._loop, name="fovea-engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether anything submitted will be looked at. It does not come back once it has ended."""
        return self._thread.is_alive()

    def submit(self, request: Request) -> None:
        """Hand a decoded video to the engine; from any thread. The last thing it emits is its exit."""
        self._metrics.requests_waiting.inc()
        with self._ending:
            if not self._ended:
                self._inbox.put(request)
                return
        self._leave(request, Draining.cut_off("video"))

    def expect(self, lane: Lane, within_s: float) -> None:
        """A video of that lane is being decoded, which usually takes so long; from any thread.

        Where it is behind others, no step of theirs that takes long is begun in the last moment before it comes.
        """
        if within_s <= SOON_S:
            self._inbox.put(_Coming(lane, self._clock() + HELD_S))

    def frames_came(self, request: Request, failure: FoveaError | None = None) -> None:
        """The frames that `request` needed are in its clip, or will never be; from any thread.

        Nothing happens where it has left, or where frames are missing still. One that was cancelled leaves at once.
        """
        self._inbox.put(_FramesCame(request, failure))

    def stop(self, timeout_s: float | None = None) -> None:
        """End the thread. Requests still inside are answered with Draining: let them finish first."""
        if self._thread.is_alive():
            self._inbox.put(None)
            self._thread.join(timeout_s)

    def _loop(self) -> None:
        try:
            while self._receive():
                self.step()
        finally:  # a bug ends the thread, too
            self._abandon()

    def _receive(self) -> bool:
        """Take in what was submitted, waiting only when there is nothing else to do. False: time to stop."""
        while not self._inbox.empty() or not len(self._scheduler) or self._held_s():
            try:
                came = self._inbox.get(timeout=self._held_s() if len(self._scheduler) else self._patience_s())
            except queue.Empty:  # the time of one that waits for frames is up, or that a turn is held
                return True
            if came is None:
                return False
            if isinstance(came, _Coming):
                self._forget_late()
                if came.lane not in self._in_vain:
                    self._coming.append(came)
                continue
            if isinstance(came, _FramesCame):
                self._resume(came.request, came.failure)
                continue
            try:
                self._note_savings(came)
            except Exception as error:  # the thread's edge: it costs this request, not the loop
                log.exception("what a request for %s saves could not be told", came.plan.model)
                self._leave(came, InferenceFailed(f"the request could not be taken in: {error}"))
            else:
                self._take_in(came)
        return True

    def _held_s(self) -> float:
        """How long the next turn is kept for a video that is being decoded; 0: not at all."""
        now_s = self._clock()
        self._forget_late()
        if not self._coming:
            return 0.0
        quantum_flops = self.flop_rate.amount_in(QUANTUM_S)
        lanes = [one.lane for one in self._coming]
        if quantum_flops is None or not self._scheduler.is_turn_of(lanes, quantum_flops):
            return 0.0
        return max(one.until_s for one in self._coming) - now_s

    def _forget_late(self) -> None:
        """Who has a video that does not come in time is not waited for: others that never come might follow it."""
        now_s = self._clock()
        self._in_vain |= {one.lane for one in self._coming if one.until_s <= now_s}
        self._coming = [one for one in self._coming if one.lane not in self._in_vain]

    def _has_come(self, lane: Lane) -> None:
        self._in_vain.discard(lane)
        came = next((one for one in self._coming if one.lane == lane), None)
        if came is not None:
            self._coming.remove(came)

    def _take_in(self, request: Request) -> None:
        """One that goes on from held steps may lack frames, as after a step of its own."""
        self._has_come(request.lane)
        if request.steps:
            self._go_on(request.plan.model, [request])
        else:
            self._scheduler.add([request])

    def _patience_s(self) -> float | None:
        """How long to wait for what is submitted; None: for ever."""
        deadline_s = self._scheduler.parked_deadline_s
        return None if deadline_s is None else max(0.0, deadline_s - self._clock())

    def _resume(self, request: Request, failure: FoveaError | None) -> None:
        if failure is None and not request.cancelled and request.lacks_frames:
            return
        if not self._scheduler.unpark(request):
            return
        self._has_come(request.lane)
        if request.cancelled or is_late(request, self._clock()):
            self._leave(request, _farewell(request))
        elif failure is not None:
            self._leave(request, ExitReason.UNDECODED)
        else:
            self._scheduler.add([request])

    def _note_savings(self, request: Request) -> None:
        """What a glance leaves out is known before it is taken: a camera's windows come one after the other."""
        recognizer = self._recognizers[request.plan.model]
        if request.shared is None or not isinstance(recognizer, ReusesFrames) or recognizer.frame_flops is None:
            request.shared = None
            return
        new = recognizer.num_new_frames(request.shared)
        request.saved_flops = tuple(
            (priced - looked_at) * recognizer.frame_flops
            for priced, looked_at in zip(recognizer.num_glance_frames, new, strict=True)
        )

    def step(self) -> None:
        """One turn: a batch of glances or of cubes, each request one step further."""
        try:
            batch = self._schedule()
        except Exception as error:  # the thread's edge: whoever waits is told, and the loop goes on with who comes next
            log.exception("whose turn it is could not be settled")
            for request in self._scheduler.clear():
                self._leave(request, InferenceFailed(f"whose turn it is could not be settled: {error}"))
            return
        if batch is None:
            return
        try:
            states = self._run(batch)
            self._note_in_domain(batch, states)
            steps = [_step_of(request, state) for request, state in zip(batch.requests, states, strict=True)]
        except Exception as error:  # the thread's edge: a broken batch must not end the loop
            log.exception("a %s batch of %d for %s failed", batch.kind, len(batch.requests), batch.model)
            for request in batch.requests:
                self._leave(request, _failure(batch, error))
            return
        self._postprocess(batch, states, steps)

    def _schedule(self) -> Batch | None:
        now_s = self._clock()
        for request in self._scheduler.departures(now_s):
            self._leave(request, _farewell(request))
        return self._scheduler.schedule(self.flop_rate.amount_in(QUANTUM_S))

    def _run(self, batch: Batch) -> Sequence[State]:
        recognizer = self._recognizers[batch.model]
        self._metrics.requests_waiting.dec(len(batch.requests))
        self._metrics.requests_running.inc(len(batch.requests))
        start_s = self._clock()
        for request in batch.requests:
            request.batch_began_s = start_s
        try:
            if batch.kind is Kind.GLANCE:
                return _glance(recognizer, batch.requests)
            return recognizer.focus([request.state for request in batch.requests])
        finally:
            took_s = self._clock() - start_s
            for request in batch.requests:
                request.inference_s += took_s
            self.flop_rate.observe(batch.flops, took_s)
            self._metrics.requests_running.dec(len(batch.requests))
            self._metrics.requests_waiting.inc(len(batch.requests))
            self._metrics.batch_ran(batch.kind, len(batch.requests), took_s)

    def _note_in_domain(self, batch: Batch, states: Sequence[State]) -> None:
        """Some ten thousand multiply-adds a clip, where a glance takes a hundred million: timed, but not charged."""
        score, recognizer = self._open_sets.get(batch.model), self._recognizers[batch.model]
        if batch.kind is not Kind.GLANCE or score is None or not isinstance(recognizer, TellsFeatures):
            return
        for request, state in zip(batch.requests, states, strict=True):
            request.in_domain = score.in_domain(recognizer.glance_features(state))

    def _postprocess(self, batch: Batch, states: Sequence[State], steps: Sequence[Step]) -> None:
        """Tell every request its new answer; who is sure, out of budget, late or at the end leaves, the rest go on."""
        now_s = self._clock()
        going_on = []
        for request, state, step in zip(batch.requests, states, steps, strict=True):
            request.state = state
            request.steps.append(step)
            request.frames_decoded = 0
            self._metrics.flops_total.labels(model=batch.model).inc(step.flops)
            request.emit(step)
            late = is_late(request, now_s)
            label = int(step.probabilities_C.argmax())
            reason = exit_reason(
                request.plan, step.step, step.entropy_nats, request.spent_flops, late=late, label=label
            )
            if request.cancelled:
                self._leave(request, _farewell(request))
            elif reason is not None:
                self._leave(request, reason)
            else:
                going_on.append(request)
        self._go_on(batch.model, going_on)

    def _go_on(self, model: str, requests: Sequence[Request]) -> None:
        """Those whose next step has all frames that it looks at are ready for it; the others say what they need."""
        begun = [request for request in requests if request.clip.inexact]
        asked: set[Request] = set()  # the frames of one may be there before the next is asked for
        if begun:
            start_s = self._clock()
            try:
                found = _look_ahead(self._recognizers[model], begun)
            except Exception as error:  # the thread's edge, as in `step`
                log.exception("where %d requests for %s look next could not be told", len(begun), model)
                for request in begun:
                    self._leave(request, InferenceFailed(f"where to look next could not be told: {error}"))
                requests = [request for request in requests if not request.clip.inexact]
            else:
                took_s = self._clock() - start_s
                for request, ahead in zip(begun, found, strict=True):
                    request.inference_s += took_s
                    request.state, request.needed = ahead.state, frozenset(ahead.next_indices)
                    if request.lacks_frames:
                        asked.add(request)
                        self._ask_for_frames(request, ahead)
        self._scheduler.add([request for request in requests if request not in asked])

    def _ask_for_frames(self, request: Request, ahead: Ahead) -> None:
        lacking = request.clip.inexact & request.needed
        others = (request.clip.inexact & set(ahead.later_indices)) - lacking
        self._scheduler.park(request)  # before it is told: the answer may come at once
        request.emit(FramesNeeded(tuple(sorted(lacking)), tuple(sorted(others))))

    def _leave(self, request: Request, how: ExitReason | FoveaError) -> None:
        self._metrics.requests_waiting.dec()
        if not request.keeps_state:
            request.state = None
        request.emit(how)

    def _abandon(self) -> None:
        """Answer whoever is still here when the thread ends, so that nobody waits for ever."""
        with self._ending:
            self._ended = True
        while len(self._scheduler) or self._scheduler.num_parked or not self._inbox.empty():
            while not self._inbox.empty():
                request = self._inbox.get()
                if isinstance(request, Request):
                    self._scheduler.add([request])
            for request in self._scheduler.clear():
                self._leave(request, Draining.cut_off("video"))


def _glance(recognizer: Recognizer[State], requests: Sequence[Request]) -> list[State]:
    clips_THWC = [request.clip.frames_THWC for request in requests]
    if not isinstance(recognizer, ReusesFrames) or all(request.shared is None for request in requests):
        return recognizer.glance(clips_THWC)
    return recognizer.glance_sharing(clips_THWC, [request.shared for request in requests])


def _look_ahead(recognizer: Recognizer[State], requests: Sequence[Request]) -> list[Ahead]:
    assert isinstance(recognizer, ChoosesFrames), "a clip was begun for a model that looks at all of it"
    return recognizer.look_ahead([request.state for request in requests])


def _step_of(request: Request, state: State) -> Step:
    assert state.step == request.next_step, "the recognizer answered another step than it was asked for"
    return Step(
        step=state.step,
        flops=request.next_cost_flops,
        entropy_nats=state.entropy_nats,
        probabilities_C=state.probabilities_C,
        cube=state.cube,
        frames_decoded=request.frames_decoded,
        began_s=request.batch_began_s,
    )


def _failure(batch: Batch, error: Exception) -> FoveaError:
    if isinstance(error, MemoryError):
        return OutOfMemory(f"{batch.model}: {error or 'there is no memory left'}")
    return InferenceFailed(f"the {batch.kind} failed: {error}")


def _farewell(request: Request) -> ExitReason | FoveaError:
    """What to tell a request that leaves between steps: it was cancelled, or its deadline passed."""
    if request.cancelled:
        return RequestCancelled.before_answer()
    if request.steps:
        return ExitReason.DEADLINE
    return DeadlineBeforeGlance(f"the deadline of {request.plan.deadline_ms} ms passed before the glance was done")
