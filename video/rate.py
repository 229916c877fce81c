"""A measured rate. Knows not of what: multiply-adds, videos, bytes; amounts over the seconds they took."""

_SMOOTHING = 0.1  # the weight of the newest observation


class Rate:
    """An exponential moving average of amounts and of the seconds they took.

    One thread observes; others may read: a read between the two writes is off by one observation at most.
    """

    def __init__(self) -> None:
        self._amount = 0.0
        self._seconds = 0.0

    def observe(self, amount: float, seconds: float) -> None:
        self._amount += _SMOOTHING * (amount - self._amount)
        self._seconds += _SMOOTHING * (seconds - self._seconds)

    def seconds_for(self, amount: float) -> float:
        """How long `amount` takes at this rate; 0 while nothing was measured."""
        return amount * self._seconds / self._amount if self._amount else 0.0

    def amount_in(self, seconds: float) -> float | None:
        """How much is done in `seconds` at this rate; None while nothing was measured."""
        return seconds * self._amount / self._seconds if self._seconds else None
