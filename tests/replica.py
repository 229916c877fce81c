"""One replica of the service in a process of its own, serving the tiny recognizer, for tests that kill it.

`python -m tests.replica PORT '{"redis_url": ...}' MODEL ...`. Besides settings, `pause_s` is how long each batch takes.
"""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import psutil

from tests.streaming import PATIENCE_S


class Replica:
    """A context manager that kills it at the end. It may be started again on its port. `models`: names it serves."""

    def __init__(self, port: int, settings: dict[str, Any], *, models: Sequence[str] = ("tiny",)) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False)
        self._state = tempfile.TemporaryDirectory(prefix="fovea-state-")  # outlives a restart, and ends with the test
        chosen = {"state_dir": self._state.name, "result_cache_bytes": 0} | settings
        self._command = [sys.executable, "-m", "tests.replica", str(port), json.dumps(chosen), *models]
        self._log = Path(self._state.name) / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """All warnings so far."""
        return self._log.read_text()

    def metric(self, name: str) -> float:
        """A sample of /metrics, by its name with labels as it is written there; 0 where it is not."""
        lines = [line for line in self.client.get("/metrics").text.splitlines() if line.startswith(f"{name} ")]
        return float(lines[0].split()[-1]) if lines else 0.0

    @property
    def watched(self) -> float:
        """Cameras that it has pictures of."""
        return self.metric('fovea_stream_state{state="live"}')

    @property
    def children(self) -> list[psutil.Process]:
        assert self._process is not None
        return psutil.Process(self._process.pid).children(recursive=True)

    def start(self) -> None:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(self._command, stderr=log)

    def wait_until_ready(self, patience_s: float = PATIENCE_S) -> None:
        give_up_s = time.monotonic() + patience_s
        while not self._is_ready():
            assert self.is_alive, f"the replica ended:\n{self.log}"
            assert time.monotonic() < give_up_s, f"the replica did not become ready:\n{self.log}"
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM, and wait until it has drained."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(PATIENCE_S)

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def __enter__(self) -> "Replica":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.close()
        if self.is_alive:
            self.kill()
        self._state.cleanup()


def main(port: str, settings: str, *models: str) -> None:
    from service.app import create_app  # noqa: PLC0415 - not for those that only start one
    from service.server import make_server  # noqa: PLC0415
    from service.settings import Settings  # noqa: PLC0415
    from tests.tiny import TinyRecognizer, tiny_model  # noqa: PLC0415

    given = json.loads(settings)
    pause_s = float(given.pop("pause_s", 0.0))
    chosen = Settings(**{"port": int(port), "decode_children": 1} | given)
    slow = TinyRecognizer(lambda _: time.sleep(pause_s))
    app = create_app(chosen, load=lambda _: [tiny_model(slow, name=name) for name in models])
    make_server(chosen, app, owns_process=True).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
