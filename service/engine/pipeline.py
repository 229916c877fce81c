"""The life of one video, top to bottom: plan, admit, decode, glance, focus, answer. Knows no HTTP.

Everything here runs on the event loop; decoding happens in child processes, recognition in the engine's thread.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ulid import ULID

from fovea.errors import DeadlineBeforeGlance, UnknownModel
from fovea.words import ExitReason
from models.recognizer import Shared
from service.engine.admission import Admission, Ticket
from service.engine.budget import Offer, RecognitionOptions, plan
from service.engine.engine import Engine
from service.engine.gate import Gate
from service.engine.lanes import ANYBODY, Lane, Owner
from service.engine.request import EngineEvent, Plan, Recognition, Request, Step, Timing
from service.metrics import Metrics
from video.children.pace import Estimate
from video.children.sandbox import Sandbox
from video.clip import Clip


@dataclass(frozen=True, slots=True)
class Lanes:
    """The kinds of work that recognise, side by side."""

    uploads: Lane
    cameras: Lane
    timelines: Lane


@dataclass(frozen=True, slots=True)
class Decoded:
    """A video that became a clip in time: what `run` needs to recognise it."""

    plan: Plan
    ticket: Ticket | None  # None: a camera's window, of which there is one at a time; its own budget bounds it
    clip: Clip
    started_s: float  # monotonic: the end of the upload
    upload_s: float
    decode_s: float
    lane: Lane
    shared: Shared | None = None

    @property
    def deadline_s(self) -> float | None:
        return None if self.plan.deadline_ms is None else self.started_s + self.plan.deadline_ms / 1000


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
    ) -> None:
        self.catalogue = tuple(offers)
        self.admission = admission
        self._offers = {offer.name: offer for offer in offers}
        self._engine = engine
        self.lanes = lanes
        self._sandbox = sandbox
        self._gate = gate
        self._metrics = metrics
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

    def plan(self, options: RecognitionOptions) -> Plan:
        """Settle the model and the budget. Raises UnknownModel, BudgetTooSmall."""
        return plan(options, self.catalogue, self.catalogue[0])

    def admit(self, plan: Plan, owner: Owner = ANYBODY, on_spend: Callable[[int], None] = lambda flops: None) -> Ticket:
        """Reserve what the plan may need; before the upload is read. Raises Overloaded, Draining.

        `owner`: whose share it takes, of places and of the device; `on_spend` hears what each step has cost.
        """
        return self.admission.admit(plan.most_flops, owner, on_spend)

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
        try:
            async with asyncio.timeout(timeout_s):
                clip = await self._decode_in_turn(path, plan, ticket)
        except TimeoutError as error:
            raise self._deadline_before_glance(plan) from error
        finally:
            ticket.decoded()
        decode_s = time.monotonic() - started_s
        self._metrics.decode_seconds.observe(decode_s)
        lane = replace(self.lanes.uploads, owner=ticket.owner)
        return Decoded(plan, ticket, clip, started_s, upload_s, decode_s, lane)

    async def _decode_in_turn(self, path: Path, plan: Plan, ticket: Ticket) -> Clip:
        """Owners take turns; a video that turns out to be costly steps aside, and waits among its like."""
        leave = await self._gate.enter(ticket.owner)

        def step_aside(estimate: Estimate) -> None:
            leave.close()
            ticket.wait_apart(estimate)

        try:
            return await self._sandbox.decode(path, self._offers[plan.model].clip_rule, on_costly=step_aside)
        finally:
            leave.close()

    async def run(self, decoded: Decoded) -> AsyncGenerator[Step | Recognition, None]:
        """Clip to answer: every step as it is taken, then the Recognition. Closing the iterator cancels the request."""
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[tuple[EngineEvent, float]] = asyncio.Queue()  # with the time at which each happened

        def emit(event: EngineEvent) -> None:  # called in the engine's thread
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(note, event, time.monotonic())

        def note(event: EngineEvent, now_s: float) -> None:
            if decoded.ticket is None:
                pass
            elif isinstance(event, Step):  # given back when spent, not when read: clients may read slowly
                decoded.ticket.spend(event.flops)
            else:
                decoded.ticket.close()
            events.put_nowait((event, now_s))

        request = Request(decoded.plan, decoded.clip, decoded.deadline_s, emit, decoded.lane, decoded.shared)
        submitted_s = time.monotonic()
        self._engine.submit(request)
        try:
            while True:
                event, now_s = await events.get()
                match event:
                    case Step():
                        if event.step == 0 and decoded.lane.name == self.lanes.uploads.name:
                            self._note_first_result(now_s - decoded.started_s)
                        yield event
                    case ExitReason():
                        recognition = self._answer(decoded, request, event, submitted_s, now_s)
                        self._metrics.recognized(recognition)
                        yield recognition
                        return
                    case DeadlineBeforeGlance():
                        raise self._deadline_before_glance(decoded.plan)
                    case error:
                        raise error
        finally:
            request.cancelled = True

    async def look(
        self, plan: Plan, clip: Clip, shared: Shared, owner: Owner = ANYBODY, *, lane: Lane | None = None
    ) -> Recognition:
        """A camera's window to answer, or another's whose `lane` it is.

        `shared` says which frames the windows before it have shown already.
        """
        started_s = time.monotonic()
        lane = replace(lane or self.lanes.cameras, owner=owner)
        decoded = Decoded(plan, None, clip, started_s, 0.0, 0.0, lane, shared)
        async with aclosing(self.run(decoded)) as events:
            async for event in events:
                if isinstance(event, Recognition):
                    return event
        raise AssertionError("the pipeline ended without an answer")

    def _answer(
        self, decoded: Decoded, request: Request, reason: ExitReason, submitted_s: float, now_s: float
    ) -> Recognition:
        return Recognition(
            id=f"rec_{ULID()}",
            plan=decoded.plan,
            labels=self._offers[decoded.plan.model].labels,
            steps=tuple(request.steps),
            exit_reason=reason,
            clip=decoded.clip,
            timing=Timing(
                upload_s=decoded.upload_s,
                decode_s=decoded.decode_s,
                queue_s=now_s - submitted_s - request.inference_s,
                inference_s=request.inference_s,
                total_s=decoded.upload_s + now_s - decoded.started_s,
            ),
            in_domain=request.in_domain,
        )

    def _note_first_result(self, seconds: float) -> None:
        self._metrics.time_to_first_result_seconds.observe(seconds)
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
