"""A service process for benchmarks of cameras. Knows no camera."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

READY_S = 300.0
BUNDLES = Path("var/bundles")


@contextlib.contextmanager
def service_process(**settings: object) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """`fovea serve` on a free port, allowed to watch cameras on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    state = tempfile.TemporaryDirectory(prefix="fovea-state-")
    usual = {"stream_allowed_networks": "127.0.0.0/8", "bundles": BUNDLES, "port": port, "state_dir": state.name}
    chosen = usual | settings
    environment = os.environ | {f"FOVEA_{name.upper()}": str(value) for name, value in chosen.items()}
    service = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "serve"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            give_up_s = time.monotonic() + READY_S
            while not _is_ready(client):
                if service.poll() is not None or time.monotonic() > give_up_s:
                    raise RuntimeError("the service did not become ready; `make run` says why")
                time.sleep(0.2)
            yield client, psutil.Process(service.pid)
    finally:
        service.send_signal(signal.SIGTERM)
        try:
            service.wait(60)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()
        state.cleanup()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
