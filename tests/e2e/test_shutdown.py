"""A server that is told to end does end, also where something never gives up its part."""

import faulthandler
import signal
import subprocess
import sys

import pytest

from tests.serving import serving

PROGRAM = """
import asyncio, contextlib
import uvicorn
from fastapi import FastAPI
import service.server

service.server.SHUTDOWN_S = 1.0

@contextlib.asynccontextmanager
async def lifespan(app):
    print("up", flush=True)
    yield
    await asyncio.Event().wait()

app = FastAPI(lifespan=lifespan)
app.state.pipeline = None
config = uvicorn.Config(app, port=0, timeout_graceful_shutdown=1, log_config=None)
service.server.DrainingServer(config, app, owns_process=True).run()
"""


def test_a_shutdown_that_hangs_is_cut_off_and_says_where() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "up\n"
            server.send_signal(signal.SIGTERM)
            _, errors = server.communicate(timeout=60)
        finally:
            server.kill()
    assert server.returncode == 1
    assert "Timeout" in errors
    assert "uvicorn" in errors, "where it stood"


def test_a_server_inside_another_program_never_ends_it() -> None:
    armed = []
    with serving() as service, pytest.MonkeyPatch.context() as patch:
        patch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: armed.append(True))
        service.server.handle_exit(signal.SIGTERM, None)
    assert not armed
