"""Traces through OpenTelemetry's SDK, to a collector that speaks OTLP over HTTP. Needs the extra `otel`.

All but the address is said by OpenTelemetry's own variables, which the SDK reads: OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, OTEL_BSP_MAX_QUEUE_SIZE and others.
Spans wait in a bounded queue for a thread that sends them: no request waits for it, and what does not fit while the
collector is away is dropped.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.tracing.traceparent import within
from service.tracing.tracing import About, SpanKind

log = logging.getLogger(__name__)

FLUSH_S = 3.0  # for what is left, when the process ends
UNTOLD = frozenset({"/livez", "/readyz", "/metrics"})  # asked every few seconds, and nobody's work
SECRET = frozenset({"webhook_url"})  # options of a query that may hold a token
KINDS: Final[Mapping[SpanKind, trace.SpanKind]] = {
    "internal": trace.SpanKind.INTERNAL,
    "client": trace.SpanKind.CLIENT,
    "consumer": trace.SpanKind.CONSUMER,
}

for chatty in ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal"):
    logging.getLogger(chatty).setLevel(logging.CRITICAL)  # they tell of every batch; `_Told` tells once


class OtelTracing:
    """`processor`: what becomes of spans that ended."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(_WithoutSecrets())
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("fovea", version("fovea-server"))
        self._propagator = TraceContextTextMapPropagator()

    @classmethod
    def to_collector(cls, endpoint: str | None) -> "OtelTracing":
        """`endpoint`: the collector's base URL; None: as OTEL_EXPORTER_OTLP_(TRACES_)ENDPOINT says."""
        url = None if endpoint is None else f"{endpoint.rstrip('/')}/v1/traces"
        return cls(BatchSpanProcessor(_Told(OTLPSpanExporter(endpoint=url), _shown(endpoint))))

    @contextmanager
    def span(
        self, name: str, *, parent: str | None = None, kind: SpanKind = "internal", **about: About
    ) -> Iterator[None]:
        context = None if parent is None else self._propagator.extract({"traceparent": parent}, Context())
        with (
            self._tracer.start_as_current_span(name, context, KINDS[kind], _attributes(about)),
            within(self.traceparent(None)),
        ):
            yield

    def record(self, name: str, started_s: float, ended_s: float, **about: About) -> None:
        if not trace.get_current_span().is_recording():
            return
        since_epoch_ns = time.time_ns() - time.monotonic_ns()
        span = self._tracer.start_span(
            name, attributes=_attributes(about), start_time=since_epoch_ns + int(started_s * 1e9)
        )
        span.end(since_epoch_ns + int(ended_s * 1e9))

    def tell(self, **about: About) -> None:
        span = trace.get_current_span()
        if span.is_recording():  # a request's ends with the last byte of its answer
            span.set_attributes(_attributes(about))

    def traceparent(self, given: str | None) -> str | None:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get("traceparent", given)

    def exemplar(self) -> dict[str, str] | None:
        context = trace.get_current_span().get_span_context()
        if not context.is_valid or not context.trace_flags.sampled:
            return None
        return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}

    def of_requests(self) -> TelemetryConfig:
        return {
            "tracer_provider": self._provider,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": _is_untold,
        }

    async def close(self) -> None:
        """A collector that hangs is left to a thread that ends with the process."""
        ending = threading.Thread(target=self._provider.shutdown, name="fovea-traces-end", daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, FLUSH_S)


class _Told(SpanExporter):
    """Says in the log once that the collector is away, and once that it is back."""

    def __init__(self, exporter: SpanExporter, address: str) -> None:
        self._exporter = exporter
        self._address = address
        self._is_away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            log.warning("traces cannot be sent to %s: they are dropped until it answers", self._address)
        elif self._is_away and not is_away:
            log.info("traces are sent to %s again", self._address)
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _WithoutSecrets(SpanProcessor):
    """FastAPI tells a request's query as it was written."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        query = (span.attributes or {}).get("url.query")
        if isinstance(query, str):
            pairs = parse_qsl(query, keep_blank_values=True)
            shown = [(name, "REDACTED" if name in SECRET else value) for name, value in pairs]
            span.set_attribute("url.query", urlencode(shown))


def _resource() -> Resource:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before our own."""
    ours = Resource({SERVICE_NAME: "fovea", SERVICE_VERSION: version("fovea-server")})
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        return found.merge(ours)
    return ours.merge(found)


def _attributes(about: Mapping[str, About]) -> dict[str, About]:
    return {f"fovea.{name}": value for name, value in about.items()}


def _is_untold(scope: MutableMapping[str, Any]) -> bool:
    return scope["path"] in UNTOLD


def _shown(endpoint: str | None) -> str:
    """Without a password."""
    if endpoint is None:
        return "the collector of OTEL_EXPORTER_OTLP_ENDPOINT"
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
