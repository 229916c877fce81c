"""The life of one video, top to bottom: plan, admit, decode, glance, focus, answer. Knows no HTTP.

Everything here runs on the event loop; decoding happens in child processes, recognition in the engine's thread.
Where the model tells which frames a step looks at, those of the glance are decoded first, others once they are needed.
"""

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ulid import ULID

from fovea.errors import (
    DeadlineBeforeGlance,
    DecodeCrashed,
    FoveaError,
    InferenceFailed,
    RequestCancelled,
    UnknownModel,
)
from fovea.words import ExitReason
from models.recognizer import Shared
from service.engine.admission import Admission, Ticket
from service.engine.budget import Offer, RecognitionOptions, plan
from service.engine.early import EarlyDecoding
from service.engine.engine import Engine
from service.engine.gate import Gate
from service.engine.lanes import ANYBODY, Lane, Owner
from service.engine.request import EngineEvent, FramesNeeded, Plan, Recognition, Request, Step, Timing
from service.metrics import Metrics
from service.results.held import HeldSteps
from service.results.paused import Paused
from service.results.results import Found, Results
from service.tracing.tracing import Tracing, Untraced
from video.children.pace import Estimate
from video.children.sandbox import Sandbox
from video.clip import Clip, EarlyFrames, FirstLook, FurtherLook, VideoInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lanes:
    """The kinds of work that recognise, side by side."""

    uploads: Lane
    cameras: Lane
    timelines: Lane


@dataclass(slots=True)
class Decoded:
    """A video that became a clip in time: what `run` needs to recognise it."""

    plan: Plan
    ticket: Ticket | None  # None: a camera's window, of which there is one at a time; its own budget bounds it
    path: Path | None  # of an upload
    clip: Clip  # begun, or whole; `run` replaces it when more of it is decoded
    started_s: float  # monotonic: the end of the upload
    upload_s: float
    decode_s: float
    lane: Lane
    shared: Shared | None = None
    on_spend: Callable[[int], None] = lambda flops: None  # where no ticket is, which has one of its own
    key: str | None = None  # under which its steps are kept for others; None: they are not
    found: Found | None = None  # steps that an earlier request has paid for

    @property
    def deadline_s(self) -> float | None:
        return None if self.plan.deadline_ms is None else self.started_s + self.plan.deadline_ms / 1000


@dataclass(slots=True)
class _Run:
    """One video while the engine has it."""

    decoded: Decoded
    request: Request
    events: asyncio.Queue[tuple[EngineEvent, float]] = field(default_factory=asyncio.Queue)  # and when each happened
    infos: list[VideoInfo] = field(default_factory=list)  # of the video, after each step
    further: "asyncio.Task[None] | None" = None  # the latest that decodes more of it
    further_s: list[float] = field(default_factory=list)  # that each of them took
    came_s: float = 0.0  # monotonic: when the latest came
    context: contextvars.Context = field(default_factory=contextvars.copy_context)  # the engine's thread has another
    failure: FoveaError | None = None  # of the latest

    def begin(self) -> None:
        """At the first step, or behind those that are held."""
        decoded, request = self.decoded, self.request
        request.shared, request.keeps_state = decoded.shared, decoded.key is not None
        paused = None if decoded.found is None else decoded.found.paused
        if paused is not None:
            request.steps, request.state, request.in_domain = [*paused.held.steps], paused.state, paused.held.in_domain
            self.infos += paused.held.infos
            for step in paused.held.steps:
                self.events.put_nowait((step, decoded.started_s))
        elif decoded.path is not None:
            request.frames_decoded = decoded.clip.info.frames_decoded


class Pipeline:
    """Recognises videos with the loaded models (`offers`, the first of them the default)."""

    def __init__(
        self,
        *,
        offers: Sequence[Offer],
        engine: Engine,
        lanes: Lanes,
        sandbox: Sandbox,
        admission: Admission,
        gate: Gate,
        metrics: Metrics,
        keyframe_tolerance: float | None = None,
        tracing: Tracing | None = None,
        gives_way: bool = True,
        results: Results | None = None,
        decodes_early: bool = True,
    ) -> None:
        """`keyframe_tolerance`: of a `FirstLook`; None: all frames of a clip are decoded at once. `gives_way`: whether
        budgets fall under load. `results`: where steps are kept for whoever asks again; None: nowhere. `decodes_early`:
        whether decoding begins while an upload arrives."""
        self._decodes_early = decodes_early
        self._gives_way = gives_way
        self._keyframe_tolerance = keyframe_tolerance
        self._results = results
        self.catalogue = tuple(offers)
        self.admission = admission
        self._offers = {offer.name: offer for offer in offers}
        self._engine = engine
        self.lanes = lanes
        self._sandbox = sandbox
        self._gate = gate
        self._metrics = metrics
        self._tracing = tracing or Untraced()
        self._least_first_result_s: float | None = None  # the fastest glance seen, from the end of its upload

    @property
    def is_alive(self) -> bool:
        """Whether the engine's thread runs; if not, only a new process helps."""
        return self._engine.is_alive

    def offer(self, name: str) -> Offer:
        """The loaded model of that name. Raises UnknownModel."""
        if name not in self._offers:
            raise UnknownModel.not_loaded(name, sorted(self._offers))
        return self._offers[name]

    def plan(self, options: RecognitionOptions, *, gives_way: bool = False) -> Plan:
        """Settle the model and the budget. Raises UnknownModel, BudgetTooSmall, InvalidOption.

        `gives_way`: somebody waits for the answer, so that under load a smaller budget is better than none.
        """
        pressure = self.admission.pressure() if gives_way and self._gives_way else 0.0
        return plan(options, self.catalogue, self.catalogue[0], pressure=pressure)

    def admit(self, plan: Plan, owner: Owner = ANYBODY, on_spend: Callable[[int], None] = lambda flops: None) -> Ticket:
        """Reserve what the plan may need; before the upload is read. Raises Overloaded, Draining.

        `owner`: whose share it takes, of places and of the device; `on_spend` hears what each step has cost.
        """
        return self.admission.admit(plan.most_flops, owner, on_spend, expected_flops=plan.expected_flops)

    def early(self, path: Path, plan: Plan, expected_bytes: int | None) -> EarlyDecoding | None:
        """For an upload that is about to arrive at `path`, `expected_bytes` of it if that is known; None: not done."""
        if not self._decodes_early:
            return None
        rule = self._offers[plan.model].clip_rule
        return EarlyDecoding(path, rule, self._first_look(plan), self._sandbox.follow, expected_bytes)

    async def recognize(
        self,
        path: Path,
        plan: Plan,
        ticket: Ticket,
        upload_s: float = 0.0,
        *,
        no_store: bool = False,
        early: EarlyDecoding | None = None,
    ) -> AsyncGenerator[Step | Recognition, None]:
        """Every step as it is taken, then the Recognition. Closing the iterator cancels the request."""
        decoded = await self.decode(path, plan, ticket, upload_s, no_store=no_store, early=early)
        async with aclosing(self.run(decoded)) as events:
            async for event in events:
                yield event

    async def decode(
        self,
        path: Path,
        plan: Plan,
        ticket: Ticket,
        upload_s: float = 0.0,
        *,
        no_store: bool = False,
        early: EarlyDecoding | None = None,
    ) -> Decoded:
        """Video file to clip, within the deadline. Raises VideoError, DeadlineBeforeGlance, Overloaded.

        What was decoded `early` is not decoded again. Nothing is decoded where steps are held of which one will do, or
        from which to go on; `no_store`: they are neither looked for nor kept.
        """
        started_s = time.monotonic()
        timeout_s = None if plan.deadline_ms is None else plan.deadline_ms / 1000
        clip = key = found = None
        look = self._first_look(plan)
        try:
            async with asyncio.timeout(timeout_s):
                if self._results is not None and not no_store:
                    key = await self._key(self._results, path, plan, ticket.owner, look)
                    found = await self._results.find(key, plan)
                if found is None:
                    ticket.decodes()
                    frames = await self._early_frames(early, plan, look)
                    clip = await self._decode_in_turn(path, plan, ticket, look, frames)
                else:
                    clip = _clip_of(found)
                    if early is not None:
                        early.close()
        except TimeoutError as error:
            raise self._deadline_before_glance(plan) from error
        finally:
            if clip is None or _is_done(clip, look):
                ticket.decoded()
            else:
                ticket.begun()
        decode_s = 0.0
        if found is None:
            decode_s = time.monotonic() - started_s
            self._metrics.decode_seconds.observe(decode_s, self._tracing.exemplar())
            self._metrics.frames_decoded_total.labels(kind="glance").inc(clip.info.frames_decoded)
        lane = replace(self.lanes.uploads, owner=ticket.owner)
        return Decoded(plan, ticket, path, clip, started_s, upload_s, decode_s, lane, key=key, found=found)

    async def _key(self, results: Results, path: Path, plan: Plan, owner: Owner, look: FirstLook | None) -> str:
        """Keyframes that may stand in for a glance's frames change what it says; when frames are decoded does not."""
        offer = self._offers[plan.model]
        return await results.key(path, owner.name, offer, 0.0 if look is None else look.tolerance)

    async def _early_frames(
        self, early: EarlyDecoding | None, plan: Plan, look: FirstLook | None
    ) -> EarlyFrames | None:
        """None, too, where the plan is another since."""
        if early is None or (early.rule, early.look) != (self._offers[plan.model].clip_rule, look):
            return None
        waits_s = time.monotonic()
        frames = await early.frames()
        self._tracing.record("early", waits_s, time.monotonic())
        return frames

    async def _decode_in_turn(
        self,
        path: Path,
        plan: Plan,
        ticket: Ticket,
        look: FirstLook | FurtherLook | None,
        early: EarlyFrames | None = None,
    ) -> Clip:
        """Owners take turns; a video that turns out to be costly steps aside, and waits among its like."""
        asked_s = time.monotonic()
        leave = await self._gate.enter(ticket.owner)
        self._tracing.record("queue", asked_s, time.monotonic(), waits_for="decoding")

        def step_aside(estimate: Estimate) -> None:
            leave.close()
            ticket.wait_apart(estimate)

        try:
            with self._tracing.span("decode", model=plan.model):
                clip = await self._sandbox.decode(
                    path,
                    self._offers[plan.model].clip_rule,
                    look,
                    on_costly=step_aside,
                    on_scan=partial(self._tracing.record, "scan"),
                    early=early,
                )
        finally:
            leave.close()
        if early is not None:
            self._metrics.early_frames_total.labels(outcome="used").inc(clip.info.frames_early)
            self._metrics.early_frames_total.labels(outcome="unused").inc(len(early.packets) - clip.info.frames_early)
        return clip

    def _first_look(self, plan: Plan) -> FirstLook | None:
        """The glance's frames, later those of the steps that the plan can take; None: all frames of the clip.

        Where every video goes on after its glance, all at once: one pass is cheaper than two.
        """
        steps = self._offers[plan.model].step_indices
        if steps is None:
            return None
        later = tuple(sorted(set().union(*steps[1 : plan.most_steps])))
        if self._keyframe_tolerance is None or plan.always_goes_on:
            return FirstLook(tuple(sorted({*steps[0], *later})), 0.0, ())
        return FirstLook(steps[0], self._keyframe_tolerance, later)

    async def run(self, decoded: Decoded) -> AsyncGenerator[Step | Recognition, None]:
        """Clip to answer: every step as it is taken, then the Recognition. Closing the iterator cancels the request.

        Steps that are held come first. The video's file must stay until then, unless nothing more of it may be wanted.
        """
        found = decoded.found
        if found is not None and found.reason is not None:
            for step in found.held.steps:
                yield step
            yield self._held_answer(decoded, found.held, found.reason)
            return
        loop = asyncio.get_running_loop()

        def emit(event: EngineEvent) -> None:  # called in the engine's thread
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(self._note, going, event, time.monotonic())

        going = _Run(decoded, Request(decoded.plan, decoded.clip, decoded.deadline_s, emit, decoded.lane))
        going.begin()
        request = going.request
        submitted_s = free_s = time.monotonic()
        self._engine.submit(request)
        try:
            while True:
                event, now_s = await going.events.get()
                match event:
                    case Step():
                        if not event.held:
                            self._note_step(going, event, max(free_s, going.came_s), now_s)
                            free_s = now_s
                        yield event
                    case ExitReason():
                        recognition = self._answer(going, event, submitted_s, now_s)
                        self._metrics.recognized(recognition, self._tracing.exemplar())
                        self._tell(recognition)
                        yield recognition
                        return
                    case DeadlineBeforeGlance():
                        raise self._deadline_before_glance(decoded.plan)
                    case FramesNeeded():
                        raise AssertionError("answered as soon as it was heard")
                    case error:
                        raise error
        finally:
            request.cancelled = True
            if going.further is not None:
                going.further.cancel()
                self._engine.frames_came(request)  # it waits for nothing any more

    def _note(self, going: "_Run", event: EngineEvent, now_s: float) -> None:
        """What the engine has told, at once, not when it is read: clients may read slowly."""
        decoded, request = going.decoded, going.request
        if isinstance(event, FramesNeeded):
            if request.cancelled:  # its client left in between: its file may be gone, and nobody wants frames
                self._engine.frames_came(request)
                return
            more = self._decode_more(going, event)
            going.further = asyncio.get_running_loop().create_task(more, context=going.context)
            return
        if isinstance(event, Step):  # given back when spent, too
            going.infos.append(decoded.clip.info)
            (decoded.on_spend if decoded.ticket is None else decoded.ticket.spend)(event.flops)
        else:
            self._keep(going, event)
            if decoded.ticket is not None:
                decoded.ticket.close()
        going.events.put_nowait((event, now_s))

    def _keep(self, going: "_Run", end: EngineEvent) -> None:
        """Its steps are paid for, also where its client left or its time was up: others may stop or go on there."""
        decoded, request = going.decoded, going.request
        failed = isinstance(end, FoveaError) and not isinstance(end, RequestCancelled)
        if self._results is None or decoded.key is None or not request.steps or failed:
            return
        if decoded.found is not None and len(decoded.found.held.steps) == len(request.steps):
            held = decoded.found.held
        else:
            held = HeldSteps.of(request.steps, going.infos, request.clip, request.in_domain)
        goes_on = len(request.steps) < len(request.plan.step_flops)
        self._results.keep(decoded.key, held, Paused(held, request.state, request.clip) if goes_on else None)
        request.state = None

    def _held_answer(self, decoded: Decoded, held: HeldSteps, reason: ExitReason) -> Recognition:
        """No step was taken for it."""
        if decoded.ticket is not None:
            decoded.ticket.close()
        recognition = Recognition(
            id=f"rec_{ULID()}",
            plan=decoded.plan,
            labels=self._offers[decoded.plan.model].labels,
            steps=held.steps,
            exit_reason=reason,
            clip=decoded.clip,
            timing=Timing(
                upload_s=decoded.upload_s,
                decode_s=0.0,
                queue_s=0.0,
                inference_s=0.0,
                total_s=decoded.upload_s + time.monotonic() - decoded.started_s,
            ),
            in_domain=held.in_domain,
        )
        self._metrics.recognized(recognition, self._tracing.exemplar())
        self._tell(recognition)
        return recognition

    async def _decode_more(self, going: "_Run", needed: FramesNeeded) -> None:
        """Join the frames that a request waits for to its clip, or tell what failed: it goes on in either case."""
        decoded, request = going.decoded, going.request
        assert decoded.path is not None
        assert decoded.ticket is not None
        started_s = time.monotonic()
        look = FurtherLook(needed.indices, needed.others)
        decoded.ticket.decodes()
        failure: FoveaError | None = None
        try:
            async with asyncio.timeout_at(decoded.deadline_s):  # the loop's clock is the monotonic one
                more = await self._decode_in_turn(decoded.path, decoded.plan, decoded.ticket, look)
            request.frames_decoded += more.info.frames_decoded
            self._metrics.frames_decoded_total.labels(kind="focus").inc(more.info.frames_decoded)
            decoded.clip = request.clip = decoded.clip.joined(more)
            if request.lacks_frames:
                failure = DecodeCrashed("the frames that the next step looks at did not come out of the decoder")
        except TimeoutError:
            pass  # the engine's clock tells it, too
        except FoveaError as error:
            failure = error
        except Exception as error:  # the task's edge: whoever waits must hear of it
            log.exception("more frames of a video could not be decoded")
            failure = InferenceFailed(f"decoding more frames failed: {error}")
        finally:  # cancelled, too: the ticket may be closed already, and would count as costly for ever
            decoded.ticket.begun()
        going.failure = failure
        going.came_s = time.monotonic()
        took_s = going.came_s - started_s
        going.further_s.append(took_s)
        self._metrics.further_decode_seconds.observe(took_s)
        self._engine.frames_came(request, failure)

    async def look(
        self,
        plan: Plan,
        clip: Clip,
        shared: Shared,
        owner: Owner = ANYBODY,
        *,
        lane: Lane | None = None,
        on_spend: Callable[[int], None] = lambda flops: None,
    ) -> Recognition:
        """A camera's window to answer, or another's whose `lane` it is.

        `shared` says which frames the windows before it have shown already; `on_spend` hears what each step has cost,
        also of one that ends after nobody waits any more.
        """
        started_s = time.monotonic()
        lane = replace(lane or self.lanes.cameras, owner=owner)
        decoded = Decoded(plan, None, None, clip, started_s, 0.0, 0.0, lane, shared, on_spend)
        parent = "" if lane.name == self.lanes.cameras.name else None  # a camera's windows are nobody's request
        with self._tracing.span("window", parent=parent, lane=lane.name):
            async with aclosing(self.run(decoded)) as events:
                async for event in events:
                    if isinstance(event, Recognition):
                        return event
        raise AssertionError("the pipeline ended without an answer")

    def _note_step(self, going: _Run, step: Step, free_s: float, ended_s: float) -> None:
        """A step that was taken, and the wait before it."""
        request = going.request
        if step.step == 0 and request.lane.name == self.lanes.uploads.name:
            self._note_first_result(ended_s - going.decoded.started_s)
        self._tracing.record("queue", free_s, max(free_s, step.began_s), waits_for="device")
        self._tracing.record(
            "glance" if step.cube is None else "cube",
            step.began_s,
            ended_s,
            model=request.plan.model,
            step=step.step,
            gflops=step.flops / 1e9,
            budget_gflops=request.plan.budget_flops / 1e9,
            spent_gflops=sum(one.flops for one in request.steps[: step.step + 1] if not one.held) / 1e9,
            entropy_nats=step.entropy_nats,
        )

    def _tell(self, recognition: Recognition) -> None:
        self._tracing.tell(
            recognition=recognition.id,
            model=recognition.plan.model,
            budget_gflops=recognition.plan.budget_flops / 1e9,
            spent_gflops=recognition.spent_flops / 1e9,
            steps=len(recognition.steps),
            exit_reason=str(recognition.exit_reason),
        )

    def _answer(self, going: "_Run", reason: ExitReason, submitted_s: float, now_s: float) -> Recognition:
        decoded, request, further_s = going.decoded, going.request, sum(going.further_s)
        return Recognition(
            id=f"rec_{ULID()}",
            plan=decoded.plan,
            labels=self._offers[decoded.plan.model].labels,
            steps=tuple(request.steps),
            exit_reason=reason,
            clip=decoded.clip,
            timing=Timing(
                upload_s=decoded.upload_s,
                decode_s=decoded.decode_s + further_s,
                queue_s=max(0.0, now_s - submitted_s - request.inference_s - further_s),
                inference_s=request.inference_s,
                total_s=decoded.upload_s + now_s - decoded.started_s,
                decode_steps_s=(decoded.decode_s, *going.further_s),
            ),
            in_domain=request.in_domain,
            failure=going.failure if reason is ExitReason.UNDECODED else None,
        )

    def _note_first_result(self, seconds: float) -> None:
        self._metrics.time_to_first_result_seconds.observe(seconds, self._tracing.exemplar())
        if self._least_first_result_s is None or seconds < self._least_first_result_s:
            self._least_first_result_s = seconds

    def _deadline_before_glance(self, plan: Plan) -> DeadlineBeforeGlance:
        least_s = self._least_first_result_s
        measured = (
            "no video was answered yet, so the least time is not known"
            if least_s is None
            else f"the fastest so far took {least_s * 1000:.0f} ms"
        )
        return DeadlineBeforeGlance(
            f"deadline_ms={plan.deadline_ms} passed before the glance was done; {measured}; "
            "give it more time, or leave the deadline out",
            retry_after_s=1,
            deadline_ms=plan.deadline_ms,
            least_ms=None if least_s is None else round(least_s * 1000),
        )


def _clip_of(found: Found) -> Clip:
    """The frames to go on with; black ones where no step looks at them any more."""
    return found.held.clip if found.paused is None else found.paused.clip


def _is_done(clip: Clip, look: FirstLook | None) -> bool:
    """Whether no frame that this look or a later one may want is missing."""
    if look is None or look.later is None:
        return not clip.inexact
    return clip.inexact.isdisjoint({*look.indices, *look.later})
