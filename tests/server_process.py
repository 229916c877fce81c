"""A real server for tests, which can be killed, paused and started again. Knows not what it serves."""

import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

START_S = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


class ServerProcess:
    """`command` listens on `port` of this machine once it is started; what it says is in `log`."""

    def __init__(self, command: Sequence[str | Path], port: int, log: Path) -> None:
        self.port = port
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        give_up_s = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < give_up_s, f"{self._command[0]} does not listen"
                time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL: what it kept in memory alone is forgotten."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def set_right(self) -> None:
        """It runs and answers, whatever a test before has left of it."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        else:
            self.resume()

    def pause(self) -> None:
        """It takes what is sent, and answers once it is resumed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
