"""Counts how each request that recognises ended, and writes its one line in the log. Knows no HTTP and no video."""

import asyncio
import logging
import time
from types import TracebackType

from fovea.errors import FoveaError
from service.api.edge.statuses import answer_to
from service.engine.request import Recognition
from service.metrics import NO_MODEL, Kind, Metrics, Outcome
from service.tracing.tracing import Tracing

log = logging.getLogger(__name__)


class Account:
    """One request from its first byte to its end: a context manager that counts it once, however it ends.

    Until told otherwise a request counts as cancelled: nobody got an answer.
    """

    def __init__(
        self,
        metrics: Metrics,
        tracing: Tracing,
        request_id: str,
        client: str,
        key: str | None = None,
        kind: Kind = "recognition",
    ) -> None:
        self._kind: Kind = kind
        self.model = NO_MODEL  # filled by the route, once a plan names one
        self._metrics = metrics
        self._tracing = tracing
        self._request_id = request_id
        self._client = client  # its address
        self._key = key  # the name of the key that it came with
        self._outcome: Outcome = "cancelled"
        self._story = "the client left"
        self._started_s = time.monotonic()

    def told(self, story: str) -> None:
        """Whoever asked has the answer; `story` is for the log."""
        self._outcome, self._story = "ok", story

    def answered(self, recognition: Recognition) -> None:
        timing = recognition.timing
        self.told(
            f"id={recognition.id} steps={len(recognition.steps)} "
            f"held_steps={sum(step.held for step in recognition.steps)} exit={recognition.exit_reason} "
            f"spent_gflops={recognition.spent_flops / 1e9:g} upload_ms={timing.upload_s * 1e3:.0f} "
            f"decode_ms={timing.decode_s * 1e3:.0f} queue_ms={timing.queue_s * 1e3:.0f} "
            f"inference_ms={timing.inference_s * 1e3:.0f}"
        )

    def replayed(self) -> None:
        """The answer of the first request with this key was given again; nothing was spent."""
        self._outcome, self._story = "ok", "answered before, by its Idempotency-Key"

    def failed(self, error: BaseException) -> None:
        if isinstance(error, FoveaError):
            self._outcome, self._story = answer_to(error).outcome, f"problem={error.slug} detail={error.detail!r}"
        elif isinstance(error, asyncio.CancelledError):  # clients that leave do not come here: see `http_metrics`
            self._outcome, self._story = "rejected", "the time to drain was over"
        elif not isinstance(error, GeneratorExit):
            self._outcome, self._story = "error", f"problem=internal error={type(error).__name__}"

    def __enter__(self) -> "Account":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self.failed(error)
        seconds = time.monotonic() - self._started_s
        self._metrics.finished(self.model, self._outcome, seconds, self._kind, self._tracing.exemplar())
        self._tracing.tell(outcome=self._outcome)
        log.info(
            "%s request=%s client=%s%s model=%s outcome=%s total_ms=%.0f %s",
            self._kind,
            self._request_id,
            self._client,
            "" if self._key is None else f" key={self._key}",
            self.model,
            self._outcome,
            seconds * 1e3,
            self._story,
        )
