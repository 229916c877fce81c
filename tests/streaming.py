"""A client of `/v1/streams` for tests: subscribes, and follows events in a thread. Knows no camera."""

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

PATIENCE_S = 120.0  # for anything that happens in the end; a busy machine takes its time


@dataclass(frozen=True)
class Heard:
    id: str | None
    name: str
    data: dict[str, Any]
    at_s: float  # monotonic: when it came

    @property
    def key(self) -> tuple[int, int]:
        assert self.id is not None
        milliseconds, sequence = self.id.split("-")
        return int(milliseconds), int(sequence)


class Follower:
    """Reads `/events` until it is closed, or the service ends the stream."""

    def __init__(self, url: str, stream: str, last_id: str | None = None) -> None:
        self.heard: list[Heard] = []
        self._queue: queue.SimpleQueue[Heard | None] = queue.SimpleQueue()
        self._client = httpx.Client(base_url=url, timeout=httpx.Timeout(PATIENCE_S, read=None), trust_env=False)
        self._headers = {} if last_id is None else {"Last-Event-ID": last_id}
        self._stream = stream
        self._closed = False
        self.has_ended = False  # by itself: the service ended the stream, or was lost
        self._thread = threading.Thread(target=self._read, name="follower", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            with self._client.stream("GET", f"/v1/streams/{self._stream}/events", headers=self._headers) as response:
                self._response = response
                assert response.status_code == 200, response.read()
                for event in events_of(response.iter_lines()):
                    self._queue.put(event)
                    if self._closed:
                        return
        except (httpx.HTTPError, OSError):
            pass  # the service is gone, or we are
        finally:
            self.has_ended = not self._closed
            self._queue.put(None)

    def next(self, timeout_s: float = PATIENCE_S) -> Heard | None:
        """The next event; None once there will be no more."""
        event = self._queue.get(timeout=timeout_s)
        if event is not None:
            self.heard.append(event)
        return event

    def wait_for(self, wanted: Callable[[Heard], bool], timeout_s: float = PATIENCE_S) -> Heard:
        give_up_s = time.monotonic() + timeout_s
        while True:
            try:
                event = self.next(max(0.01, give_up_s - time.monotonic()))
            except queue.Empty:
                tail = [(heard.name, heard.data.get("state"), heard.data.get("error")) for heard in self.heard[-5:]]
                raise AssertionError(f"it did not happen within {timeout_s} s; the last events were {tail}") from None
            assert event is not None, "the events ended"
            if wanted(event):
                return event

    def wait_for_state(self, state: str, **error: str) -> Heard:
        return self.wait_for(
            lambda heard: (
                heard.name == "state"
                and heard.data["state"] == state
                and all((heard.data["error"] or {}).get(name) == value for name, value in error.items())
            )
        )

    def wait_for_result(self, wanted: Callable[[dict[str, Any]], bool] = lambda data: True) -> Heard:
        return self.wait_for(lambda heard: heard.name == "result" and wanted(heard.data))

    def close(self) -> None:
        self._closed = True
        self._client.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the follower did not end"


def events_of(lines: Iterator[str]) -> Iterator[Heard]:
    """Server-sent events, comments left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif fields:
            yield Heard(fields.get("id"), fields["event"], json.loads(fields["data"]), time.monotonic())
            fields = {}


def subscribe(client: httpx.Client, url: str, **options: Any) -> str:
    """The id of a new stream; short windows unless told otherwise."""
    body = {"url": url, "window_s": 2.0, "stride_s": 0.5} | options
    answer = client.post("/v1/streams", json=body)
    assert answer.status_code == 201, answer.text
    stream: str = answer.json()["id"]
    return stream


@contextlib.contextmanager
def following(client: httpx.Client, stream: str, last_id: str | None = None) -> Iterator[Follower]:
    follower = Follower(str(client.base_url), stream, last_id)
    try:
        yield follower
    finally:
        follower.close()


def ids_rise(heard: list[Heard]) -> bool:
    keys = [one.key for one in heard if one.id is not None]
    return keys == sorted(set(keys))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port
