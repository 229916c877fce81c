"""Who holds what for how long, where one process is all there is: leases, reads and presences on its own clock.

What `memory` and `sqlite` share. All of it ends with the process, and so it should: nobody else can hold anything.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from service.ledger.base import Keeping, fenced, free


@dataclass(slots=True)
class Holds:
    """Of one book."""

    clock: Callable[[], float] = time.monotonic
    _leases: dict[str, tuple[str, float]] = field(default_factory=dict)  # token, and when it is over
    _reads: dict[str, float] = field(default_factory=dict)
    _blobs: dict[str, tuple[bytes, float]] = field(default_factory=dict)  # and until when
    _replicas: dict[str, tuple[str, float]] = field(default_factory=dict)

    def take(self, record_id: str, token: str, lease_s: float) -> bool:
        if self._holder(record_id) is not None:
            return False
        self._leases[record_id] = token, self.clock() + lease_s
        return True

    def keep(self, record_id: str, token: str, lease_s: float) -> Keeping:
        if self._holder(record_id) not in {None, token}:
            return "lost"
        self._leases[record_id] = token, self.clock() + lease_s
        return "kept"

    def give_up(self, record_id: str, token: str) -> None:
        if self._holder(record_id) == token:
            del self._leases[record_id]

    def check(self, record_id: str, token: str) -> None:
        """Raises Fenced, Unavailable."""
        holder = self._holder(record_id)
        if holder is None:
            raise free(record_id)
        if holder != token:
            raise fenced(record_id)

    def read(self, record_id: str) -> None:
        self._reads[record_id] = self.clock()

    def unread_s(self, record_id: str) -> float:
        return self.clock() - self._reads.setdefault(record_id, self.clock())

    def forget(self, record_id: str) -> None:
        self._leases.pop(record_id, None)
        self._reads.pop(record_id, None)
        self._blobs.pop(record_id, None)

    def put_blob(self, record_id: str, token: str, blob: bytes, for_s: float) -> None:
        """Raises Fenced, Unavailable."""
        self.check(record_id, token)
        self._blobs[record_id] = blob, self.clock() + for_s

    def blob(self, record_id: str) -> bytes | None:
        blob, until_s = self._blobs.get(record_id, (None, 0.0))
        return blob if self.clock() < until_s else None

    def present(self, replica: str, about: str, for_s: float) -> dict[str, str]:
        now_s = self.clock()
        self._replicas[replica] = about, now_s + for_s
        self._replicas = {name: said for name, said in self._replicas.items() if said[1] > now_s}
        return {name: self._replicas[name][0] for name in sorted(self._replicas)}

    def leave(self, replica: str) -> None:
        self._replicas.pop(replica, None)

    def _holder(self, record_id: str) -> str | None:
        token, over_s = self._leases.get(record_id, (None, 0.0))
        return token if self.clock() < over_s else None
