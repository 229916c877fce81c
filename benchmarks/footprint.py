"""What a server costs that does nothing: memory of all its processes, and the time from its start until it is ready.

Cold: nothing is converted yet, and the bytecode of Python is there already. Warm: everything is converted. Memory is
PSS, which divides what processes share among them, of the server and all its descendants, some seconds after it was
ready. Seconds of the wall depend on who else computes; CPU seconds hardly do.

    python -m benchmarks.footprint [--bundle FOLDER ...] [--runtime auto] [--rounds 3] [--json FILE]
"""

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

TIMEOUT_S = 600.0
SETTLED_S = 3.0  # what starting left behind is given back by then


@dataclass(frozen=True)
class Start:
    kind: str
    ready_s: float
    ready_cpu_s: float
    """CPU seconds of all processes until it was ready, those that ended included."""
    pss_mib: float
    """Of the server and its children, idle."""
    server_pss_mib: float
    num_children: int
    torch_loaded: bool


def start_once(kind: str, cache: Path, scratch: Path, *, bundles: list[Path], runtime: str) -> Start:
    port = _free_port()
    environment = {
        **os.environ,
        "FOVEA_CACHE_DIR": str(cache),
        "FOVEA_STATE_DIR": str(scratch / "state"),
        "FOVEA_RUNTIME": runtime,
    }
    command = [sys.executable, "-m", "cli.main", "serve", "--port", str(port)]
    for bundle in bundles:
        command += ["--bundle", str(bundle)]
    log = scratch / f"{kind}.log"
    with log.open("w") as output:
        started = time.monotonic()
        server = psutil.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            _wait_until_ready(server, port, log)
            ready_s = time.monotonic() - started
            family = [server, *server.children(recursive=True)]
            ended = server.cpu_times()
            ready_cpu_s = ended.children_user + ended.children_system
            ready_cpu_s += sum(times.user + times.system for times in (process.cpu_times() for process in family))
            time.sleep(SETTLED_S)
            family = [server, *server.children(recursive=True)]
            pss_mib = [process.memory_full_info().pss / 2**20 for process in family]
            torch_loaded = any("libtorch" in mapped.path for mapped in server.memory_maps())
        finally:
            server.terminate()
            try:
                server.wait(30)
            except psutil.TimeoutExpired:
                server.kill()
    return Start(kind, ready_s, ready_cpu_s, sum(pss_mib), pss_mib[0], len(pss_mib) - 1, torch_loaded)


def _wait_until_ready(server: psutil.Popen, port: int, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"the server was not ready after {TIMEOUT_S} s:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--bundle", type=Path, action="append", default=[], help="instead of those that ship")
    parser.add_argument("--runtime", default="auto", help="auto, openvino or torch")
    parser.add_argument("--rounds", type=int, default=3, help="warm starts, of which the median is told")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        cache = scratch / "cache"
        starts = []
        for kind in ["cold", *["warm"] * asked.rounds]:
            start = start_once(kind, cache, scratch, bundles=asked.bundle, runtime=asked.runtime)
            starts.append(start)
            print(
                f"{start.kind}: ready in {start.ready_s:5.1f} s ({start.ready_cpu_s:5.1f} s of CPU); idle "
                f"{start.pss_mib:5.0f} MiB: server {start.server_pss_mib:.0f}, {start.num_children} children "
                f"{start.pss_mib - start.server_pss_mib:.0f}; torch {'loaded' if start.torch_loaded else 'not loaded'}",
                flush=True,
            )
    warm = [start for start in starts if start.kind == "warm"]
    if warm:
        print(
            f"warm, median of {len(warm)}: {statistics.median(start.ready_s for start in warm):.1f} s, "
            f"{statistics.median(start.ready_cpu_s for start in warm):.1f} s of CPU, "
            f"{statistics.median(start.pss_mib for start in warm):.0f} MiB"
        )
    if asked.json:
        asked.json.write_text(json.dumps([asdict(start) for start in starts], indent=1) + "\n")


if __name__ == "__main__":
    main()
