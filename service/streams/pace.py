"""How many windows of a camera may be looked at in a time: one a stride. Pure arithmetic: it is told the time.

A camera's clock says where windows lie, this machine's how many there are: one that runs fast buys nothing.
"""

BURST = 4.0  # windows that may come at once, after a silence


class Pace:
    """Of one camera."""

    def __init__(self, stride_s: float) -> None:
        self._stride_s = stride_s
        self._credit = BURST
        self._now_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """How long until the next window may be looked at."""
        self._earn(now_s)
        return max(0.0, (1.0 - self._credit) * self._stride_s)

    def take(self, now_s: float) -> None:
        """A window is looked at."""
        self._earn(now_s)
        self._credit -= 1.0

    def _earn(self, now_s: float) -> None:
        elapsed_s = 0.0 if self._now_s is None else now_s - self._now_s
        self._now_s = now_s
        self._credit = min(BURST, self._credit + elapsed_s / self._stride_s)
