"""The life of one video, top to bottom: plan, admit, decode, glance, focus, answer. Knows no HTTP.

Everything here runs on the event loop; decoding happens in child processes, recognition in the engine's thread.
Where the model tells which frames a step looks at, those of the glance are decoded first, others once they are needed.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path

from fovea.errors import DeadlineBeforeGlance, DecodeCrashed, FoveaError, InferenceFailed, UnknownModel
from fovea.words import ExitReason
from models.recognizer import Shared
from service.engine.admission import Admission, Ticket
from service.engine.budget import Offer, RecognitionOptions, plan
from service.engine.decoded import Decoded
from service.engine.decoding import Decoding, picture_of
from service.engine.early import EarlyDecoding
from service.engine.engine import Engine
from service.engine.lanes import ANYBODY, Lane, Lanes, Owner
from service.engine.request import EngineEvent, FramesNeeded, Plan, Recognition, Request, Step
from service.engine.run import Run
from service.engine.telling import Telling
from service.results.held import HeldSteps
from service.results.held_video import HeldVideo
from service.results.results import Results
from video.clip import Clip, FirstLook, FurtherLook

log = logging.getLogger(__name__)


class Pipeline:
    """Recognises videos with the loaded models (`offers`, the first of them the default)."""

    def __init__(
        self,
        *,
        offers: Sequence[Offer],
        engine: Engine,
        lanes: Lanes,
        admission: Admission,
        decoding: Decoding,
        telling: Telling,
        gives_way: bool = True,
        results: Results | None = None,
    ) -> None:
        """`gives_way`: whether budgets fall under load. `results`: where steps are kept for whoever asks again; None:
        nowhere."""
        self._gives_way = gives_way
        self._results = results
        self.catalogue = tuple(offers)
        self.admission = admission
        self._offers = {offer.name: offer for offer in offers}
        self._engine = engine
        self.lanes = lanes
        self._decoding = decoding
        self._telling = telling

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
        return self._decoding.early(path, self._offers[plan.model], plan, expected_bytes)

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
        from which to go on, but the frame of a picture that is asked for; `no_store`: they are neither looked for nor
        kept.
        """
        started_s = time.monotonic()
        timeout_s = None if plan.deadline_ms is None else plan.deadline_ms / 1000
        clip = key = found = picture = None
        offer = self._offers[plan.model]
        look = self._decoding.first_look(offer, plan)
        skips = self._decoding.skips_loop_filter(offer, picture=plan.picture)
        others_skip = self._decoding.skips_loop_filter(offer)
        try:
            async with asyncio.timeout(timeout_s):
                if self._results is not None and not no_store:
                    held = await HeldVideo.look_up(
                        self._results,
                        path,
                        plan,
                        offer,
                        ticket,
                        keyframe_tolerance=0.0 if look is None else look.tolerance,
                        skip_loop_filter=(skips, others_skip),
                    )
                    key, found, skips = held.key, held.found, held.skip_loop_filter
                if found is None:
                    ticket.decodes()
                    frames = await self._decoding.early_frames(early, offer, look)
                    clip = await self._decoding.in_turn(path, offer, ticket, look, frames)
                else:
                    clip = found.clip
                    if early is not None:
                        early.close()
                is_fit = found is None or (found.paused is not None and not skips)
                if plan.picture and is_fit:
                    picture = await picture_of(clip, offer)
                elif plan.picture:
                    with suppress(FoveaError):  # there is an answer, if without it
                        picture = await self._decoding.picture_alone(path, offer, ticket)
        except TimeoutError as error:
            if found is None or clip is None:  # else there is an answer, and no time for its picture
                raise self._telling.deadline_before_glance(plan) from error
        finally:
            if clip is None or _is_done(clip, look):
                ticket.decoded()
            else:
                ticket.begun()
        decode_s = time.monotonic() - started_s if found is None or picture is not None else 0.0
        if found is None:
            self._telling.decoded(clip, decode_s)
        lane = replace(self.lanes.uploads, owner=ticket.owner)
        settled = plan if found is None else found.plan
        return Decoded(
            settled,
            ticket,
            path,
            clip,
            started_s,
            upload_s,
            decode_s,
            lane,
            key=key,
            found=found,
            picture=picture,
            skip_loop_filter=skips,
        )

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
                loop.call_soon_threadsafe(self._note, run, event, time.monotonic())

        run = Run(decoded, Request(decoded.plan, decoded.clip, decoded.deadline_s, emit, decoded.lane))
        run.begin()
        if decoded.ticket is not None:
            decoded.ticket.runs()
        free_s = run.began_s
        self._engine.submit(run.request)
        try:
            while True:
                event, now_s = await self._hear(run)
                if isinstance(event, ExitReason):
                    recognition = run.answer(self._offers[decoded.plan.model].labels, event, now_s)
                    self._telling.answer(recognition)
                    yield recognition
                    return
                if not event.held:
                    self._tell_step(run, event, max(free_s, run.came_s), now_s)
                    free_s = now_s
                yield event
        finally:
            run.request.cancelled = True
            if run.further is not None:
                run.further.cancel()
                self._engine.frames_came(run.request)  # it waits for nothing any more

    async def _hear(self, run: Run) -> tuple[Step | ExitReason, float]:
        """The next step, or the end, and when it was told. Raises what is told in place of an answer."""
        event, now_s = await run.events.get()
        match event:
            case Step() | ExitReason():
                return event, now_s
            case DeadlineBeforeGlance():
                raise self._telling.deadline_before_glance(run.decoded.plan)
            case FramesNeeded():
                raise AssertionError("answered as soon as it was heard")
            case error:
                try:
                    raise error
                finally:  # its traceback holds the frames that it passes, and the clip with them: none may hold it
                    del event, error

    def _tell_step(self, run: Run, step: Step, free_s: float, ended_s: float) -> None:
        if step.step == 0 and run.request.lane.name == self.lanes.uploads.name:
            self._telling.first_result(ended_s - run.decoded.started_s)
        self._telling.step(run.request, step, free_s, ended_s)

    def _note(self, run: Run, event: EngineEvent, now_s: float) -> None:
        """What the engine has told, at once, not when it is read: clients may read slowly."""
        decoded, request = run.decoded, run.request
        if isinstance(event, FramesNeeded):
            if request.cancelled:  # its client left in between: its file may be gone, and nobody wants frames
                self._engine.frames_came(request)
                return
            more = self._decode_more(run, event)
            run.further = asyncio.get_running_loop().create_task(more, context=run.context)
            return
        if isinstance(event, Step):  # given back when spent, too
            run.infos.append(decoded.clip.info)
            (decoded.on_spend if decoded.ticket is None else decoded.ticket.spend)(event.flops)
        else:
            if self._results is not None:
                run.keep(self._results, event)
            if decoded.ticket is not None:
                decoded.ticket.close()
            run.end()
        run.events.put_nowait((event, now_s))

    def _held_answer(self, decoded: Decoded, held: HeldSteps, reason: ExitReason) -> Recognition:
        if decoded.ticket is not None:
            decoded.ticket.close()
        recognition = decoded.held_answer(self._offers[decoded.plan.model].labels, held, reason)
        self._telling.answer(recognition)
        return recognition

    async def _decode_more(self, run: Run, needed: FramesNeeded) -> None:
        """Join the frames that a request waits for to its clip, or tell what failed: it goes on in either case."""
        decoded, request = run.decoded, run.request
        assert decoded.path is not None
        assert decoded.ticket is not None
        started_s = time.monotonic()
        offer = self._offers[decoded.plan.model]
        look = FurtherLook(needed.indices, needed.others, decoded.skip_loop_filter)
        decoded.ticket.decodes()
        failure: FoveaError | None = None
        try:
            async with asyncio.timeout_at(decoded.deadline_s):  # the loop's clock is the monotonic one
                more = await self._decoding.in_turn(decoded.path, offer, decoded.ticket, look)
            request.frames_decoded += more.info.frames_decoded
            self._telling.decoded_more(more)
            decoded.clip = request.clip = decoded.clip.joined(more)
            if request.lacks_frames:
                failure = DecodeCrashed("the frames that the next step looks at did not come out of the decoder")
        except TimeoutError:
            pass  # the engine's clock tells it, too
        except FoveaError as error:
            failure = error.with_traceback(None)  # that would hold this frame, and so the clip
        except Exception as error:  # the task's edge: whoever waits must hear of it
            log.exception("more frames of a video could not be decoded")
            failure = InferenceFailed(f"decoding more frames failed: {error}")
        finally:  # cancelled, too: the ticket may be closed already, and would count as costly for ever
            decoded.ticket.begun()
        run.failure = failure
        run.came_s = time.monotonic()
        took_s = run.came_s - started_s
        run.further_s.append(took_s)
        self._telling.tried_more(took_s)
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
        with self._telling.window(lane.name, parent):
            async with aclosing(self.run(decoded)) as events:
                async for event in events:
                    if isinstance(event, Recognition):
                        return event
        raise AssertionError("the pipeline ended without an answer")


def _is_done(clip: Clip, look: FirstLook | None) -> bool:
    """Whether no frame that this look or a later one may want is missing."""
    if look is None or look.later is None:
        return not clip.inexact
    return clip.inexact.isdisjoint({*look.indices, *look.later})
