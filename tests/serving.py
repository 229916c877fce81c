"""The whole service over a real socket, for tests: uvicorn in a thread of its own, on a free loopback port."""

import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from service.app import create_app
from service.server import DrainingServer, make_server
from service.settings import Settings
from service.tracing.tracing import Tracing
from service.wiring.recognising import Loader

from .tiny import TinyRecognizer, tiny_model


@dataclass(frozen=True)
class Served:
    url: str
    port: int
    app: FastAPI
    client: httpx.Client
    server: DrainingServer

    def post(self, video: bytes, query: str = "", **headers: str) -> httpx.Response:
        """Post a raw body."""
        return self.client.post(
            f"/v1/recognitions{query}", content=video, headers={"Content-Type": "video/mp4"} | headers
        )

    def metric(self, name: str, **labels: str) -> float:
        """A sample of /metrics; 0 where it was never touched."""
        return self.app.state.metrics.registry.get_sample_value(name, labels) or 0.0

    def wait_for_metric(self, value: float, name: str, **labels: str) -> None:
        """Until the sample has that value: some things are counted after the client has its answer."""
        give_up_s = time.monotonic() + 10
        while self.metric(name, **labels) != value:
            assert time.monotonic() < give_up_s, f"{name}{labels} stayed {self.metric(name, **labels)}, not {value}"
            time.sleep(0.01)


@contextmanager
def serving(
    recognizer: TinyRecognizer | None = None,
    *,
    models: Sequence[Any] | None = None,
    port: int = 0,
    ready: bool = True,
    before_load: threading.Event | None = None,
    load_error: Exception | None = None,
    load: Loader | None = None,
    tracing: Tracing | None = None,
    **settings: Any,
) -> Iterator[Served]:
    """Serve the tiny recognizer, or `models`; `settings` override those of tests (one decoding child, a state of its
    own that is forgotten, no answers held: each is computed).

    `before_load`: the model does not load before that; `load_error`: it never does. `ready=False`: do not wait for it.
    `load` takes the place of all that. `tracing` takes the place of what the settings say.
    """

    def load_tiny(_: Settings) -> list[Any]:
        assert before_load is None or before_load.wait(30)
        if load_error is not None:
            raise load_error
        return list(models) if models is not None else [tiny_model(recognizer)]

    with ExitStack() as stack:
        state_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="fovea-state-"))
        usual = {"decode_children": 1, "decode_timeout_s": 20.0, "drain_timeout_s": 5.0, "state_dir": state_dir}
        usual |= {"result_cache_bytes": 0}
        usual |= {"max_wait_s": 120.0}  # a crowded machine is slow: those who test what happens then say so
        chosen = Settings(**usual | settings)
        app = create_app(chosen, load=load or load_tiny, tracing=tracing)
        server = make_server(chosen, app)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", port)))
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="test-server")
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
                if ready:
                    _wait_until_ready(client)
                yield Served(f"http://127.0.0.1:{port}", port, app, client, server)
        finally:
            server.handle_exit(signal.SIGTERM, None)
            thread.join(30)
            assert not thread.is_alive(), "the server did not end"


def _wait_until_ready(client: httpx.Client) -> None:
    give_up_s = time.monotonic() + 30
    while (answer := client.get("/readyz")).status_code != 200:
        assert time.monotonic() < give_up_s, answer.text
        time.sleep(0.02)
