"""From how full the service is to the budget that a request is granted. Pure arithmetic; it is told the time.

Up to a quarter of what may wait, everybody gets what was asked for. Above three quarters everybody gets the least that
the request allows. In between the grant falls along the model's solved budgets. Refusals begin at the whole.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence

FULL_UP_TO = 0.25  # pressure at which budgets begin to fall
LEAST_FROM = 0.75  # pressure from which nothing is left to give way
SETTLES_S = 2.0  # time constant of the smoothing: longer than a batch, shorter than what may wait


class Pressure:
    """How full the service is, smoothed over about two seconds. 0: nothing waits; 1: as much as may.

    A burst that is over before it counts changes no budget. The smoothing is what keeps grants from swinging: a lower
    grant shortens the queue, and a shorter queue raises the grant (`docs/decisions/0052-*`).
    """

    def __init__(self) -> None:
        self._value = 0.0
        self._at_s = -math.inf

    def note(self, fullness: float, now_s: float) -> float:
        """`fullness` as it is now; the smoothed one."""
        weight = 1 - math.exp(-(now_s - self._at_s) / SETTLES_S)
        self._value += weight * (min(1.0, fullness) - self._value)
        self._at_s = now_s
        return self._value


def granted_flops(pressure: float, budget_flops: int, levels: Sequence[int]) -> int:
    """What a request with that budget gets. It never rises with the pressure, and never falls below `levels[0]`.

    `levels` rise: the solved budgets that may be granted; the last is the one that `budget_flops` buys. At least one.
    """
    squeeze = min(1.0, max(0.0, (pressure - FULL_UP_TO) / (LEAST_FROM - FULL_UP_TO)))
    target = levels[-1] - squeeze * (levels[-1] - levels[0])
    place = max(0, bisect_right(levels, target) - 1)
    return budget_flops if place == len(levels) - 1 else levels[place]
