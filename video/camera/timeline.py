"""A camera's time against this machine's: when a picture arrived at best, and when its clock jumps. Pure arithmetic.

A packet comes late by what network and camera held it back; the least delayed of late tell the offset between the two
clocks. Knows nothing of wall-clock time, which may jump itself.
"""

from fractions import Fraction

BACK_S = Fraction(1, 2)  # reordered packets go back less than that
FORWARD_S = Fraction(5)  # a gap that long is a break, whatever caused it
DRIFT = 2e-4  # clocks drift apart by less than 200 parts in a million
MAX_AGE_S = 5.0  # the newest picture is not told as older: a clock that runs slow would make it ever older


class Timeline:
    """Of one epoch."""

    def __init__(self, forward_s: Fraction = FORWARD_S) -> None:
        self.latest: tuple[Fraction, float] | None = None  # the camera's latest time, and when it came
        self._forward_s = forward_s
        self._offset_s: float | None = None
        self._seen_s = 0.0

    def jumps_to(self, time_s: Fraction) -> bool:
        """Whether a packet of that time belongs to no continuous stream any more."""
        return self.latest is not None and not -BACK_S <= time_s - self.latest[0] <= self._forward_s

    def note(self, time_s: Fraction, arrived_s: float) -> None:
        """A packet of that time arrived then, by a monotonic clock."""
        if self.latest is None or time_s > self.latest[0]:
            self.latest = time_s, arrived_s
        offset_s = arrived_s - float(time_s)
        if self._offset_s is not None:
            offset_s = min(offset_s, self._offset_s + DRIFT * (arrived_s - self._seen_s))
            offset_s = max(offset_s, arrived_s - MAX_AGE_S - float(self.latest[0]))
        self._offset_s, self._seen_s = offset_s, arrived_s

    def arrival_s(self, time_s: Fraction) -> float:
        """When a picture of that time arrived, or would have without delays; monotonic clock."""
        assert self._offset_s is not None
        return float(time_s) + self._offset_s
