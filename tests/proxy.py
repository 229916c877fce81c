"""A TCP proxy for tests that can be cut: nothing passes then, and nobody is told. Knows no protocol."""

import contextlib
import socket
import threading
from collections.abc import Iterator

CHUNK_BYTES = 65536
SLICE_S = 0.1  # how soon a cut is noticed


class Proxy:
    """To a port of this machine."""

    def __init__(self, listener: socket.socket, target: int) -> None:
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._target = target
        self._whole = threading.Event()
        self._whole.set()
        self._ends = threading.Event()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def cut(self) -> None:
        """New connections are taken, open ones stay open, and no byte comes through."""
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    def close(self) -> None:
        self._ends.set()
        self._whole.set()
        for thread in self._threads:
            thread.join(30)

    def _start(self, work, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(SLICE_S)
        while not self._ends.is_set():
            with contextlib.suppress(TimeoutError):
                near, _ = self._listener.accept()
                self._start(self._connect, near)

    def _connect(self, near: socket.socket) -> None:
        try:
            self._whole.wait()
            far = socket.create_connection(("127.0.0.1", self._target), timeout=10)
        except OSError:
            near.close()
            return
        self._start(self._pass, near, far)
        self._pass(far, near)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with source, sink:
            while not self._ends.is_set():
                try:
                    source.settimeout(SLICE_S)
                    data = source.recv(CHUNK_BYTES)
                    self._whole.wait()
                    if not data:
                        return
                    sink.sendall(data)
                except TimeoutError:
                    continue
                except OSError:
                    return


@contextlib.contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        between = Proxy(listener, target)
        try:
            yield between
        finally:
            between.close()
