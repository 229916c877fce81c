"""What each door of the video floor loads, seen in an interpreter of its own: av, numpy and the standard library."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROOMS = (
    "video",
    "video.clip",
    "video.rate",
    "video.file.decode",
    "video.camera.feed",
    "video.children.file_child",
    "video.children.camera_child",
    "video.children.sandbox",
    "video.children.camera_process",
)
LIBRARIES = {"av", "numpy"}
OWN = {"video", "fovea"}
OF_FOVEA = {"fovea", "fovea.errors", "fovea.words"}  # the rest of the client needs httpx and pydantic


def loaded_by(module: str) -> set[str]:
    """The names of all modules that importing `module` loads, beyond those that Python starts with."""
    program = f"import sys; before = set(sys.modules); import {module}; print(*set(sys.modules) - before)"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return set(subprocess.check_output([sys.executable, "-P", "-c", program], text=True, env=environment).split())


def foreign(modules: set[str]) -> set[str]:
    """Those of none of our floors, of no allowed library and not of the standard library."""
    tops = {name.partition(".")[0] for name in modules}
    return {top for top in tops - LIBRARIES - OWN - sys.stdlib_module_names if not top.startswith(("_", "cython"))}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_of_the_video_floor_loads_av_numpy_and_the_standard_library_alone(room: str) -> None:
    loaded = loaded_by(room)
    assert foreign(loaded) == set()
    assert {name for name in loaded if name.partition(".")[0] == "fovea"} <= OF_FOVEA


def test_the_values_of_the_floor_load_no_libav() -> None:
    assert not {name for name in loaded_by("video.clip") if name.partition(".")[0] == "av"}


def test_what_a_room_may_not_load_is_noticed() -> None:
    assert foreign(loaded_by("pydantic")) >= {"pydantic"}
