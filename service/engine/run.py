"""One video while the engine has it: what happened to it so far. Knows no HTTP."""

import asyncio
import contextvars
import time
from dataclasses import dataclass, field

from fovea.errors import FoveaError, RequestCancelled
from fovea.words import ExitReason
from service.engine.decoded import Decoded
from service.engine.request import EngineEvent, Recognition, Request, Timing
from service.results.held import HeldSteps
from service.results.paused import Paused
from service.results.results import Results
from video.clip import VideoInfo


@dataclass(slots=True)
class Run:
    """The pipeline writes into it what the engine and the decoder tell."""

    decoded: Decoded
    request: Request
    events: asyncio.Queue[tuple[EngineEvent, float]] = field(default_factory=asyncio.Queue)  # and when each happened
    infos: list[VideoInfo] = field(default_factory=list)  # of the video, after each step
    further: "asyncio.Task[None] | None" = None  # the latest that decodes more of it
    further_s: list[float] = field(default_factory=list)  # that each of them took
    came_s: float = 0.0  # monotonic: when the latest came
    context: contextvars.Context = field(default_factory=contextvars.copy_context)  # the engine's thread has another
    failure: FoveaError | None = None  # of the latest
    began_s: float = field(default_factory=time.monotonic)

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

    def end(self) -> None:
        """The engine has told the last of it, and forgets who listened: that holds this run, which holds the request,
        and the clip would stay until the garbage collector comes by."""
        self.request.emit = _to_nobody

    def keep(self, results: Results, end: EngineEvent) -> None:
        """Its steps are paid for, also where its client left or its time was up: others may stop or go on there."""
        failed = isinstance(end, FoveaError) and not isinstance(end, RequestCancelled)
        if self.decoded.key is not None and self.request.steps and not failed:
            results.keep(self.decoded.key, *self._held())

    def _held(self) -> tuple[HeldSteps, Paused | None]:
        """Its steps, for whoever asks again, and what to go on from where more are left; `request.state` goes along."""
        decoded, request = self.decoded, self.request
        if decoded.found is not None and len(decoded.found.held.steps) == len(request.steps):
            held = decoded.found.held
        else:
            held = HeldSteps.of(request.steps, self.infos, request.clip, request.in_domain)
        goes_on = len(request.steps) < len(request.plan.step_flops)
        paused = Paused(held, request.state, request.clip) if goes_on else None
        request.state = None
        return held, paused

    def answer(self, labels: tuple[str, ...], reason: ExitReason, ended_s: float) -> Recognition:
        """What its steps came to, and where its time went. `labels`: of its model."""
        decoded, request, further_s = self.decoded, self.request, sum(self.further_s)
        return decoded.answer(
            labels,
            tuple(request.steps),
            reason,
            Timing(
                upload_s=decoded.upload_s,
                decode_s=decoded.decode_s + further_s,
                queue_s=max(0.0, ended_s - self.began_s - request.inference_s - further_s),
                inference_s=request.inference_s,
                total_s=decoded.upload_s + ended_s - decoded.started_s,
                decode_steps_s=(decoded.decode_s, *self.further_s),
            ),
            in_domain=request.in_domain,
            failure=self.failure if reason is ExitReason.UNDECODED else None,
        )


def _to_nobody(event: EngineEvent) -> None:
    """Nothing comes after the last."""
