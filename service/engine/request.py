"""The nouns every part of the service shares. Knows no network, no thread and no HTTP; FLOPs are plain ints here.

"FLOPs" are multiply-adds of convolutions, linear layers and matrix products, as the papers count them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fovea.errors import FoveaError
from fovea.words import ExitReason
from models.recognizer import Cube, Shared
from service.engine.lanes import Lane
from service.engine.still import Still
from service.engine.verdict import Terms, Verdict, judge
from video.clip import Clip, VideoInfo


@dataclass(frozen=True, slots=True)
class Plan:
    """What one request may do, settled before anything is spent.

    `step_flops[k]` is the price of step k; `thresholds_nats[k]` is eta_k, one for every step but the last;
    `label_offsets_nats[k]` has a number per label where thresholds differ between labels (`models.exit_rules`).
    """

    model: str
    step_flops: tuple[int, ...]
    thresholds_nats: tuple[float, ...]
    budget_flops: int  # B of Eq. 7: bounds the mean over videos, not this one
    max_flops: int | None  # bounds this one
    deadline_ms: int | None  # wall-clock from the end of the upload
    top_k: int
    max_entropy_nats: float = math.inf  # ln of the number of labels: no answer is less sure
    label_offsets_nats: tuple[tuple[float, ...], ...] = ()
    terms: Terms = field(default_factory=Terms)  # when the answer has no label
    granted_flops: int | None = None  # what the thresholds were solved for, where load left less than B; None: B
    asked: "Plan | None" = None  # the plan for all of B, where load left less: steps that are paid for follow it
    mean_flops: int | None = None  # what calibration videos cost with these thresholds; None: not known
    picture: bool = False  # whether the answer brings a frame

    @property
    def budget_granted_flops(self) -> int:
        return self.budget_flops if self.granted_flops is None else self.granted_flops

    @property
    def expected_flops(self) -> int:
        """What the request is expected to spend."""
        return self.most_flops if self.mean_flops is None else min(self.mean_flops, self.most_flops)

    @property
    def glance_alone(self) -> "Plan":
        """The same, but for the steps after the first: a ceiling of a glance would pay for more where frames are
        shared."""
        first = self.step_flops[0]
        return replace(
            self, step_flops=(first,), thresholds_nats=(), label_offsets_nats=(), mean_flops=first, asked=None
        )

    @property
    def always_goes_on(self) -> bool:
        """Whether no video stops after the glance, however sure, unless its time is up."""
        if len(self.step_flops) == 1 or self.most_flops == self.step_flops[0]:
            return False
        offsets_nats = self.label_offsets_nats[0] if self.label_offsets_nats else ()
        return self.thresholds_nats[0] + max(offsets_nats, default=0.0) < 0

    def stops_every_video(self, step: int) -> bool:
        """Whether no answer is so unsure that this step is not the last. Not asked of the last, which has no eta."""
        offsets_nats = self.label_offsets_nats[step] if self.label_offsets_nats else ()
        return self.thresholds_nats[step] + min(offsets_nats, default=0.0) >= self.max_entropy_nats

    @property
    def most_steps(self) -> int:
        """How many steps this request can take: as many as its ceiling pays for, up to one that stops every video."""
        affordable = sum(total <= self.most_flops for total in accumulate(self.step_flops))
        return next((step + 1 for step in range(affordable - 1) if self.stops_every_video(step)), affordable)

    @property
    def most_flops(self) -> int:
        """The most this request can spend: what admission reserves."""
        total = 0
        for cost in self.step_flops:
            if self.max_flops is not None and total + cost > self.max_flops:
                break
            total += cost
        return total


@dataclass(frozen=True, slots=True)
class Step:
    """One prediction p_k: what it cost and what it says."""

    step: int  # 0 is the glance, or its first part
    flops: int
    entropy_nats: float
    probabilities_C: NDArray[np.float32]
    cube: Cube | None
    frames_decoded: int = 0  # for this step: all that came since the one before
    began_s: float = 0.0  # monotonic: when its batch did
    held: bool = False  # an earlier request has paid for it


@dataclass(frozen=True, slots=True)
class Timing:
    """Where one request's time went, in seconds of a monotonic clock."""

    upload_s: float
    decode_s: float  # waiting for a decode child included
    queue_s: float  # decoded, and waiting for the device's turn
    inference_s: float  # in running batches
    total_s: float
    decode_steps_s: tuple[float, ...] = ()  # of `decode_s`, for each step that was taken or tried


@dataclass(frozen=True, slots=True)
class FramesNeeded:
    """No end: the next step looks at frames of the clip that are not there. `others` may be looked at later."""

    indices: tuple[int, ...]
    others: tuple[int, ...]


EngineEvent: TypeAlias = Step | FramesNeeded | ExitReason | FoveaError


@dataclass(slots=True, eq=False)
class Request:
    """One video on its way through the engine. Owned by the engine's thread after `submit`.

    But from a FramesNeeded until `Engine.frames_came`, `clip` and `frames_decoded` are the listener's to write.
    """

    plan: Plan
    clip: Clip
    deadline_s: float | None  # monotonic clock
    emit: Callable[[EngineEvent], None]  # called in the engine's thread: every Step, then one ExitReason or error, last
    lane: Lane
    shared: Shared | None = None  # with earlier windows, where the recognizer glances at each frame by itself
    cancelled: bool = False  # set by any thread; looked at between steps
    steps: list[Step] = field(default_factory=list)  # filled by the engine, behind those that were held
    state: Any = None  # the recognizer's State, between two steps; filled by the engine, or that of the held steps
    inference_s: float = 0.0  # filled by the engine
    batch_began_s: float = 0.0  # of its latest batch; filled by the engine
    in_domain: float | None = None  # of the glance's features; filled by the engine where the model has a score
    saved_flops: tuple[int, ...] = ()  # of each step that glances, because frames are shared; filled by the engine
    needed: frozenset[int] = frozenset()  # places in the clip that the next step looks at; filled by the engine
    frames_decoded: int = 0  # since the last step
    keeps_state: bool = False  # whether `state` stays, for the listener, once the last event is emitted

    @property
    def lacks_frames(self) -> bool:
        """Whether the next step looks at frames that are not there."""
        return not self.needed.isdisjoint(self.clip.inexact)

    @property
    def spent_flops(self) -> int:
        """For all steps so far, those that were held included."""
        return sum(step.flops for step in self.steps)

    @property
    def next_step(self) -> int:
        return len(self.steps)

    @property
    def next_cost_flops(self) -> int:
        saved = self.saved_flops[self.next_step] if self.next_step < len(self.saved_flops) else 0
        return self.plan.step_flops[self.next_step] - saved


@dataclass(frozen=True, slots=True)
class Recognition:
    """The answer, with its own account of what it cost."""

    id: str
    plan: Plan
    labels: tuple[str, ...]
    steps: tuple[Step, ...]
    exit_reason: ExitReason
    clip: Clip
    timing: Timing
    in_domain: float | None = None  # None: the model has no open-set score
    failure: FoveaError | None = None  # why the frames of the next step are not there: UNDECODED
    picture: Still | None = None  # where the plan asks for one, and there was time for it

    @property
    def verdict(self) -> Verdict:
        """The label, or why there is none."""
        return judge(self.steps[-1].probabilities_C, self.labels, self.in_domain, self.plan.terms)

    @property
    def likeliest(self) -> str | None:
        """Its label, however little that scores; None where it abstains for another reason."""
        terms = replace(self.plan.terms, min_score=0.0)
        return judge(self.steps[-1].probabilities_C, self.labels, self.in_domain, terms).label

    @property
    def spent_flops(self) -> int:
        """By this request: steps that were held cost it nothing."""
        return sum(step.flops for step in self.steps if not step.held)

    @property
    def total_flops(self) -> int:
        """For all steps, whoever paid for them."""
        return sum(step.flops for step in self.steps)

    @property
    def cached(self) -> bool:
        """Whether no step was taken for it."""
        return all(step.held for step in self.steps)

    @property
    def resumed_from_step(self) -> int | None:
        """The last step that was held, where others were taken after it."""
        held = [step.step for step in self.steps if step.held]
        return held[-1] if held and not self.cached else None

    @property
    def video(self) -> VideoInfo:
        return self.clip.info
