"""Values cost no torch: lists of models, configurations, thresholds and formats are read without a network."""

import importlib
import importlib.util
import pkgutil
import subprocess
import sys

import pytest

WITHOUT_TORCH = (
    "models",
    "models.adafocus.config",
    "models.backbones.config",
    "models.bundle_format",
    "models.calibration",
    "models.catalogue",
    "models.channels",
    "models.families",
    "models.listing",
    "models.mobile_former.config",
    "models.recognizer",
    "models.runtime.config",
    "models.threshold_solver",
    "models.thresholds",
    "training.data.dataset",
    "training.data.groups",
    "training.fit.recipe",
    "training.fit.run",
    "training.judge.crossfit",
    "training.judge.observations",
    "training.judge.report",
    "training.judge.results",
    "training.judge.scoring",
    "training.judge.statistics",
)
OF_A_SERVICE = ("fastapi", "starlette", "uvicorn", "redis", "prometheus_client", "service", "cli")


def loaded_after(statements: str, *heavy: str) -> list[str]:
    """Which of `heavy` a fresh interpreter holds after the statements."""
    code = f"import sys\n{statements}\nprint(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_values_are_read_without_torch() -> None:
    """One interpreter, one after the other, so that the first culprit is named."""
    checks = "\n".join(f"import {name}; assert 'torch' not in sys.modules, '{name}'" for name in WITHOUT_TORCH)
    assert loaded_after(checks, "torch", "openvino") == []


@pytest.mark.parametrize(
    "statement",
    [
        "from models import available_models; available_models()",
        "from models import BundleError",
        "from models.runtime import RuntimeConfig; RuntimeConfig(num_threads=1)",
        "from models.listing import read_listing; from models import available_models\n"
        "for folder in available_models().values(): read_listing(folder)",
    ],
)
def test_doors_load_what_is_asked_for_and_no_more(statement: str) -> None:
    assert loaded_after(statement, "torch", "openvino") == []


def test_the_list_of_models_is_printed_without_torch() -> None:
    statement = "from typer.testing import CliRunner; from cli.main import cli\n"
    statement += "print_ = CliRunner().invoke(cli, ['models']); assert 'adafocus-v3-compact' in print_.output"
    assert loaded_after(statement, "torch", "openvino") == []


@pytest.mark.parametrize(
    ("floor", "unknown"), [("models", (*OF_A_SERVICE, "av", "training")), ("training", (*OF_A_SERVICE, "httpx"))]
)
def test_a_floor_is_imported_whole_without_what_it_does_not_know(floor: str, unknown: tuple[str, ...]) -> None:
    spec = importlib.util.find_spec(floor)
    assert spec is not None
    modules = [module.name for module in pkgutil.walk_packages(spec.submodule_search_locations, f"{floor}.")]
    assert len(modules) > 30
    assert loaded_after("\n".join(f"import {name}" for name in modules), *unknown) == []


def test_a_name_that_no_door_has_is_an_attribute_error() -> None:
    for door in ("models", "models.runtime"):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            importlib.import_module(door).nothing  # noqa: B018
