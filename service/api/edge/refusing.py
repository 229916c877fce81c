"""How soon a key is told that there is no room: at once, but not hundreds of times a second. Knows no request.

A client that is refused and asks again at once costs the event loop about as much as an answer. All that it can do to
others then is to keep the loop busy: so refusals of one key come at a bounded rate, and its next asks with them.
"""

import math
import time
from collections.abc import Callable

BURST = 10  # refusals of a key that are told at once
EACH_S = 0.04  # after that, one in so many seconds
LONGEST_S = 2.0  # that a refusal is held back


class Refusing:
    """By the names of keys. One event loop's."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_s: dict[str, float] = {}  # when a refusal is told, were there no burst

    def pause_s(self, key: str) -> float:
        """How long to hold this refusal back."""
        now_s = self._clock()
        told_s = max(self._next_s.get(key, -math.inf), now_s - BURST * EACH_S)
        self._next_s[key] = min(told_s, now_s + LONGEST_S) + EACH_S
        return min(max(0.0, told_s - now_s), LONGEST_S)
