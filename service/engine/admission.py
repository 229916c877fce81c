"""Says yes or "not now" before anything costly happens. Knows counts, FLOPs, prices and measured rates.

Five things are bounded: seconds that whoever comes now would wait (`backlog`), videos that are being uploaded or
decoded (places), requests that are not answered yet (each holds a clip), multiply-adds that admitted requests may still
spend (FLOPs), and seconds of decoding that costly videos wait for, which hold half of the places at most. A request
reserves the most it can spend; what it spends or leaves unspent is given back. Counts and FLOPs are shared between
owners (`shares`): none holds so much that others find no room. Who weighs less is refused at a shorter wait.
Used from the event loop's thread only.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from fovea.errors import Draining, Overloaded
from service.engine.backlog import Backlog
from service.engine.lanes import ANYBODY, Owner
from service.engine.pressure import Pressure
from service.engine.shares import Shares
from video.children.pace import Estimate
from video.rate import Rate

LEAST_WAIT_SHARE = 0.5  # of what may be waited for, where an owner weighs next to nothing beside another
HAS_ROOM_BELOW = 0.75  # of another replica's load: below, whoever is refused here may find room there


class Admission:
    """The service's capacity. `retry_after_s` of a refusal is computed from what is queued and how fast it goes.

    `max_wait_s`: beyond, nobody is admitted, however many places are free. `others_load`: the least of other replicas'
    loads; None: not known. `on_refusal` hears of the bound that was met.
    """

    def __init__(
        self,
        *,
        max_places: int,
        max_requests: int,
        max_flops: int,
        max_costly_decode_s: float,
        num_decoders: int,
        decode_rate: Rate,
        flop_rate: Rate,
        max_wait_s: float = math.inf,
        on_refusal: Callable[[str], None] = lambda bound: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_places = max_places
        self.max_requests = max_requests
        self.max_flops = max_flops
        self.max_costly_decode_s = max_costly_decode_s
        self.max_wait_s = max_wait_s
        self.backlog = Backlog(num_decoders=num_decoders, decode_rate=decode_rate, flop_rate=flop_rate, clock=clock)
        self.places = 0  # requests being uploaded or decoded
        self._num_stored = 0  # of these: uploads that are only to be stored
        self.flops = 0  # still to be spent by admitted requests, at most
        self.requests = 0  # admitted and not finished
        self.draining = False
        self.shares = Shares()
        self.others_load: Callable[[], float | None] = lambda: None
        self._on_refusal = on_refusal
        self._pressure = Pressure()
        self._clock = clock

    @property
    def costly_s(self) -> dict[object, float]:
        """Of those that wait apart: estimated seconds of decoding."""
        return self.backlog.costly_s

    @property
    def costly_decode_s(self) -> float:
        """Estimated seconds of decoding that costly videos have before them, all together."""
        return self.backlog.costly_decode_s

    @property
    def load(self) -> float:
        """How full the fullest bound is; at 1 whoever comes is refused. What balances load between replicas."""
        return max(self._fullness, self.places / self.max_places if self.max_places else 1.0)

    @property
    def told_load(self) -> float:
        """What other replicas are told: one that is draining has no room, however little is left in it."""
        return max(1.0, self.load) if self.draining else self.load

    @property
    def _fullness(self) -> float:
        """Of what smaller budgets relieve: places of slow uploads, and of those only to be stored, are left out."""
        relieved = self.places - self.backlog.num_slow_uploads - self._num_stored
        return max(
            relieved / self.max_places if self.max_places else 1.0,
            self.backlog.wait_s / self.max_wait_s,
            self.flops / self.max_flops,
            self.requests / self.max_requests,
        )

    def pressure(self) -> float:
        """How full it has been lately, from 0 to 1: what budgets are granted by."""
        return self._pressure.note(self._fullness, self._clock())

    @property
    def has_room_for_later(self) -> bool:
        """Whether work that nobody waits for may begin: half of everything is for those who wait."""
        return self.places < max(1, self.max_places // 2) and self.backlog.wait_s < self.max_wait_s / 2

    def admit(
        self,
        flops: int,
        owner: Owner = ANYBODY,
        on_spend: Callable[[int], None] = lambda flops: None,
        *,
        expected_flops: int | None = None,
    ) -> "Ticket":
        """Reserve a place and `flops`. Raises Overloaded with `retry_after_s`, or Draining.

        A request larger than the whole capacity is admitted when it would be alone: it could never be otherwise.
        `on_spend` hears of every multiply-add that the request spends, also of a step that ends after its client left.
        `expected_flops`: of those, in the mean; None: all.
        """
        self.check_open(owner)
        held = self.shares.of(owner)
        self.check_room(flops, promised_flops=self.flops)
        if held.flops:
            self._check_share(owner, held.flops + flops, self.max_flops, "multiply-adds that may be promised")
        return Ticket(self, flops, owner, on_spend, flops if expected_flops is None else expected_flops)

    def check_open(self, owner: Owner) -> None:
        """Raises Overloaded, or Draining, where the owner could have nothing now, whatever it asks for.

        Needs nothing of the request but who sent it: asked first, a refusal costs next to nothing.
        """
        self._check_place(owner)
        if self.requests >= self.max_requests:
            raise self._overloaded("requests", f"{self.requests} requests are not answered yet, the most there may be")
        self._check_wait(owner)
        wanted = self.shares.of(owner).requests + 1
        self._check_share(owner, wanted, self.max_requests, "requests that may wait for their answers")

    @contextmanager
    def place(self, owner: Owner = ANYBODY) -> Iterator[None]:
        """A place alone, for an upload that is only to be stored. Raises Overloaded, Draining."""
        self._check_place(owner)
        held = self.shares.of(owner)
        self.places, held.places = self.places + 1, held.places + 1
        self._num_stored += 1
        try:
            yield
        finally:
            self.places, held.places = self.places - 1, held.places - 1
            self._num_stored -= 1

    def _check_place(self, owner: Owner) -> None:
        if self.draining:
            raise Draining.refused()
        self.pressure()  # those who are refused are felt, too
        self.shares.ask(owner, self._clock())
        if self.places >= self.max_places:
            raise self._overloaded("places", f"all {self.max_places} places for videos to be decoded are taken")
        wanted = self.shares.of(owner).places + 1
        self._check_share(owner, wanted, self.max_places, "places for videos to be decoded")

    def _check_wait(self, owner: Owner) -> None:
        """Raises Overloaded. Whoever weighs most may wait the longest, and so is refused last."""
        wait_s = self.backlog.wait_s
        weight = self.shares.relative_weight(owner, self._clock())
        most_s = self.max_wait_s * (LEAST_WAIT_SHARE + (1 - LEAST_WAIT_SHARE) * weight)
        if wait_s >= most_s:
            theirs = "" if weight == 1 else f" for {owner.name or 'whoever asks without a key'}, others going first"
            raise self._overloaded(
                "wait", f"a video would wait for {wait_s:.3g} s, of at most {most_s:.3g} s{theirs}", wait_s=wait_s
            )

    def _check_share(self, owner: Owner, wanted: int, total: int, what: str) -> None:
        """Raises Overloaded where that is more than the owner's share."""
        most = self.shares.most(owner, total, self._clock())
        if most < total and wanted > most:
            raise self._overloaded(
                "share",
                f"{owner.name or 'whoever asks without a key'} has its share of the {what}: {most:.3g} of {total:.3g}",
            )

    def check_room(self, flops: int, *, promised_flops: int) -> None:
        """Raises Overloaded where a request of `flops` does not fit beside what is promised to others."""
        if promised_flops and promised_flops + flops > self.max_flops:
            raise self._overloaded(
                "flops",
                f"{promised_flops / 1e9:.3g} of {self.max_flops / 1e9:.3g} GFLOPs are already promised, "
                f"this request may need {flops / 1e9:.3g}",
            )

    def check_costly(self, estimate: Estimate, owner: Owner = ANYBODY) -> None:
        """Raises Overloaded, with the price, where a video does not fit beside the costly ones that are there.

        One larger than all of the room is taken when it would be alone.
        """
        if not self.costly_s:
            return
        share = self.shares.most(owner, self.max_places // 2, self._clock())
        if share < self.max_places // 2 and self.shares.of(owner).costly >= share:
            why = f"{share} costly videos of {owner.name or 'others without a key'} hold a place already, its share"
        elif len(self.costly_s) >= self.max_places // 2:
            why = f"{len(self.costly_s)} costly videos hold a place already, half of all {self.max_places}"
        elif self.costly_decode_s + estimate.seconds > self.max_costly_decode_s:
            waiting, most = f"{self.costly_decode_s:.3g} s", f"{self.max_costly_decode_s:g}"
            why = f"costly videos wait for {waiting} of decoding already, of at most {most}"
        else:
            return
        retry_after_s = max(1, math.ceil(self.backlog.costly_wait_s))
        self._on_refusal("costly")
        raise Overloaded(
            f"decoding this video takes {estimate}, and {why}; try again in {retry_after_s} s, or send a shorter part, "
            "at a lower resolution or with more keyframes",
            retry_after_s=retry_after_s,
            decode_s=round(estimate.seconds, 3),
            decode_gpixels=estimate.price.gpixels,
        )

    def _overloaded(self, bound: str, why: str, wait_s: float | None = None) -> Overloaded:
        """`wait_s`: until what is queued is done; None: as if all that is promised had to be."""
        self._on_refusal(bound)
        if wait_s is None:
            wait_s = max(
                self.backlog.seconds_to_decode(self.places - len(self.costly_s)),
                self.backlog.seconds_to_compute(self.flops),
            )
        retry_after_s = max(1, math.ceil(wait_s))
        others_load = self.others_load()
        if others_load is not None and others_load < HAS_ROOM_BELOW:
            return Overloaded(
                f"{why}; another replica has room, try again at once", retry_after_s=1, others_load=others_load
            )
        return Overloaded(f"{why}; try again in {retry_after_s} s", retry_after_s=retry_after_s)


class Ticket:
    """One admitted request's reservation; a context manager that gives back whatever is still reserved."""

    def __init__(
        self,
        admission: Admission,
        flops: int,
        owner: Owner = ANYBODY,
        on_spend: Callable[[int], None] = lambda flops: None,
        expected_flops: int = 0,
    ) -> None:
        self.owner = owner
        self._admission = admission
        self._backlog = admission.backlog
        self._flops = flops
        self._expected_flops = 0
        self._on_spend = on_spend
        self._held = admission.shares.of(owner)
        self._holds_place = True
        self._is_ahead = False
        self._open = True
        self._on_place_free: Callable[[], None] = lambda: None
        self._on_unrun: Callable[[], None] = lambda: None
        admission.places += 1
        admission.flops += flops
        admission.requests += 1
        self._held.places += 1
        self._held.flops += flops
        self._held.requests += 1
        self._backlog.uploads(self)
        self._expect(expected_flops)

    def _expect(self, flops: int) -> None:
        """So much it will spend yet, in the mean."""
        self._backlog.expected_flops += flops - self._expected_flops
        self._expected_flops = flops

    def decodes(self) -> None:
        """The upload is here, or more of it is to be decoded: from now on it waits for a decoder."""
        if self._open:
            self._backlog.decodes(self)
            self._set_ahead(False)

    def _set_ahead(self, is_ahead: bool) -> None:
        """Whether frames of it are decoded for the device."""
        self._held.ahead += is_ahead - self._is_ahead
        self._is_ahead = is_ahead

    def wait_apart(self, estimate: Estimate) -> None:
        """The video is costly to decode: it waits among its like. Raises Overloaded."""
        self._admission.check_costly(estimate, self.owner)
        self._backlog.costs(self, estimate.seconds)
        self._held.costly += 1

    def when_place_is_free(self, action: Callable[[], None]) -> None:
        """Have `action` called, once, when the place is given back: so that its upload lies on the disk no longer."""
        self._on_place_free = action

    def when_over_unrun(self, action: Callable[[], None]) -> None:
        """Have `action` called, once, where the request is over before it `runs`: its client has left, say."""
        self._on_unrun = action

    def runs(self) -> None:
        """Its video is the engine's now, which tells what becomes of it."""
        self._on_unrun = lambda: None

    def begun(self) -> None:
        """Frames of the video are decoded, and more of it may be: it waits for nothing, and keeps its place."""
        if self in self._backlog.costly_s:
            self._held.costly -= 1
        self._backlog.decoded(self)
        if self._open:
            self._set_ahead(True)

    def decoded(self) -> None:
        """The video is decoded (or never will be): its place is free, and what it waited for."""
        self.begun()
        if self._holds_place:
            self._holds_place = False
            self._admission.places -= 1
            self._held.places -= 1
            self._on_place_free()

    def reserve(self, flops: int, *, expected_flops: int | None = None) -> None:
        """Reserve `flops` instead: what the request may spend is known better now. Raises Overloaded."""
        assert self._open, "the request is over"
        others_flops = self._admission.flops - self._flops
        self._admission.check_room(flops, promised_flops=others_flops)
        self._admission.flops = others_flops + flops
        self._held.flops += flops - self._flops
        self._flops = flops
        self._expect(flops if expected_flops is None else expected_flops)

    def spend(self, flops: int) -> None:
        """`flops` of the reservation are spent; they no longer stand between others and the device.

        Once it is closed there is no reservation any more: a step may end after its client left.
        """
        self._on_spend(flops)
        if not self._open:
            return
        assert flops <= self._flops, "a request spent more than it reserved"
        self._release(flops)
        self._expect(max(0, self._expected_flops - flops))

    def _release(self, flops: int) -> None:
        self._flops -= flops
        self._held.flops -= flops
        self._admission.flops -= flops

    def close(self) -> None:
        if self._open:
            self.decoded()
            self._set_ahead(False)
            self._release(self._flops)
            self._expect(0)
            self._admission.requests -= 1
            self._held.requests -= 1
            self._open = False
            self._on_unrun()

    def __enter__(self) -> "Ticket":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
