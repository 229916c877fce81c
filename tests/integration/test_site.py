"""The documentation builds as a site without a warning, offline, and what is read from the code is up to date."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import reference  # noqa: E402  # a script: not a package's part

FETCHED = re.compile(
    r"""<(?:script|img|source|iframe)[^>]*\bsrc=["']?https?:[^"' >]+"""
    r"""|<link[^>]*rel=["']?(?:stylesheet|icon|preconnect)[^>]*href=["']?https?:[^"' >]+"""
)


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_that_is_read_from_the_code_is_what_the_code_says(name: str) -> None:
    written = (ROOT / "docs" / name).read_text()
    assert written == reference.PAGES[name](), "run .venv/bin/python scripts/reference.py"


def test_every_setting_has_a_row_with_its_meaning() -> None:
    from service.settings import Settings  # noqa: PLC0415

    rows = [line for line in reference.settings_page().splitlines() if line.startswith("| `FOVEA_")]
    assert len(rows) == len(Settings.model_fields)
    assert not [row for row in rows if row.endswith("|  |")]


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_its_pages_fetch_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert tmp_path / "quickstart.html" in pages
    fetched = {found for page in pages for found in FETCHED.findall(page.read_text())}
    assert fetched == set()
