"""Imports point down: the contracts in pyproject.toml hold, and each of them would notice a breach."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cli", "service", "training", "models", "video", "fovea")


def lint_imports(folder: Path) -> tuple[int, str]:
    """Run import-linter on the packages in `folder`, as `make check` does."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy_of_the_code(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        sources_only = shutil.ignore_patterns("__pycache__", "bundles")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=sources_only)
    return tmp_path


def test_every_import_contract_holds() -> None:
    code, report = lint_imports(ROOT)
    assert code == 0, report


@pytest.mark.parametrize(
    ("module", "forbidden_import", "contract"),
    [
        ("fovea/errors.py", "service.app", "The floors"),
        ("models/recognizer.py", "service.metrics", "The floors"),
        ("models/recognizer.py", "fastapi", "Models know no service"),
        ("service/api/__init__.py", "torch", "HTTP, scheduling and decoding know no model"),
        ("video/clip.py", "pydantic", "Video is av and numpy only"),
        ("service/app.py", "training.fit.recipe", "The floors"),
    ],
)
def test_a_breach_is_caught(copy_of_the_code: Path, module: str, forbidden_import: str, contract: str) -> None:
    with (copy_of_the_code / module).open("a") as source:
        source.write(f"\nimport {forbidden_import}\n")
    code, report = lint_imports(copy_of_the_code)
    broken = [line for line in report.splitlines() if " BROKEN" in line]
    assert code == 1, report
    assert any(line.startswith(contract) for line in broken), report
