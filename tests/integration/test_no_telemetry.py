"""Converting, compiling and running with OpenVINO calls nobody, whatever the user's home says."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.runtime.openvino_runtime import import_openvino

pytestmark = pytest.mark.skipif(import_openvino() is None, reason="OpenVINO does not import here")

WATCH = """
import sys

def watch(event, args):
    if event == "socket.connect":
        host = args[1][0] if isinstance(args[1], tuple) else ""
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0]
    else:
        return
    if host not in ("", "localhost", "127.0.0.1", "::1"):
        print("DIALLED", host, flush=True)
        raise OSError("the test's own machine only")  # nothing leaves, even when the test fails

sys.addaudithook(watch)
"""

USE = """
from pathlib import Path
import torch
from torch import nn
from models.runtime import RuntimeConfig, make_runtime

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
    def forward(self, rows):
        return self.conv(rows.permute(0, 3, 1, 2).float()).mean((2, 3))

for _ in range(2):  # converted, then from the cache
    runtime = make_runtime(RuntimeConfig(name="openvino", cache_dir=Path("cache").absolute()))
    rows = torch.zeros((2, 16, 16, 3), dtype=torch.uint8)
    print("RAN", runtime.compile(Net(), rows, key="net")(rows).shape)
"""

WITH_TELEMETRY = """
import openvino
from openvino.tools.ovc import telemetry
telemetry.sender.executor.shutdown(wait=True)
"""


def run_watched(program: str, home: Path) -> str:
    """Standard output of `program` in a fresh interpreter that prints whom it dials. `home` declines nothing."""
    repository = Path(__file__).parents[2]
    # CI would switch the telemetry off by itself: the promise is about everybody else.
    environment = {"HOME": str(home), "PYTHONPATH": str(repository), "PATH": "/usr/bin:/bin"}
    finished = subprocess.run(
        [sys.executable, "-c", WATCH + program],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_nothing_but_loopback_is_dialled_while_converting_compiling_and_running(tmp_path: Path) -> None:
    output = run_watched(USE, tmp_path)
    assert output.count("RAN") == 2
    assert "DIALLED" not in output


def test_nothing_is_written_into_the_users_home(tmp_path: Path) -> None:
    run_watched(USE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_the_watch_would_have_seen_it(tmp_path: Path) -> None:
    assert "DIALLED" in run_watched(WITH_TELEMETRY, tmp_path)
