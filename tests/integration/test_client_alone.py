"""`pip install fovea` in an empty environment, beside a stranger's own `service` package: the client works, and nothing
of the service is there. No network: its three dependencies are linked from this environment."""

import json
import os
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.cameras import camera
from tests.clips import cached_clip, solid
from tests.serving import Served, serving

pytestmark = pytest.mark.timeout(300)  # builds a wheel, makes an environment, runs mypy

ROOT = Path(__file__).resolve().parents[2]
DEPENDENCIES = ("httpx", "httpx-sse", "pydantic")
OF_THE_SERVICE = ("torch", "fastapi", "av", "numpy", "redis", "openvino", "models", "video", "cli", "training")
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"


@dataclass(frozen=True)
class Stranger:
    """Somebody's project, with an environment of its own."""

    python: Path
    project: Path

    def run(self, program: str, *arguments: object) -> str:
        """What the program, a file of the project, prints."""
        (self.project / "app.py").write_text(program)
        command: list[str | Path] = [self.python, "app.py", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.project, env=bare_environment(), capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def bare_environment() -> dict[str, str]:
    """Nothing that leads a Python to packages of ours."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def build(kind: str, source: Path, out: Path) -> Path:
    """`build_sdist` or `build_wheel`; the file that it made."""
    out.mkdir()
    subprocess.run([sys.executable, "-c", BUILD, kind, out], cwd=source, capture_output=True, check=True)
    (made,) = out.iterdir()
    return made


def with_their_own(names: tuple[str, ...]) -> dict[str, Distribution]:
    """These distributions and all that they need themselves, extras left out."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found[name] = distribution(name)
        for line in found[name].requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)
    return found


def link(distributions: dict[str, Distribution], folder: Path) -> None:
    """Their packages and modules, and nothing else, importable from `folder`."""
    folder.mkdir()
    for one in distributions.values():
        assert one.files is not None
        for name in {file.parts[0] for file in one.files} - {"..", "__pycache__"}:
            (folder / name).symlink_to(Path(str(one.locate_file(name))))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    folder = tmp_path_factory.mktemp("stranger")
    source = copytree(ROOT / "fovea", folder / "source", ignore=ignore_patterns("__pycache__", "build", "*.egg-info"))
    (folder / "unpacked").mkdir()
    sdist = build("build_sdist", source, folder / "sdist")
    subprocess.run(["tar", "-xzf", sdist, "-C", folder / "unpacked"], check=True)
    (unpacked,) = (folder / "unpacked").iterdir()
    wheel = build("build_wheel", unpacked, folder / "wheel")

    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    link(with_their_own(DEPENDENCIES), folder / "dependencies")
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{folder / 'dependencies'}\n")
    # Nothing can be fetched: this fails where the wheel declares a dependency besides those.
    quietly = ("--disable-pip-version-check", "--quiet", "--no-index")
    subprocess.run([python, "-m", "pip", "install", *quietly, wheel], env=bare_environment(), check=True)

    project = folder / "project"
    (project / "service").mkdir(parents=True)
    (project / "service" / "__init__.py").write_text("OWNER = 'a stranger'\n")
    return Stranger(python, project)


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    with serving(stream_allowed_networks="127.0.0.0/8") as service:
        yield service


@pytest.fixture(scope="module")
def clip(stranger: Stranger) -> Path:
    clip = stranger.project / "clip.mp4"
    clip.write_bytes(cached_clip("red.mp4", pattern=solid(200, 20, 20), seconds=2.0, gop=10).read_bytes())
    return clip


def readme_example(number: int, url: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "fovea" / "README.md").read_text(), flags=re.DOTALL)
    example: str = blocks[number].replace("http://127.0.0.1:8000", url)
    return example


def test_the_wheel_holds_the_types_the_licence_and_the_page(stranger: Stranger) -> None:
    (installed,) = stranger.python.parents[1].glob("lib/python*/site-packages/fovea-*.dist-info")
    assert (installed.parent / "fovea" / "py.typed").exists()
    (licence,) = installed.rglob("LICENSE")
    assert licence.read_text() == (ROOT / "LICENSE").read_text()
    metadata = (installed / "METADATA").read_text()
    assert (ROOT / "fovea" / "README.md").read_text() in metadata
    needed = re.findall(r"^Requires-Dist: ([\w-]+)", metadata, flags=re.MULTILINE)
    assert sorted(needed) == sorted(DEPENDENCIES)


def test_nothing_of_the_service_is_there_and_the_stranger_s_own_package_is(stranger: Stranger) -> None:
    program = """
import importlib.util, json, sys
import fovea, service
for name in fovea.__all__:
    getattr(fovea, name)
print(json.dumps([service.OWNER, [name for name in sys.argv[1:] if importlib.util.find_spec(name)]]))
"""
    assert json.loads(stranger.run(program, *OF_THE_SERVICE, "fovea")) == ["a stranger", ["fovea"]]


def test_it_recognises_a_clip_as_its_page_says(stranger: Stranger, service: Served, clip: Path) -> None:
    assert stranger.run(readme_example(0, service.url)) == "red\n"


def test_it_streams_the_steps_as_its_page_says(stranger: Stranger, service: Served, clip: Path) -> None:
    told = stranger.run(readme_example(1, service.url)).splitlines()
    assert [line.split(" ")[0].split("=")[0] for line in told] == ["step", "step", "step", "id"]


def test_a_refusal_is_raised_as_its_error(stranger: Stranger, service: Served, clip: Path) -> None:
    program = """
import sys
import fovea
with fovea.Client(sys.argv[1]) as client:
    try:
        client.recognize("clip.mp4", max_gflops=0.01)
    except fovea.BudgetTooSmall as refusal:
        print(refusal.extra["least_gflops"])
"""
    assert stranger.run(program, service.url) == "0.1\n"


def test_it_follows_a_camera(stranger: Stranger, service: Served) -> None:
    program = """
import sys
import fovea
with fovea.Client(sys.argv[1]) as client:
    stream = client.streams.create(sys.argv[2], window_s=1, stride_s=0.25)
    for event in client.streams.follow(stream.id):
        if isinstance(event.data, fovea.ResultEvent):
            print(event.data.recognition.predictions[0].label)
            client.streams.delete(stream.id)
        if event.is_last:
            print(event.data.state)
"""
    blue = cached_clip("blue_camera.mp4", pattern=solid(20, 20, 200), seconds=4.0, gop=8)
    with camera(blue) as cam:
        told = stranger.run(program, service.url, cam.url()).split()
    assert set(told) == {"blue", "deleted"}
    assert told[-1] == "deleted"


def mypy(stranger: Stranger, program: str) -> list[str]:
    """What a strict mypy says of the stranger's program."""
    (stranger.project / "typed.py").write_text(program)
    options: list[Any] = ["--strict", "--no-error-summary", "--config-file=", "--python-executable", stranger.python]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "typed.py"],
        cwd=stranger.project,
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


def test_a_strict_type_checker_knows_every_name_and_what_is_answered(stranger: Stranger) -> None:
    every_name = "".join(f"fovea.{name}\n" for name in exported(stranger))
    program = f"""
import asyncio
from typing import assert_type
import fovea

def ask() -> None:
    with fovea.Client("http://service") as client:
        assert_type(client.recognize("clip.mp4", budget_gflops=1.5), fovea.RecognitionAnswer)
        for step in client.recognize_steps(b"bytes", top_k=3):
            assert_type(step, fovea.StepEvent | fovea.RecognitionAnswer)
        for event in client.streams.follow(client.streams.create("rtsp://camera", on="change").id):
            assert_type(event, fovea.StreamEvent)
            assert_type(event.data, fovea.StateEvent | fovea.ResultEvent | fovea.GapEvent)

async def ask_async() -> fovea.ExitReason:
    async with fovea.AsyncClient("http://service") as client:
        return (await client.recognize("clip.mp4")).exit.reason

{every_name}
"""
    assert mypy(stranger, program) == []
    assert mypy(stranger, readme_example(0, "http://service")) == []
    assert mypy(stranger, readme_example(1, "http://service")) == []
    assert mypy(stranger, f'import fovea\nclient = fovea.Client("http://service")\n{readme_example(2, "")}') == []


def test_a_strict_type_checker_sees_what_is_wrong(stranger: Stranger) -> None:
    program = """
import fovea

with fovea.Client("http://service") as client:
    client.recognize("clip.mp4", budget=1.5)
    client.recognize("clip.mp4").predictions[0].lable
fovea.Clinet
"""
    faults = [line for line in mypy(stranger, program) if ": error: " in line]
    assert [(line.split(":")[1], line.rpartition("  ")[2]) for line in faults] == [
        ("5", "[call-overload]"),  # mypy tells it of the argument, and of the overloads for one video and for several
        ("5", "[call-overload]"),
        ("6", "[attr-defined]"),
        ("7", "[attr-defined]"),
    ]


def exported(stranger: Stranger) -> list[str]:
    names: list[str] = json.loads(stranger.run("import fovea, json; print(json.dumps(fovea.__all__))"))
    return names
