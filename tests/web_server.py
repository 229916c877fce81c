"""A web server that behaves badly on demand, on loopback. Knows nothing of Fovea."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = Callable[[socket.socket], None]


def said(status: str, body: bytes = b"", **headers: object) -> Answer:
    """A proper answer; a header given as None is left out."""
    told = {"Content-Length": len(body), "Connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in told.items() if value is not None), "", ""]
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + body)


@dataclass
class WebServer:
    """`pages`: by path without the query; `asked`: the head of each request so far."""

    port: int
    pages: dict[str, Answer]
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)  # for answers that stall until the end

    def url(self, path: str, *, host: str = "127.0.0.1", credentials: str = "") -> str:
        return f"http://{credentials}{host}:{self.port}{path}"


def s3_settings(server: WebServer) -> dict[str, str]:
    """The environment in which the server stands for S3: its pages are /bucket/key."""
    return {
        "AWS_ENDPOINT_URL": server.url(""), "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "hush", "AWS_REGION": "us-east-1", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
    }  # fmt: skip


@contextmanager
def web_server(pages: dict[str, Answer] | None = None) -> Iterator[WebServer]:
    """Each connection in a thread, one request each."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = WebServer(listener.getsockname()[1], pages if pages is not None else {})
        threads = []

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                head = b""
                while b"\r\n\r\n" not in head and (more := connection.recv(65536)):
                    head += more
                server.asked.append(head.decode("latin-1"))
                path = head.split(b" ")[1].decode().partition("?")[0] if head else ""
                server.pages.get(path, said("404 Not Found"))(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threads.append(threading.Thread(target=answer, args=(connection,), daemon=True))
                    threads[-1].start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield server
        finally:
            server.over.set()
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)
            for thread in threads:
                thread.join(10)
