"""Kinds of work that share the device by weight, and whose turn it is among those that wait. Knows no request.

Start-time fair queueing (Goyal, Vin and Cheng, 1996): of the lanes that wait, the one goes next that has been served
the fewest multiply-adds for its weight. Who comes back after it had nothing to do starts level with the others.
"""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lane:
    """A kind of work. While several wait, each gets `weight` over the sum of their weights of the device."""

    name: str
    weight: float

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"lane {self.name!r} has weight {self.weight}: it must be above 0, or it is never served")


class Turns:
    """What each lane was served so far, as multiply-adds over weight; what counts is the difference."""

    def __init__(self) -> None:
        self._served: dict[Lane, float] = {}
        self._waited: frozenset[Lane] = frozenset()  # at the turn before
        self._level = 0.0  # what the lane of the turn before had been served, when it was chosen

    def next(self, waiting: Collection[Lane]) -> Lane:
        """Whose turn it is; the first of equals. Raises ValueError where nobody waits."""
        for lane in waiting:
            if lane not in self._waited:  # no turns were saved up meanwhile
                self._served[lane] = max(self._served.get(lane, 0.0), self._level)
        chosen = min(waiting, key=lambda lane: self._served[lane])
        self._waited = frozenset(waiting)
        self._level = self._served[chosen]
        return chosen

    def serve(self, lane: Lane, flops: int) -> None:
        """`flops` are spent on `lane`, in its own turn or in the room that another's left."""
        self._served[lane] = self._served.get(lane, 0.0) + flops / lane.weight
