"""A web server of one file, that sends it at a steady rate, whole or a part of it. On loopback."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECES_PER_S = 20


class SlowServer(ThreadingHTTPServer):
    """`last_s`: when the last byte of an answer was sent, by `time.perf_counter`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = b""
        self.bytes_per_s: float | None = None  # None: as fast as it goes
        self.last_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/clip"


class _Handler(BaseHTTPRequestHandler):
    server: SlowServer

    def do_GET(self) -> None:
        content, size = self.server.content, len(self.server.content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2])) if asked else (0, size - 1)
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(last + 1 - first))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"one"')
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        rate, begin_s = self.server.bytes_per_s, time.perf_counter()
        step = size if rate is None else int(rate / PIECES_PER_S)
        try:
            for start in range(first, last + 1, step):
                if rate is not None:
                    time.sleep(max(0.0, begin_s + (start - first) / rate - time.perf_counter()))
                self.server.last_s = time.perf_counter()
                self.wfile.write(content[start : min(start + step, last + 1)])
        except OSError:
            pass  # whoever asked has enough

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


@contextmanager
def slow_server() -> Iterator[SlowServer]:
    with SlowServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
