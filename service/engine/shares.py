"""How much of something bounded one owner may hold while others want some, too. Pure arithmetic; it is told the time.

An owner counts while it holds something, and for a while after it asked. Alone it may hold three quarters, so that
there is room when another comes; beside others its share by weight. What it holds beyond that when another comes is not
taken away: it gets nothing more until it is below.
"""

import math
from dataclasses import dataclass, field

from service.engine.lanes import ANYBODY, Owner

ASKED_S = 10.0  # that an owner counts after it asked: clients that were refused come back within that time
MOST_ALONE = 0.75


@dataclass(slots=True)
class Held:
    """What one owner holds."""

    places: int = 0
    requests: int = 0
    flops: int = 0
    costly: int = 0
    ahead: int = 0  # requests that are decoded as far as they need it, and not answered
    asked_s: float = -math.inf  # when it asked last; a monotonic clock's time

    def counts(self, now_s: float) -> bool:
        return bool(self.requests or self.places or self.costly) or now_s - self.asked_s < ASKED_S


@dataclass(slots=True)
class Shares:
    """Who holds what."""

    _held: dict[Owner, Held] = field(default_factory=dict)

    def of(self, owner: Owner) -> Held:
        return self._held.setdefault(owner, Held())

    def ask(self, owner: Owner, now_s: float) -> None:
        """It asks: from now on it counts."""
        self.of(owner).asked_s = now_s
        self._held = {one: held for one, held in self._held.items() if held.counts(now_s)}

    def most(self, owner: Owner, total: int, now_s: float) -> int:
        """How much of `total` the owner may hold, 1 at least. Whoever asks without a key, alone, may hold all of it."""
        weights = sum(one.weight for one, held in self._held.items() if one != owner and held.counts(now_s))
        return total if owner == ANYBODY and not weights else share_of(total, owner.weight, weights)

    def relative_weight(self, owner: Owner, now_s: float) -> float:
        """The owner's weight over that of the heaviest who counts, itself among them: above 0, 1 at most."""
        others = (one.weight for one, held in self._held.items() if held.counts(now_s))
        return owner.weight / max((owner.weight, *others))


def share_of(total: int, weight: float, others: float) -> int:
    """What an owner of `weight` may hold beside owners whose weights are `others` together; 1 at least."""
    return max(1, math.ceil(total * (weight / (weight + others) if others else MOST_ALONE)))
