"""A receiver of webhooks for tests, on loopback: it notes what comes, and answers as it is told to. Knows no Fovea."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    def verified(self, secret: str) -> dict[str, Any]:
        """The message; raises where its signature is not good."""
        said: dict[str, Any] = Webhook(secret).verify(self.body, self.headers)
        return said

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    after_s: float = 0.0


class Receiver:
    """`reply` answers the number-th message (from 0)."""

    def __init__(self, port: int, reply: Callable[[int], Reply]) -> None:
        self.url = f"http://127.0.0.1:{port}/hook?token=secret"
        self.reply = reply
        self.received: list[Received] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()

    def wait_for(self, number: int) -> list[Received]:
        give_up_s = time.monotonic() + 30
        while len(self.received) < number:
            assert time.monotonic() < give_up_s, f"{len(self.received)} messages came, not {number}"
            time.sleep(0.02)
        return self.received[:number]


@contextmanager
def receiving(
    reply: Callable[[int], Reply] = lambda number: Reply(), *, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with receiver.lock:
                number = len(receiver.received)
                receiver.received.append(Received(self.path, headers, body))
            answer = receiver.reply(number)
            receiver.closing.wait(answer.after_s)
            self.send_response(answer.status)
            for name, value in ({"Content-Length": "0"} | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """The sender left: that is its right."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver = Receiver(server.server_address[1], reply)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
