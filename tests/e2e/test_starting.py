"""`fovea serve` where it cannot listen: a sentence at once, before models are loaded. And its heap once they are."""

import asyncio
import gc
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import service.server
from service.app import create_app
from service.server import check_port, make_server
from service.settings import Settings, SettingsError
from tests.tiny import tiny_model

pytestmark = pytest.mark.timeout(400)


def test_a_port_that_is_taken_is_a_sentence_and_no_trace() -> None:
    """The API's, and with it that of the metrics."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        program = "from cli.main import main; main()"
        command = [sys.executable, "-c", program, "serve", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"FOVEA_PORT={port} of FOVEA_HOST=127.0.0.1 is taken by another program" in done.stderr
    assert "Traceback" not in done.stderr
    assert "ready" not in done.stderr


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"FOVEA_HOST=203\.0\.113\.7: this machine cannot listen there"):
        check_port("203.0.113.7", 8000)


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="this machine cannot listen there"):
        check_port("no.such.host.invalid", 8000)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_free_port_is_left_free(host: str) -> None:
    check_port(host, 0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    check_port(host, port)
    socket.create_server(("127.0.0.1", port)).close()


class TestTheHeapThatStaysToTheEnd:
    """Searching it for garbage stops every thread, for longer than an answer takes."""

    def frozen_by(self, patch: pytest.MonkeyPatch, *, owns_process: bool) -> int:
        """How many objects are never searched again once all is there."""
        told: list[int] = []

        def ready_at_once(_: Settings, *, when_ready) -> object:
            when_ready()
            told.append(gc.get_freeze_count())
            gc.unfreeze()
            return create_app(Settings())

        patch.setattr(service.server, "create_app", ready_at_once)
        make_server(Settings(), owns_process=owns_process)
        return told[0]

    def test_is_not_searched_again_in_a_process_that_does_nothing_but_serve(self, monkeypatch: pytest.MonkeyPatch):
        assert self.frozen_by(monkeypatch, owns_process=True) > 10_000

    def test_of_another_program_is_left_as_it_is(self, monkeypatch: pytest.MonkeyPatch):
        assert self.frozen_by(monkeypatch, owns_process=False) == 0

    def test_is_whole_when_that_is_done_and_nobody_is_answered_before(self, tmp_path: Path):
        async def live() -> list[object]:
            seen: list[object] = []
            is_ready = asyncio.Event()
            settings = Settings(state_dir=tmp_path, decode_children=1)

            def when_ready() -> None:
                seen.append((app.state.pipeline, app.state.supervisor is not None))
                is_ready.set()

            app = create_app(settings, load=lambda _: [tiny_model()], when_ready=when_ready)
            async with app.router.lifespan_context(app):
                await asyncio.wait_for(is_ready.wait(), 60)
            return seen

        assert asyncio.run(live()) == [(None, True)]
