"""The timed first visit ends what it started, whichever shell runs it and however it is broken off."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "first-ten-minutes.sh"
SERVER = "sleep 600"  # never ready
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A repository whose README starts a server that is never ready, and what the script calls beside it."""
    (tmp_path / "repository" / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "repository" / "scripts")
    (tmp_path / "repository" / "README.md").write_text(f"## Start\n```sh\n{SERVER}\n```\n")
    for command in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "all")):
        subprocess.run([*GIT, *command], cwd=tmp_path / "repository", check=True)
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "curl").write_text("#!/bin/sh\nexit 7\n")  # whatever listens on port 8000
    (tmp_path / "bin" / "curl").chmod(0o755)
    (tmp_path / "folders").mkdir()
    return tmp_path


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_who_breaks_it_off_leaves_no_server_and_no_folder(
    stranger: Path, require: Callable[[bool, str], None], shell: str, number: signal.Signals
) -> None:
    require(shutil.which(shell) is not None, shell)
    script = stranger / "repository" / "scripts" / SCRIPT.name
    running = subprocess.Popen(
        ["env", "--default-signal", shell, script, stranger / "clip.mp4"],
        env=os.environ | {"PATH": f"{stranger / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(stranger / "folders")},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    servers: list[psutil.Process] = []
    try:
        until_s = time.monotonic() + 30
        while not (servers := _servers_of(running.pid)):
            assert running.poll() is None
            assert time.monotonic() < until_s, "the server was not started"
            time.sleep(0.02)
        running.send_signal(number)
        assert running.wait(30) == 128 + number
        _, alive = psutil.wait_procs(servers, timeout=10)
        assert alive == []
        assert list((stranger / "folders").iterdir()) == []
    finally:
        for process in servers:
            if process.is_running():
                process.kill()
        running.kill()
        running.wait()


def _servers_of(pid: int) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            if process.cmdline() == SERVER.split():
                found.append(process)
    return found
