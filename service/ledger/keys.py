"""Every key that Fovea has in Redis. Values with passwords are marked."""

from dataclasses import dataclass
from datetime import date

from service.ledger.base import Kind

PREFIX = "fovea:"


@dataclass(frozen=True, slots=True)
class Keys:
    """Of one kind: `fovea:stream:records`, `fovea:stream:str_01J...:lease`."""

    kind: Kind

    @property
    def records(self) -> str:
        """Hash: id to record; PASSWORDS of cameras."""
        return f"{PREFIX}{self.kind}:records"

    @property
    def read(self) -> str:
        """Hash: id to the ms when somebody last asked for it."""
        return f"{PREFIX}{self.kind}:read"

    @property
    def replicas(self) -> str:
        """Sorted set: replica to the ms until which it counts as alive."""
        return f"{PREFIX}{self.kind}:replicas"

    @property
    def about(self) -> str:
        """Hash: replica to what it says about itself."""
        return f"{PREFIX}{self.kind}:about"

    def lease(self, record_id: str) -> str:
        """String: the holder's token; expires with the lease."""
        return f"{PREFIX}{self.kind}:{record_id}:lease"

    def events(self, record_id: str) -> str:
        """Redis stream: the events, its ids theirs."""
        return f"{PREFIX}{self.kind}:{record_id}:events"

    def report(self, record_id: str) -> str:
        """String: what its holder last reported."""
        return f"{PREFIX}{self.kind}:{record_id}:report"

    def blob(self, record_id: str) -> str:
        """String: base64 of what its holder shows; expires."""
        return f"{PREFIX}{self.kind}:{record_id}:blob"

    def removed(self, record_id: str) -> str:
        """String: set for a while once the record is removed, so that its holder does not put it back."""
        return f"{PREFIX}{self.kind}:{record_id}:removed"


def counters(day: date) -> str:
    """Hash: what was counted on that day, by name; expires."""
    return f"{PREFIX}counters:{day.isoformat()}"


def result(digest: str) -> str:
    """String: the steps taken on one video of one owner; expires. `digest` tells neither."""
    return f"{PREFIX}result:{digest}"
