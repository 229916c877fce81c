"""A video that became a clip: all that is needed to recognise it. Knows no HTTP."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ulid import ULID

from fovea.errors import FoveaError
from fovea.words import ExitReason
from models.recognizer import Shared
from service.engine.admission import Ticket
from service.engine.lanes import Lane
from service.engine.request import Plan, Recognition, Step, Timing
from service.engine.still import Still
from service.results.held import HeldSteps
from service.results.results import Found
from video.clip import Clip


@dataclass(slots=True)
class Decoded:
    """A video that became a clip in time: what `Pipeline.run` needs to recognise it."""

    plan: Plan
    ticket: Ticket | None  # None: a camera's window, of which there is one at a time; its own budget bounds it
    path: Path | None  # of an upload
    clip: Clip  # begun, or whole; `Pipeline.run` replaces it when more of it is decoded
    started_s: float  # monotonic: the end of the upload
    upload_s: float
    decode_s: float
    lane: Lane
    shared: Shared | None = None
    on_spend: Callable[[int], None] = lambda flops: None  # where no ticket is, which has one of its own
    key: str | None = None  # under which its steps are kept for others; None: they are not
    found: Found | None = None  # steps that an earlier request has paid for
    picture: Still | None = None  # where the plan asks for one
    skip_loop_filter: bool = False  # in all frames of it, also those that are held

    @property
    def deadline_s(self) -> float | None:
        return None if self.plan.deadline_ms is None else self.started_s + self.plan.deadline_ms / 1000

    def held_answer(self, labels: tuple[str, ...], held: HeldSteps, reason: ExitReason) -> Recognition:
        """Where no step was taken for it. `labels`: of the plan's model."""
        timing = Timing(
            upload_s=self.upload_s,
            decode_s=self.decode_s,
            queue_s=0.0,
            inference_s=0.0,
            total_s=self.upload_s + time.monotonic() - self.started_s,
        )
        return self.answer(labels, held.steps, reason, timing, in_domain=held.in_domain)

    def answer(
        self,
        labels: tuple[str, ...],
        steps: tuple[Step, ...],
        reason: ExitReason,
        timing: Timing,
        *,
        in_domain: float | None,
        failure: FoveaError | None = None,
    ) -> Recognition:
        """What its steps came to. `labels`: of the plan's model; `failure`: of what could not be decoded."""
        return Recognition(
            id=f"rec_{ULID()}",
            plan=self.plan,
            labels=labels,
            steps=steps,
            exit_reason=reason,
            clip=self.clip,
            timing=timing,
            in_domain=in_domain,
            failure=failure,
            picture=self.picture,
        )
