"""A budget of multiply-adds a second that cameras share: a token bucket each, quiet ones lend to busy ones.

Pure arithmetic: it is told the time. Owners share the rate by weight, an owner's cameras its part evenly; what
overflows a bucket goes into a common one, from which a camera may take once its own is empty. So the pool's rate holds
over all cameras together, and no busy one takes a quiet one's share for longer than the common bucket lasts.
"""

from collections import Counter
from dataclasses import dataclass

from service.engine.lanes import ANYBODY, Owner

BURST_S = 4.0  # of its share that a bucket holds


@dataclass(slots=True)
class _Bucket:
    flops: float
    owner: Owner
    lent: int = 0  # promised to a window that is being recognised


class Pool:
    """`flops_per_s` over all cameras; None: no bound."""

    def __init__(self, flops_per_s: float | None) -> None:
        self._rate = flops_per_s
        self._buckets: dict[str, _Bucket] = {}
        self._common = 0.0
        self._filled_s: float | None = None

    def join(self, camera: str, now_s: float, owner: Owner = ANYBODY) -> None:
        self._fill(now_s)
        self._buckets[camera] = _Bucket(0.0, owner)

    def leave(self, camera: str) -> None:
        del self._buckets[camera]

    def borrow(self, camera: str, least_flops: int, most_flops: int, now_s: float) -> int | None:
        """What the camera's next window may spend: at most `most_flops`, as far as there is credit.

        None where the credit is less than `least_flops`, a glance: that window has to be left out. What was borrowed
        is settled with `settle`.
        """
        if self._rate is None:
            return most_flops
        self._fill(now_s)
        bucket = self._buckets[camera]
        credit = int(bucket.flops + self._common)
        if credit < least_flops:
            return None
        granted = min(most_flops, credit)
        self._take(bucket, granted)
        bucket.lent = granted
        return granted

    def settle(self, camera: str, spent_flops: int) -> None:
        """The window is done; what it left unspent is given back."""
        bucket = self._buckets.get(camera)
        if self._rate is None or bucket is None:
            return
        bucket.flops += bucket.lent - spent_flops
        bucket.lent = 0

    def _take(self, bucket: _Bucket, flops: int) -> None:
        own = min(bucket.flops, flops)
        bucket.flops -= own
        self._common -= flops - own

    def _fill(self, now_s: float) -> None:
        elapsed_s = 0.0 if self._filled_s is None else max(0.0, now_s - self._filled_s)
        self._filled_s = now_s
        if self._rate is None or not self._buckets:
            return
        num_cameras = Counter(bucket.owner for bucket in self._buckets.values())
        weights = sum(owner.weight for owner in num_cameras)
        for bucket in self._buckets.values():
            share = self._rate * bucket.owner.weight / weights / num_cameras[bucket.owner]
            bucket.flops += share * elapsed_s
            overflow = max(0.0, bucket.flops - share * BURST_S)
            bucket.flops -= overflow
            self._common += overflow
        self._common = min(self._common, self._rate * BURST_S)
