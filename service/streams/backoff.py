"""How long to wait before a camera is opened again. Pure arithmetic: it is told the time, and has no clock.

Quick for the first half minute, since most outages are a reboot or a cable; then ever slower up to a cap. What only a
person can mend waits longer from the start, and so does a wrong password: cameras lock accounts that are tried often.
"""

import random
from dataclasses import dataclass, field

from fovea.words import ErrorClass

QUICK_S = (0.2, 0.4, 0.7)  # waits of an outage's beginning; the last one repeats
QUICK_FOR_S = 30.0
STEADY_S = 10.0  # a camera that was back for less is still in the same outage: a flapping one is not hammered
SLOW = frozenset({ErrorClass.UNSUPPORTED, ErrorClass.LIMIT, ErrorClass.ADDRESS, ErrorClass.TLS})


@dataclass(slots=True)
class Backoff:
    """Of one camera. Waits are spread by a quarter downwards, lest all cameras of a switch come at once."""

    cap_s: float
    auth_s: float
    chance: random.Random = field(default_factory=random.Random)
    attempts: int = 0  # failed since it was last steady
    _down_since_s: float | None = None
    _live_since_s: float | None = None

    def live(self, now_s: float) -> None:
        """Pictures arrive."""
        if self._live_since_s is None:
            self._live_since_s = now_s

    def lost(self, error_class: ErrorClass, now_s: float) -> float:
        """There are none (any more); how long to wait until the next try."""
        if self._live_since_s is not None and now_s - self._live_since_s >= STEADY_S:
            self.attempts, self._down_since_s = 0, None
        self._live_since_s = None
        if self._down_since_s is None:
            self._down_since_s = now_s
        self.attempts += 1
        return self._wait_s(error_class, now_s - self._down_since_s) * self.chance.uniform(0.75, 1.0)

    def _wait_s(self, error_class: ErrorClass, down_s: float) -> float:
        if error_class is ErrorClass.AUTH:
            return self.auth_s
        if error_class in SLOW:
            return self.cap_s
        if down_s < QUICK_FOR_S:
            return min(self.cap_s, QUICK_S[min(self.attempts, len(QUICK_S)) - 1])
        # from 0.7 s on, a third of the outage: 10 s after half a minute, the cap soon after
        return min(self.cap_s, down_s / 3)
