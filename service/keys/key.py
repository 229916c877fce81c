"""A key as the file of keys describes it: whose it is, what it opens, how much of it. Knows no HTTP and no file.

The key itself is kept nowhere: 32 random bytes cannot be guessed, so their SHA-256 tells a right one, and is no secret.
"""

import hashlib
import re
import secrets
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from service.engine.lanes import Owner

PREFIX = "fovea_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MINUTE_S, DAY_S = 60, 86_400


class Scope(StrEnum):
    """What a key opens."""

    RECOGNIZE = "recognize"  # videos and what is told of models
    STREAMS = "streams"  # cameras: its own
    ADMIN = "admin"  # all of that, everybody's; the metrics


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bound(_Value):
    """The most of one thing in one stretch of time."""

    name: str  # requests-per-minute
    unit: Literal["requests", "flops"]
    most: int
    window_s: int


class Limits(_Value):
    """What a key may ask for in a minute and in a day: 24 hours from the first request in them. None: no limit."""

    requests_per_minute: int | None = Field(default=None, ge=1)
    requests_per_day: int | None = Field(default=None, ge=1)
    gflops_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    gflops_per_day: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    def bounds(self, unit: Literal["requests", "flops"]) -> list[Bound]:
        """Those there are, the shortest first."""
        if unit == "requests":
            given = [("minute", MINUTE_S, self.requests_per_minute), ("day", DAY_S, self.requests_per_day)]
            return [Bound(name=f"requests-per-{per}", unit=unit, most=most, window_s=window_s)
                    for per, window_s, most in given if most is not None]  # fmt: skip
        spent = [("minute", MINUTE_S, self.gflops_per_minute), ("day", DAY_S, self.gflops_per_day)]
        return [Bound(name=f"gflops-per-{per}", unit=unit, most=int(most * 1e9), window_s=window_s)
                for per, window_s, most in spent if most is not None]  # fmt: skip


class Key(_Value):
    """One entry of the file."""

    name: Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
    scopes: tuple[Scope, ...] = Field(default=(Scope.RECOGNIZE,), min_length=1)
    limits: Limits = Limits()
    priority: float = Field(default=1.0, ge=0.01, le=100)  # shares beside other keys are by it
    expires: AwareDatetime | None = None
    revoked: bool = False

    @property
    def owner(self) -> Owner:
        """Under whose name it takes its shares."""
        return Owner(self.name, self.priority)

    def opens(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def objection(self, now: datetime) -> str | None:
        """Why it opens nothing any more; None where it does."""
        if self.revoked:
            return "was revoked"
        if self.expires is not None and now >= self.expires:
            return f"expired at {self.expires.isoformat()}"
        return None


def new_secret() -> str:
    """A key, for whom it is made."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What the file holds of it."""
    return hashlib.sha256(secret.encode()).hexdigest()
