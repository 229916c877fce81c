"""Kinds of work that share the device by weight, and whose turn it is among those that wait. Knows no request.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): of the lanes that wait, the one goes next that has been served
the fewest multiply-adds for its weight. Who comes back after it had nothing to do starts level with the others. It is
done twice: first between the kinds of work, then, within the kind whose turn it is, between those who own the work.
"""

from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose work it is. While several wait, each gets `weight` over the sum of their weights."""

    name: str = ""  # empty: whoever asks without a key; they count as one
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"owner {self.name!r} has weight {self.weight}: it must be above 0, or it is never served")


ANYBODY = Owner()


@dataclass(frozen=True, slots=True)
class Lane:
    """A kind of work. While several wait, each gets `weight` over the sum of their weights of the device."""

    name: str
    weight: float
    owner: Owner = field(default=ANYBODY)

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"lane {self.name!r} has weight {self.weight}: it must be above 0, or it is never served")


@dataclass(frozen=True, slots=True)
class Lanes:
    """The kinds of work that recognise, side by side."""

    uploads: Lane
    cameras: Lane
    timelines: Lane


class Weighted(Hashable, Protocol):
    @property
    def weight(self) -> float: ...


T = TypeVar("T", bound=Weighted)


class FairOrder(Generic[T]):
    """What each of several was served so far, as an amount over its weight; what counts is the difference."""

    def __init__(self) -> None:
        self._served: dict[T, float] = {}
        self._waited: frozenset[T] = frozenset()  # at the turn before
        self._level = 0.0  # what the one of the turn before had been served, when it was chosen

    def next(self, waiting: Collection[T], *, credit: float = 0.0) -> T:
        """Whose turn it is; the first of equals. Raises ValueError where nobody waits.

        `credit`: turns that others had meanwhile, up to that amount, are made up for to whoever comes back.
        """
        self._served |= {one: self._standing(one, credit) for one in waiting}
        chosen = min(waiting, key=lambda one: self._served[one])
        self._waited = frozenset(waiting)
        self._level = self._served[chosen]
        return chosen

    def first(self, waiting: Collection[T], *, credit: float = 0.0) -> T:
        """Whose turn it would be. Nothing changes."""
        return min(waiting, key=lambda one: self._standing(one, credit))

    def _standing(self, one: T, credit: float) -> float:
        """What it was served; of one that did not wait at the turn before, no less than others, but for its credit."""
        if one in self._waited:
            return self._served[one]
        level = self._level - credit / one.weight
        return max(self._served.get(one, level), level)

    def serve(self, one: T, amount: float) -> None:
        """`amount` is spent on it, in its own turn or in the room that another's left."""
        self._served[one] = self._served.get(one, 0.0) + amount / one.weight


class Turns:
    """Whose turn the device is: a kind of work's, and within it an owner's."""

    def __init__(self) -> None:
        self._kinds: FairOrder[Lane] = FairOrder()
        self._owners: dict[Lane, FairOrder[Owner]] = {}

    def next(self, waiting: Collection[Lane], *, owners_credit_flops: float = 0.0) -> Lane:
        """Whose turn it is; the first of equals. Raises ValueError where nobody waits."""
        kind = self._kinds.next({_kind(lane): None for lane in waiting})  # a set that keeps the order
        order = self._owners.setdefault(kind, FairOrder())
        return Lane(kind.name, kind.weight, order.next(_owners(kind, waiting), credit=owners_credit_flops))

    def first(self, waiting: Collection[Lane], *, owners_credit_flops: float = 0.0) -> Lane:
        """Whose turn it would be. Nothing changes."""
        kind = self._kinds.first({_kind(lane): None for lane in waiting})
        order = self._owners.get(kind, FairOrder())
        return Lane(kind.name, kind.weight, order.first(_owners(kind, waiting), credit=owners_credit_flops))

    def serve(self, lane: Lane, flops: int) -> None:
        """`flops` are spent on `lane`, in its own turn or in the room that another's left."""
        self._kinds.serve(_kind(lane), flops)
        self._owners.setdefault(_kind(lane), FairOrder()).serve(lane.owner, flops)


def _kind(lane: Lane) -> Lane:
    return lane if lane.owner is ANYBODY else Lane(lane.name, lane.weight)


def _owners(kind: Lane, waiting: Collection[Lane]) -> Collection[Owner]:
    return {lane.owner: None for lane in waiting if _kind(lane) == kind}
