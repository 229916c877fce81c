"""How many of the things that are kept for long one owner may have: jobs, idempotency keys. Knows no ledger.

What is kept for a day cannot be had back when another comes. So an owner alone may have three quarters of the room,
beside others its share by weight. Counted here, and set right by every look at what is kept: replicas may be late by
one look.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from service.engine.shares import share_of


class KeptShares:
    """Of `most` in all. `weight_of`: an owner's, by name; "" is whoever asks without a key, who may have all."""

    def __init__(self, most: int, weight_of: Callable[[str], float]) -> None:
        self._most = most
        self._weight_of = weight_of
        self._kept: Counter[str] = Counter()

    def count(self, owners: Iterable[str]) -> None:
        """Of all that is kept, by a look at it."""
        self._kept = Counter(owners)

    def added(self, owner: str) -> None:
        self._kept[owner] += 1

    def beyond(self, owner: str) -> int | None:
        """The owner's share, where one more would pass it; else None."""
        others = sum(self._weight_of(name) for name, number in self._kept.items() if number and name != owner)
        if not owner and not others:
            return None
        share = share_of(self._most, self._weight_of(owner), others)
        return share if self._kept[owner] >= share else None
