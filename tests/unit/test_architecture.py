"""Imports point down: the contracts in pyproject.toml hold, and each of them would notice a breach."""

import ast
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


def floor_of(module: str) -> int:
    """0 is the lowest; service and training stand side by side."""
    order = {"fovea": 0, "video": 1, "models": 2, "service": 3, "training": 3, "cli": 4}
    return order.get(module.split(".", maxsplit=1)[0], -1)


def test_not_even_the_name_of_a_type_comes_from_above() -> None:
    """import-linter leaves out what stands under `if TYPE_CHECKING`: that loads nothing, but it is knowledge too."""
    climbing = [
        f"{file.relative_to(ROOT)} imports {name}"
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        for name in imported_names(file)
        if floor_of(name) > floor_of(package) or (floor_of(name) == floor_of(package) and name.split(".")[0] != package)
    ]
    assert climbing == []


def imported_names(file: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.append(node.module)
    return names


def test_every_import_contract_holds() -> None:
    code, report = lint_imports(ROOT)
    assert code == 0, report


@pytest.mark.parametrize(
    ("module", "forbidden_import", "contract"),
    [
        ("fovea/errors.py", "service.app", "The floors"),
        ("models/recognizer.py", "service.metrics", "The floors"),
        ("service/app.py", "training.fit.recipe", "The floors"),
        ("service/engine/request.py", "service.engine.scheduler", "The service's imports point down"),
        ("service/jobs/runner.py", "service.webhooks.outbox", "Jobs and their receivers"),
        ("models/thresholds.py", "fastapi", "Models know no service"),
        ("service/api/edge/parts.py", "torch", "All of the service but its wiring"),
        ("service/engine/engine.py", "models.loading", "All of the service but its wiring"),  # torch at second hand
        ("video/clip.py", "openvino", "All of the service but its wiring"),
        ("service/metrics.py", "starlette", "Engine, streams, jobs and ledger know no HTTP"),
        ("service/engine/pipeline.py", "service.ledger.redis_ledger", "HTTP knows no Redis"),
        ("video/clip.py", "pydantic", "Video is av and numpy only"),
        ("fovea/calls.py", "numpy", "fovea needs httpx"),
        ("cli/terminal.py", "service.settings", "The commands for cameras and jobs"),
    ],
)
def test_a_breach_is_caught(copy_of_the_code: Path, module: str, forbidden_import: str, contract: str) -> None:
    with (copy_of_the_code / module).open("a") as source:
        source.write(f"\nimport {forbidden_import}\n")
    code, report = lint_imports(copy_of_the_code)
    broken = [line for line in report.splitlines() if " BROKEN" in line]
    assert code == 1, report
    assert any(line.startswith(contract) for line in broken), report
