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

from fovea.errors import DeadlineBeforeGlance, DecodeCrashed, FoveaError, InferenceFailed, UnknownModel
from fovea.words import ExitReason
from models.recognizer import Shared
from service.engine.admission import Admission, Ticket
from service.engine.budget import Offer, RecognitionOptions, plan
from service.engine.engine import Engine
from service.engine.gate import Gate
from service.engine.lanes import ANYBODY, Lane, Owner
from service.engine.request import EngineEvent, FramesNeeded, Plan, Recognition, Request, Step, Timing
from service.metrics import Metrics
from service.tracing.tracing import Tracing, Untraced
from video.children.pace import Estimate
from video.children.sandbox import Sandbox
from video.clip import Clip, FirstLook, FurtherLook

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

    @property
    def deadline_s(self) -> float | None:
        return None if self.plan.deadline_ms is None else self.started_s + self.plan.deadline_ms / 1000


@dataclass(slots=True)
class _Further:
    """What was decoded of one video after its glance."""

    task: "asyncio.Task[None] | None" = None  # the latest
    seconds: list[float] = field(default_factory=list)
    came_s: float = 0.0  # monotonic: when the latest came
    failure: FoveaError | None = None


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
    ) -> None:
        """`keyframe_tolerance`: of a `FirstLook`; None: all frames of a clip are decoded at once. `gives_way`: whether
        budgets fall under load."""
        self._gives_way = gives_way
        self._keyframe_tolerance = keyframe_tolerance
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

    async def recognize(
        self, path: Path, plan: Plan, ticket: Ticket, upload_s: float = 0.0
    ) -> AsyncGenerator[Step | Recognition, None]:
        """Every step as it is taken, then the Recognition. Closing the iterator cancels the request."""
        async with aclosing(self.run(await self.decode(path, plan, ticket, upload_s))) as events:
            async for event in events:
                yield event

    async def decode(self, path: Path, plan: Plan, ticket: Ticket, upload_s: float = 0.0) -> Decoded:
        """Video file to clip, within the deadline. Raises VideoError, DeadlineBeforeGlance, Overloaded."""
        started_s = time.monotonic()
        timeout_s = None if plan.deadline_ms is None else plan.deadline_ms / 1000
        clip, look = None, self._first_look(plan)
        ticket.decodes()
        try:
            async with asyncio.timeout(timeout_s):
                clip = await self._decode_in_turn(path, plan, ticket, look)
        except TimeoutError as error:
            raise self._deadline_before_glance(plan) from error
        finally:
            if clip is None or _is_done(clip, look):
                ticket.decoded()
            else:
                ticket.begun()
        decode_s = time.monotonic() - started_s
        self._metrics.decode_seconds.observe(decode_s, self._tracing.exemplar())
        self._metrics.frames_decoded_total.labels(kind="glance").inc(clip.info.frames_decoded)
        lane = replace(self.lanes.uploads, owner=ticket.owner)
        return Decoded(plan, ticket, path, clip, started_s, upload_s, decode_s, lane)

    async def _decode_in_turn(
        self, path: Path, plan: Plan, ticket: Ticket, look: FirstLook | FurtherLook | None
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
                return await self._sandbox.decode(
                    path,
                    self._offers[plan.model].clip_rule,
                    look,
                    on_costly=step_aside,
                    on_scan=partial(self._tracing.record, "scan"),
                )
        finally:
            leave.close()

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

        The video's file must stay until then, unless nothing more of it may be wanted.
        """
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[tuple[EngineEvent, float]] = asyncio.Queue()  # with the time at which each happened
        further = _Further()
        context = contextvars.copy_context()  # the engine's thread has another

        def emit(event: EngineEvent) -> None:  # called in the engine's thread
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(note, event, time.monotonic())

        def note(event: EngineEvent, now_s: float) -> None:
            if isinstance(event, FramesNeeded):  # at once, not when read: clients may read slowly
                if request.cancelled:  # its client left in between: its file may be gone, and nobody wants frames
                    self._engine.frames_came(request)
                    return
                further.task = loop.create_task(self._decode_more(decoded, request, event, further), context=context)
                return
            if isinstance(event, Step):  # given back when spent, too
                (decoded.on_spend if decoded.ticket is None else decoded.ticket.spend)(event.flops)
            elif decoded.ticket is not None:
                decoded.ticket.close()
            events.put_nowait((event, now_s))

        request = Request(decoded.plan, decoded.clip, decoded.deadline_s, emit, decoded.lane, decoded.shared)
        if decoded.path is not None:
            request.frames_decoded = decoded.clip.info.frames_decoded
        submitted_s = free_s = time.monotonic()
        self._engine.submit(request)
        try:
            while True:
                event, now_s = await events.get()
                match event:
                    case Step():
                        if event.step == 0 and decoded.lane.name == self.lanes.uploads.name:
                            self._note_first_result(now_s - decoded.started_s)
                        self._trace(request, event, max(free_s, further.came_s), now_s)
                        free_s = now_s
                        yield event
                    case ExitReason():
                        recognition = self._answer(decoded, request, event, further, submitted_s, now_s)
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
            if further.task is not None:
                further.task.cancel()
                self._engine.frames_came(request)  # it waits for nothing any more

    async def _decode_more(self, decoded: Decoded, request: Request, needed: FramesNeeded, further: "_Further") -> None:
        """Join the frames that a request waits for to its clip, or tell what failed: it goes on in either case."""
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
        further.failure = failure
        further.came_s = time.monotonic()
        took_s = further.came_s - started_s
        further.seconds.append(took_s)
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

    def _trace(self, request: Request, step: Step, free_s: float, ended_s: float) -> None:
        """A step that was taken, and the wait before it."""
        self._tracing.record("queue", free_s, max(free_s, step.began_s), waits_for="device")
        self._tracing.record(
            "glance" if step.cube is None else "cube",
            step.began_s,
            ended_s,
            model=request.plan.model,
            step=step.step,
            gflops=step.flops / 1e9,
            budget_gflops=request.plan.budget_flops / 1e9,
            spent_gflops=sum(one.flops for one in request.steps[: step.step + 1]) / 1e9,
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

    def _answer(
        self,
        decoded: Decoded,
        request: Request,
        reason: ExitReason,
        further: "_Further",
        submitted_s: float,
        now_s: float,
    ) -> Recognition:
        further_s = sum(further.seconds)
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
                decode_steps_s=(decoded.decode_s, *further.seconds),
            ),
            in_domain=request.in_domain,
            failure=further.failure if reason is ExitReason.UNDECODED else None,
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


def _is_done(clip: Clip, look: FirstLook | None) -> bool:
    """Whether no frame that this look or a later one may want is missing."""
    if look is None or look.later is None:
        return not clip.inexact
    return clip.inexact.isdisjoint({*look.indices, *look.later})
