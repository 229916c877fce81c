"""Traces: what is told of a request, a job and a message, to a real collector; and a collector that is away."""

import logging
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fovea import Client
from service.settings import Settings, SettingsError
from service.tracing.otel import OtelTracing
from service.wiring.tracing import make_tracing
from tests.collector import Collector, collecting
from tests.e2e.jobs.asking import ended, submitted
from tests.receiver import receiving
from tests.serving import Served, serving
from tests.tiny import TinyRecognizer

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SECRET = "whsec_" + "c2VjcmV0" * 4
HOOKS = {"webhook_secret": SECRET, "webhook_http": True, "webhook_allowed_networks": "127.0.0.0/8"}


class Kept:
    """Spans as they ended, in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracing = OtelTracing(SimpleSpanProcessor(self.exporter))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def wait_for(self, *names: str) -> dict[str, ReadableSpan]:
        give_up_s = time.monotonic() + 20
        while not set(names) <= (found := {span.name: span for span in self.spans}).keys():
            assert time.monotonic() < give_up_s, f"{set(names) - found.keys()} did not end: {sorted(found)}"
            time.sleep(0.02)
        return found


@pytest.fixture(scope="module")
def kept_by_all() -> Kept:
    return Kept()


@pytest.fixture(scope="module")
def traced(kept_by_all: Kept) -> Iterator[Served]:
    with serving(tracing=kept_by_all.tracing, **HOOKS) as service:
        yield service


@pytest.fixture
def kept(kept_by_all: Kept) -> Kept:
    """What the service told during this test."""
    kept_by_all.exporter.clear()
    return kept_by_all


def parent_of(span: ReadableSpan) -> str:
    return "" if span.parent is None else trace.format_span_id(span.parent.span_id)


def id_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return trace.format_span_id(span.context.span_id)


def about(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_recognition_tells_of_each_of_its_parts_under_its_request(
    kept: Kept, traced: Served, red_video: bytes
) -> None:
    said = traced.post(red_video, "?budget_gflops=1000").json()
    spans = kept.wait_for("POST /v1/recognitions", "upload", "scan", "decode", "queue", "glance")
    request = spans["POST /v1/recognitions"]
    for name in ("upload", "decode", "queue", "glance"):
        assert parent_of(spans[name]) == id_of(request), name
    assert parent_of(spans["scan"]) == id_of(spans["decode"])
    cubes = [span for span in kept.spans if span.name == "cube"]
    assert [about(span)["fovea.step"] for span in cubes] == [one["step"] for one in said["compute"]["steps"][1:]]
    assert cubes, "this budget pays for cubes"
    last = cubes[-1]
    assert about(last)["fovea.model"] == said["model"]
    assert about(last)["fovea.spent_gflops"] == pytest.approx(said["compute"]["spent_gflops"])
    assert about(last)["fovea.budget_gflops"] == pytest.approx(said["compute"]["budget_gflops"])
    assert about(request)["fovea.recognition"] == said["id"]
    assert about(request)["fovea.exit_reason"] == said["exit"]["reason"]
    waits = {about(span)["fovea.waits_for"] for span in kept.spans if span.name == "queue"}
    assert waits == {"decoding", "device"}
    for span in kept.spans:
        assert span.start_time is not None
        assert span.end_time is not None
        assert request.start_time is not None
        assert request.start_time - 10**7 <= span.start_time <= span.end_time, span.name


def test_a_step_starts_when_its_batch_does_and_not_when_its_video_was_handed_in(red_video: bytes) -> None:
    kept = Kept()
    slow = TinyRecognizer(lambda _: time.sleep(0.2))
    with serving(slow, tracing=kept.tracing) as service:
        service.post(red_video, "?budget_gflops=1000")
        kept.wait_for("POST /v1/recognitions")
    steps = [span for span in kept.spans if span.name in {"glance", "cube"}]
    assert len(steps) > 1
    for before, after in pairwise(steps):
        assert before.end_time is not None
        assert after.start_time is not None
        assert after.start_time >= before.end_time - 10**7
        assert after.end_time is not None
        assert after.end_time - after.start_time >= 0.19e9


def test_the_trace_of_the_client_goes_on_and_names_the_log_lines(
    kept: Kept, traced: Served, red_video: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    from service.logs import Lines  # noqa: PLC0415

    written: list[str] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler = Noting()
    handler.setFormatter(Lines("%(message)s"))
    logger = logging.getLogger("service.api.operation.accounting")
    with caplog.at_level(logging.INFO, logger.name):
        logger.addHandler(handler)
        try:
            traced.post(red_video, traceparent=PARENT)
            request = kept.wait_for("POST /v1/recognitions")["POST /v1/recognitions"]
        finally:
            logger.removeHandler(handler)
    assert {trace.format_trace_id(span.context.trace_id) for span in kept.spans if span.context} == {TRACE}
    assert parent_of(request) == "b7ad6b7169203331"
    assert [line for line in written if line.endswith(f" trace={TRACE}")], written


def test_a_histogram_s_bucket_names_a_trace_in_the_openmetrics_format_alone(
    kept: Kept, traced: Served, red_video: bytes
) -> None:
    traced.post(red_video, traceparent=PARENT)
    kept.wait_for("POST /v1/recognitions")
    exemplar = re.compile(rf'^fovea_(\w+)_bucket.* # \{{span_id="[0-9a-f]{{16}}",trace_id="{TRACE}"\}} [0-9.]', re.M)
    openmetrics = traced.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}).text
    assert set(exemplar.findall(openmetrics)) >= {
        "request_duration_seconds",
        "decode_seconds",
        "queue_wait_seconds",
        "time_to_first_result_seconds",
    }
    assert "trace_id" not in traced.client.get("/metrics", headers={"Accept": "text/plain"}).text


def test_what_asks_every_few_seconds_is_not_traced_and_no_token_is_told(
    kept: Kept, traced: Served, red_video: bytes
) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        traced.client.get(path)
    traced.post(red_video, "?top_k=1&webhook_url=https://receiver/token")
    request = kept.wait_for("POST /v1/recognitions")["POST /v1/recognitions"]
    assert {span.name for span in kept.spans if "GET" in span.name} == set()
    assert about(request)["url.query"] == "top_k=1&webhook_url=REDACTED"


def test_the_client_hands_on_the_span_of_whoever_calls_it(kept: Kept, traced: Served, red_video: bytes) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("caller")
    with tracer.start_as_current_span("my work") as mine, Client(traced.url) as client:
        client.recognize(red_video)
    request = kept.wait_for("POST /v1/recognitions")["POST /v1/recognitions"]
    assert parent_of(request) == trace.format_span_id(mine.get_span_context().span_id)


def test_a_job_and_its_message_belong_to_the_trace_of_the_request_that_asked(
    kept: Kept, traced: Served, red_video: bytes
) -> None:
    with receiving() as receiver:
        query = f"?webhook_url={receiver.url}"
        path = submitted(traced.client, red_video, query, traceparent=PARENT)
        ended(traced.client, path)
        (told,) = receiver.wait_for(1)
        spans = kept.wait_for("job", "webhook", "glance")
    assert about(spans["job"])["fovea.job"] == path.rpartition("/")[2]
    assert parent_of(spans["glance"]) == id_of(spans["job"])
    (accepting,) = [span for span in kept.spans if span.name == "POST /v1/recognitions" and "fovea.job" in about(span)]
    assert parent_of(spans["job"]) == id_of(accepting)
    assert parent_of(spans["webhook"]) == id_of(spans["job"])
    assert told.headers["traceparent"] == f"00-{TRACE}-{id_of(spans['webhook'])}-01"


def test_without_tracing_the_client_s_trace_still_reaches_the_receiver(red_video: bytes) -> None:
    with receiving() as receiver, serving(**HOOKS) as service:
        submitted(service.client, red_video, f"?webhook_url={receiver.url}", traceparent=PARENT)
        (told,) = receiver.wait_for(1)
    assert told.headers["traceparent"] == PARENT


def test_a_timeline_tells_of_its_windows(kept: Kept, traced: Served, red_video: bytes) -> None:
    answer = traced.client.post("/v1/timelines", content=red_video, headers={"Content-Type": "video/mp4"})
    assert answer.status_code == 200, answer.text
    spans = kept.wait_for("POST /v1/timelines", "upload", "window", "glance")
    assert parent_of(spans["window"]) == id_of(spans["POST /v1/timelines"])
    assert parent_of(spans["glance"]) == id_of(spans["window"])


# -- over the wire


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


def test_spans_reach_a_collector_over_otlp(
    collector: Collector, red_video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with serving(otlp_endpoint=collector.url) as service:
        service.post(red_video, "?budget_gflops=1000", traceparent=PARENT)
        spans = collector.wait_for("POST /v1/recognitions", "upload", "scan", "decode", "queue", "glance", "cube")
    assert {span.trace_id for span in collector.spans} == {TRACE}
    assert {span.service for span in collector.spans} == {"fovea"}
    assert spans["glance"].parent_id == spans["POST /v1/recognitions"].span_id
    assert spans["cube"].about["fovea.model"] == "tiny"


def test_what_is_left_is_sent_when_the_service_ends(collector: Collector, red_video: bytes) -> None:
    with serving(otlp_endpoint=collector.url) as service:
        service.post(red_video)
    assert "POST /v1/recognitions" in {span.name for span in collector.spans}


def test_opentelemetry_s_own_variables_say_where_and_under_which_name(
    collector: Collector, red_video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "gate-3")
    with serving() as service:
        service.post(red_video)
    assert {span.service for span in collector.spans} == {"gate-3"}


def test_a_sampler_that_takes_none_leaves_no_span_and_no_exemplar(
    collector: Collector, red_video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with serving(otlp_endpoint=collector.url) as service:
        assert service.post(red_video).status_code == 200
        wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
        assert "trace_id" not in service.client.get("/metrics", headers=wanted).text
    assert collector.spans == []


def test_no_request_waits_for_a_collector_that_hangs_and_the_service_ends(
    collector: Collector, red_video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    collector.hold.clear()
    with serving(otlp_endpoint=collector.url) as service:
        for _ in range(3):
            assert service.post(red_video).status_code == 200
        give_up_s = time.monotonic() + 20
        while not collector.num_requests:
            assert time.monotonic() < give_up_s
            time.sleep(0.01)
        assert service.post(red_video).status_code == 200, "while one batch hangs"
        assert collector.spans == []


def test_a_collector_that_is_away_is_one_line_in_the_log_and_its_return_another(
    red_video: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.3")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def said() -> list[str]:
        return [one.getMessage() for one in caplog.records if one.name.startswith(("service.tracing", "opentel"))]

    with caplog.at_level(logging.INFO), serving(otlp_endpoint=f"http://user:word@127.0.0.1:{port}") as service:
        give_up_s = time.monotonic() + 30
        while not said():
            assert service.post(red_video).status_code == 200
            assert time.monotonic() < give_up_s
        for _ in range(3):
            assert service.post(red_video).status_code == 200
        with collecting(port) as collector:
            while len(said()) < 2:
                assert service.post(red_video).status_code == 200
                assert time.monotonic() < give_up_s
            collector.wait_for("POST /v1/recognitions")
    assert said()[:2] == [
        f"traces cannot be sent to http://127.0.0.1:{port}: they are dropped until it answers",
        f"traces are sent to http://127.0.0.1:{port} again",
    ]
    assert "word" not in caplog.text


def test_an_endpoint_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="base URL of a collector"):
        Settings(otlp_endpoint="collector:4318")


def test_tracing_without_the_extra_is_refused_with_the_extra_s_name() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from service.settings import Settings, SettingsError\n"
        "from service.wiring.tracing import make_tracing\n"
        "try: make_tracing(Settings(otlp_endpoint='http://127.0.0.1:4318'))\n"
        "except SettingsError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "FOVEA_OTLP_ENDPOINT asks for traces" in done.stdout, done.stderr
    assert "fovea-server[otel]" in done.stdout


def test_nothing_is_traced_unless_an_endpoint_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert type(make_tracing(Settings())).__name__ == "Untraced"
    assert issubclass(SettingsError, ValueError)


def test_a_client_without_opentelemetry_sends_no_traceparent() -> None:
    program = "from fovea._calls import _trace; import sys; print(_trace(), 'opentelemetry' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "{} False\n", done.stderr
