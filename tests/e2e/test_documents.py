"""Every command and program that the documentation prints works as it is printed.

The shipped models are served by `fovea serve`, as `make run` does. A page's blocks run in one folder that has what a
reader has there: `.venv`, and a video called clip.mp4. Port 8000 is replaced by a free one, and nothing else is.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.clips import write_clip
from tests.documents import PAGES, ROOT, blocks_of
from tests.streaming import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # commands that load the shipped models, one after another
RUN = {"bash", "python"}
SHOWN = {"sh", "py", "text", "json", "mermaid", "yaml", "promql"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a service that a reader would have started."""
    port, folder = free_port(), tmp_path_factory.mktemp("service")
    command = [Path(sys.executable).with_name("fovea"), "serve", "--port", str(port)]
    with (folder / "log").open("w") as log, subprocess.Popen(command, cwd=folder, stderr=log) as service:
        try:
            give_up_s = time.monotonic() + 100
            while not _is_ready(port):
                assert service.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < give_up_s, (folder / "log").read_text()
                time.sleep(0.1)
            yield port
        finally:
            service.terminate()
            service.wait(40)


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    write_clip(tmp_path / "clip.mp4")
    return tmp_path


@pytest.mark.parametrize(
    "page", [one for one in PAGES if any(block.language in RUN for block in blocks_of(one))], ids=lambda page: page.name
)
def test_what_a_page_prints_works(page: Path, served: int, folder: Path) -> None:
    for block in blocks_of(page):
        if block.language not in RUN:
            continue
        text = block.text.replace("127.0.0.1:8000", f"127.0.0.1:{served}")
        command = ["bash", "-euo", "pipefail", "-c", text] if block.language == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
        where = f"{page.relative_to(ROOT)}:{block.line}"
        assert done.returncode == 0, f"{where}: {block.text}\n{done.stdout}{done.stderr}"
        assert '"status":4' not in done.stdout, f"{where} was refused: {done.stdout}"
        assert '"status":5' not in done.stdout, f"{where} failed: {done.stdout}"


def test_every_block_says_whether_it_is_run() -> None:
    unknown = [
        (page.name, block.line, block.language)
        for page in PAGES
        for block in blocks_of(page)
        if block.language not in RUN | SHOWN
    ]
    assert unknown == []
