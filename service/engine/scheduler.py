"""Decides whose step runs next, and when a request is done. Pure arithmetic: no model, no thread, no clock of its own.

A request is a run of priced steps: one glance, then cubes. Glance is prefill, focus is decode: at every turn the
scheduler forms one batch of first steps or of later ones, of different videos but one model, bounded by summed FLOPs.
Requests join and leave between turns (continuous batching).

Fairness: a turn belongs to a lane, by weight (`lanes`). The batch is formed around the request of that lane that has
waited for the most turns, so every waiting request is served within as many of its lane's turns as there were requests
in its lane when it came. Room that is left in a batch is filled with whatever fits. While several owners are about, a
batch is smaller (`quantum_flops`): whoever comes waits for one that runs. An owner that asks for one video after the
other makes up for turns that others had in between, so that its next step need not wait for another batch of theirs.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fovea.words import ExitReason
from models.exit_rules import stops
from service.engine.lanes import Lane, Owner, Turns
from service.engine.request import Plan, Request

CREDIT_QUANTA = 4  # that an owner may save up between two of its videos
ABOUT_TURNS = 256  # that an owner counts as being about after its last request became ready


class Kind(StrEnum):
    GLANCE = "glance"
    FOCUS = "focus"


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests whose next step runs together. Rows of a focus batch may stand at different steps."""

    model: str
    kind: Kind
    requests: tuple[Request, ...]

    @property
    def flops(self) -> int:
        return sum(request.next_cost_flops for request in self.requests)


class Scheduler:
    """Holds the requests that are ready for their next step, in the order in which they became so.

    Beside them those that wait for frames of their clips: they take no turn, and leave as others do.
    """

    def __init__(self, *, max_batch_flops: int, max_batch_size: int) -> None:
        self.max_batch_flops = max_batch_flops
        self.max_batch_size = max_batch_size
        self._ready: list[Request] = []
        self._parked: dict[Request, None] = {}  # a set that keeps the order
        self._turns = Turns()
        self._num_turns = 0
        self._about: dict[Owner, int] = {}  # the turn at which something of the owner's became ready last

    def __len__(self) -> int:
        """How many are ready."""
        return len(self._ready)

    @property
    def num_parked(self) -> int:
        """How many wait for frames."""
        return len(self._parked)

    @property
    def parked_deadline_s(self) -> float | None:
        """When the first of those that wait for frames is out of time; None: never."""
        return min((one.deadline_s for one in self._parked if one.deadline_s is not None), default=None)

    def add(self, requests: Iterable[Request]) -> None:
        """Take requests that are ready for their next step: new ones, and those whose last step was not enough."""
        for request in requests:
            self._ready.append(request)
            self._about[request.lane.owner] = self._num_turns

    def park(self, request: Request) -> None:
        """Its next step cannot be taken before frames come: `unpark`."""
        self._parked[request] = None

    def unpark(self, request: Request) -> bool:
        """Take it from those that wait for frames; False where it is not among them: it may have left."""
        if request not in self._parked:
            return False
        del self._parked[request]
        return True

    def departures(self, now_s: float) -> list[Request]:
        """Remove and return the requests that must not take another step: the client left, or their time is up."""
        gone = [request for request in (*self._ready, *self._parked) if request.cancelled or is_late(request, now_s)]
        if gone:
            left = set(gone)
            self._ready = [request for request in self._ready if request not in left]
            self._parked = {request: None for request in self._parked if request not in left}
        return gone

    def schedule(self, quantum_flops: float | None = None) -> Batch | None:
        """Remove and return the next batch: the longest-waiting request whose turn it is, and all that fit beside it.

        Those of its lane come first, oldest first. `quantum_flops` bounds it, too, while several owners are about.
        """
        if not self._ready:
            return None
        self._num_turns += 1
        lanes = {request.lane: None for request in self._ready}  # a set that keeps the order
        lane = self._turns.next(lanes, owners_credit_flops=CREDIT_QUANTA * (quantum_flops or 0.0))
        oldest = next(request for request in self._ready if request.lane == lane)
        model, kind = oldest.plan.model, kind_of(oldest)
        chosen: set[int] = set()
        room_flops: float = self.max_batch_flops
        if quantum_flops is not None and self._is_shared:
            room_flops = min(room_flops, quantum_flops)
        for request in sorted(self._ready, key=lambda request: request.lane != lane):  # stable: oldest first
            fits = not chosen or (len(chosen) < self.max_batch_size and request.next_cost_flops <= room_flops)
            if fits and request.plan.model == model and kind_of(request) is kind:
                chosen.add(id(request))
                room_flops -= request.next_cost_flops
        requests = tuple(request for request in self._ready if id(request) in chosen)
        self._ready = [request for request in self._ready if id(request) not in chosen]
        for request in requests:
            self._turns.serve(request.lane, request.next_cost_flops)
        return Batch(model=model, kind=kind, requests=requests)

    def is_turn_of(self, coming: Iterable[Lane], quantum_flops: float) -> bool:
        """Whether it would be the turn of one of these, that is not ready yet, and a step of those that are ready would
        have it wait for longer than a quantum: steps are not divided."""
        ready = {request.lane: None for request in self._ready}
        absent = [lane for lane in coming if lane not in ready]
        if not absent or all(request.next_cost_flops <= quantum_flops for request in self._ready):
            return False
        return self._turns.first([*ready, *absent], owners_credit_flops=CREDIT_QUANTA * quantum_flops) in absent

    @property
    def _is_shared(self) -> bool:
        """Whether more than one owner is about."""
        if len(self._about) > 1:
            since = self._num_turns - ABOUT_TURNS
            self._about = {owner: turn for owner, turn in self._about.items() if turn >= since}
        return len(self._about) > 1

    def clear(self) -> list[Request]:
        """Remove and return everyone, oldest first, those that wait for frames last."""
        everyone = [*self._ready, *self._parked]
        self._ready, self._parked = [], {}
        return everyone


def kind_of(request: Request) -> Kind:
    return Kind.GLANCE if request.next_step == 0 else Kind.FOCUS


def is_late(request: Request, now_s: float) -> bool:
    return request.deadline_s is not None and now_s >= request.deadline_s


def exit_reason(
    plan: Plan, step: int, entropy_nats: float, spent_flops: int, *, late: bool, label: int = 0
) -> ExitReason | None:
    """Whether the answer after `step` is the last, and why; None: take the next step. `label` is its top one.

    The order is part of the API: a confident answer is `confident` even if it also came late. A threshold that stops
    every video says nothing of this one: `budget`. Where no step is left there is nothing to be confident, short or
    late about: `exhausted`, as always for a fixed-cost model.
    """
    if step + 1 == len(plan.step_flops):
        return ExitReason.EXHAUSTED
    offsets_nats = plan.label_offsets_nats[step] if plan.label_offsets_nats else ()
    if stops(entropy_nats, plan.thresholds_nats[step], offsets_nats, label):
        return ExitReason.BUDGET if plan.stops_every_video(step) else ExitReason.CONFIDENT
    if plan.max_flops is not None and spent_flops + plan.step_flops[step + 1] > plan.max_flops:
        return ExitReason.CEILING
    if late:
        return ExitReason.DEADLINE
    return None
