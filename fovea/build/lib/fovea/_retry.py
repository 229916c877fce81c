"""When to ask again, and how long to wait before. Knows errors and no connection."""

import random

from fovea.errors import DeadlineBeforeGlance, FoveaError


class Retry:
    """One call's waiting time, spent as the service's own `Retry-After` says.

    Only an answer that carries it is asked again (429 and 503): the service gives those before it has done any work, so
    that asking again repeats nothing. A missed deadline is not: the caller's time is over. A connection that broke is
    not: the work may have been done.
    """

    def __init__(self, max_wait_s: float) -> None:
        self._left_s = max_wait_s

    def wait_s(self, error: FoveaError) -> float:
        """Seconds to wait. Raises `error` where asking again is no use, or where that is longer than there is left."""
        if error.retry_after_s is None or isinstance(error, DeadlineBeforeGlance):
            raise error
        told_s = max(1.0, error.retry_after_s)
        if told_s > self._left_s:
            raise error
        self._left_s -= told_s
        return told_s * random.uniform(1, 1.25)  # those refused together do not come back together
