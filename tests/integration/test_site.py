"""The documentation builds as a site without a warning, offline, and what is read from the code is up to date."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import cards  # noqa: E402  # scripts: not a package's parts
import reference  # noqa: E402
import site_diagrams  # noqa: E402

FETCHED = re.compile(
    r"""<(?:script|img|source|iframe)[^>]*\bsrc=["']?https?:[^"' >]+"""
    r"""|<link[^>]*rel=["']?(?:stylesheet|icon|preconnect)[^>]*href=["']?https?:[^"' >]+"""
)


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_that_is_read_from_the_code_is_what_the_code_says(name: str) -> None:
    written = (ROOT / "docs" / name).read_text()
    assert written == reference.PAGES[name](), "run .venv/bin/python scripts/reference.py"


def test_every_model_that_ships_has_a_card_that_says_what_its_bundle_says() -> None:
    pages = cards.pages()
    assert {f"models/{folder.name}.md" for folder in cards.BUNDLES.iterdir()} < set(pages)
    for name, text in pages.items():
        assert (ROOT / "docs" / name).read_text() == text, "run .venv/bin/python scripts/reference.py"
    assert set(pages) == {f"models/{path.name}" for path in (ROOT / "docs" / "models").iterdir()}


def test_every_setting_has_a_row_with_its_meaning() -> None:
    from service.settings import Settings  # noqa: PLC0415

    rows = [line for line in reference.settings_page().splitlines() if line.startswith("| `FOVEA_")]
    assert len(rows) == len(Settings.model_fields)
    assert not [row for row in rows if row.endswith("|  |")]


def test_a_mermaid_block_becomes_a_drawing_with_ids_of_its_own() -> None:
    page = site_diagrams.on_page_markdown(
        "a\n```mermaid\nflowchart LR\n    a --> b\n```\nb\n```mermaid\nflowchart LR\n    c --> d\n```\n"
    )
    assert "```" not in page
    assert page.count("<svg ") == 2
    assert {"diagram-1", "diagram-2"} <= set(re.findall(r'<svg id="([^"]+)"', page))
    assert "my-svg" not in page


def test_a_block_that_mermaid_cannot_read_stops_the_build_and_shows_itself() -> None:
    with pytest.raises(ValueError, match=r"Parse error[\s\S]*in this Mermaid block:\s+flowchart LR\s+a\[ --> b"):
        site_diagrams.on_page_markdown("```mermaid\nflowchart LR\n    a[ --> b\n```\n")


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_its_pages_fetch_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert tmp_path / "quickstart.html" in pages
    assert '<svg id="diagram-1"' in (tmp_path / "concepts.html").read_text()
    fetched = {found for page in pages for found in FETCHED.findall(page.read_text())}
    assert fetched == set()
