"""`fovea serve` where it cannot listen: a sentence at once, before models are loaded."""

import socket
import subprocess
import sys

import pytest

from service.server import check_port
from service.settings import SettingsError

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
