"""An OpenTelemetry collector for tests, on loopback: it takes OTLP over HTTP and keeps the spans. Knows no Fovea."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Span:
    name: str
    trace_id: str
    span_id: str
    parent_id: str  # empty: the first of its trace
    about: dict[str, Any]
    service: str
    seconds: float


class Collector:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.spans: list[Span] = []
        self.num_requests = 0
        self.status = 200  # what it answers; another than 200 keeps nothing
        self.hold = threading.Event()  # set: it answers; else it hangs
        self.hold.set()

    def wait_for(self, *names: str) -> dict[str, Span]:
        """A span of each name, the latest."""
        give_up_s = time.monotonic() + 30
        while not set(names) <= (found := {span.name: span for span in list(self.spans)}).keys():
            assert time.monotonic() < give_up_s, f"{set(names) - found.keys()} did not come: {sorted(found)}"
            time.sleep(0.02)
        return found

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _about(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [
                    Span(
                        one.name,
                        one.trace_id.hex(),
                        one.span_id.hex(),
                        one.parent_span_id.hex(),
                        _about(one.attributes),
                        service,
                        (one.end_time_unix_nano - one.start_time_unix_nano) / 1e9,
                    )
                    for one in scope.spans
                ]


def _about(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextmanager
def collecting(port: int = 0) -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.num_requests += 1
            collector.hold.wait(60)
            if collector.status == 200:
                assert self.path == "/v1/traces"
                collector.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        collector = Collector(server.server_port)
        thread = threading.Thread(target=server.serve_forever, name="collector")
        thread.start()
        try:
            yield collector
        finally:
            collector.hold.set()
            server.shutdown()
            thread.join()
