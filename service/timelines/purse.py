"""One budget for a whole video: quiet stretches leave their share to busy ones. Arithmetic in seconds of the video.

What was spent is never more than what the video so far has earned; so a timeline that is cut short was not dear.
"""


class Purse:
    """Earns `flops_per_s` with every second of the video that is reached; None: no bound."""

    def __init__(self, flops_per_s: float | None) -> None:
        self._rate = flops_per_s
        self._reached_s = 0.0
        self.spent_flops = 0

    def reach(self, time_s: float) -> None:
        """The video is looked at up to there."""
        self._reached_s = max(self._reached_s, time_s)

    def grant(self, least_flops: int, most_flops: int, *, kept_flops: int = 0) -> int | None:
        """What the next look may spend: at most `most_flops`, with `kept_flops` left for others.

        None where the credit is less than `least_flops`.
        """
        if self._rate is None:
            return most_flops
        credit = int(self._rate * self._reached_s) - self.spent_flops - kept_flops
        return None if credit < least_flops else min(credit, most_flops)

    def spend(self, flops: int) -> None:
        self.spent_flops += flops
