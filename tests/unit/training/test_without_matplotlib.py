"""Without the extra `train`, as `make run` installs it: everything works but what draws, and that says so at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.training.test_train_command import plan_file
from tests.unit.training.trained import make_data, make_run

WITHOUT = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "matplotlib":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
from cli.main import main
import training.data.negatives
from tests.few_negatives import FEW
training.data.negatives.GENERATORS = FEW
sys.argv = ["fovea", *sys.argv[1:]]
main()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    make_run(folder / "run", make_data(folder / "strokes"))
    return folder


def fovea(place: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments), "--cache", str(place / "cache"), "--threads", "1"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_calibrating_needs_no_matplotlib_and_evaluating_asks_for_it_before_any_work(place: Path) -> None:
    done = fovea(place, "calibrate", place / "run", "--out", place / "mine")
    assert done.returncode == 0, done.stderr
    done = fovea(place, "evaluate", place / "mine", place / "strokes", "--out", place / "results")
    assert done.returncode == 2
    assert "need matplotlib, which is not installed" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (place / "results").exists()


def test_training_needs_no_matplotlib(place: Path) -> None:
    done = fovea(place, "train", place / "strokes", "--out", place / "new", "--plan", plan_file(place))
    assert done.returncode == 0, done.stderr
    assert (place / "new" / "best.safetensors").exists()
