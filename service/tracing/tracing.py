"""Who is told how long each part of the work took: nobody, unless a collector is configured. Knows no collector.

The parts of the service are handed a `Tracing` and tell it. `service.tracing.otel` is the one that sends.
"""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from service.tracing.traceparent import current, within

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

SpanKind: TypeAlias = Literal["internal", "client", "consumer"]
About: TypeAlias = str | int | float | bool
"""What is said of a span: its attribute `fovea.NAME`."""


class Tracing(Protocol):
    """Spans are children of the current one, which is that of the task at hand. From any task of the event loop."""

    def span(
        self, name: str, *, parent: str | None = None, kind: SpanKind = "internal", **about: About
    ) -> AbstractContextManager[None]:
        """What is done inside. `parent`: a traceparent in place of the current span; empty: a trace of its own."""
        ...

    def record(self, name: str, started_s: float, ended_s: float, **about: About) -> None:
        """What was done elsewhere, by the monotonic clock. Nothing where there is no current span."""
        ...

    def tell(self, **about: About) -> None:
        """Say something of the current span."""
        ...

    def traceparent(self, given: str | None) -> str | None:
        """Of the current span; `given`, what the client named, where there is none."""
        ...

    def exemplar(self) -> dict[str, str] | None:
        """By which a measured value names its trace; None where no trace is kept."""
        ...

    def of_requests(self) -> "TelemetryConfig":
        """What FastAPI's own spans, one for each request, are to be."""
        ...

    async def close(self) -> None:
        """Send what is left, within seconds."""
        ...


class Untraced:
    """Tells nobody. A trace that a client named is passed on all the same, into the log, jobs and messages."""

    def span(
        self, name: str, *, parent: str | None = None, kind: SpanKind = "internal", **about: About
    ) -> AbstractContextManager[None]:
        return within(current() if parent is None else parent)

    def record(self, name: str, started_s: float, ended_s: float, **about: About) -> None:
        pass

    def tell(self, **about: About) -> None:
        pass

    def traceparent(self, given: str | None) -> str | None:
        return given

    def exemplar(self) -> dict[str, str] | None:
        return None

    def of_requests(self) -> "TelemetryConfig":
        return {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}

    async def close(self) -> None:
        pass
