"""Writes requirements*.lock: every package that is installed, at one version, with its hashes.

Run by `make lock` after a change of dependencies: what is locked stays, what is new or no longer fits is resolved anew;
`make lock ARGS=--upgrade` takes the newest of everything. Hashes of all platforms are written, so that one lock serves
Linux, macOS, x86 and ARM.

`requirements.lock` is what `make run` installs; `requirements-serve.lock` is what an image without torch holds, at the
same versions, both with what traces need; `requirements-dev.lock` adds what the tests need.

torch is left out: its builds (CPU, CUDA) differ in what they need and in their hashes. pyproject.toml pins its version;
what it needs beside NVIDIA's packages is locked here. Knows pyproject files and uv, and no package index:
uv asks the one that it is configured for.
"""

import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OURS = {"fovea", "fovea-server"}  # installed from this folder
NOT_LOCKED = {"torch"}
APART = {"ray"}  # extras that have a lock and an environment of their own
FOR_TORCH = ["filelock", "fsspec", "jinja2", "networkx", "sympy", "typing-extensions"]
TO_BUILD = ["setuptools>=80"]  # what makes this folder a package, without fetching anything else
EVERYTHING, SERVING, DEV = "requirements.lock", "requirements-serve.lock", "requirements-dev.lock"


@dataclass(frozen=True, slots=True)
class Lock:
    file: str
    dev: bool = False
    extras: tuple[str, ...] = ()
    torch: bool = True
    versions_of: str | None = None
    """Takes the versions that this lock, written before, has."""
    alone: tuple[str, ...] = ()
    """Holds these and what they need, and nothing of ours: a tool of the tests with an environment of its own."""


LOCKS = (
    Lock(DEV, dev=True),
    Lock(EVERYTHING, extras=("batch", "mqtt", "otel"), versions_of=DEV),
    Lock(SERVING, extras=("mqtt", "otel"), torch=False, versions_of=DEV),
    Lock("requirements-moto.lock", alone=("moto[server]>=5.2.5",)),  # it wants older packages than we do
    Lock("requirements-ray.lock", alone=("ray[data]>=2.60",), versions_of=DEV),  # hundreds of MB, beside our packages
)


def name_of(requirement: str) -> str:
    return re.split(r"[\s<>=!~;\[]", requirement, maxsplit=1)[0]


def requirements(lock: Lock) -> list[str]:
    """What pyproject.toml and fovea/pyproject.toml ask for, and what the build and perhaps torch need."""
    if lock.alone:
        return list(lock.alone)
    service, client = (_project(ROOT / name) for name in ("pyproject.toml", "fovea/pyproject.toml"))
    optional = service["optional-dependencies"]
    named = [name for name in optional if name not in APART] if lock.dev else lock.extras
    extras = [optional[name] for name in named]
    asked = [*service["dependencies"], *client["dependencies"], *(one for extra in extras for one in extra)]
    asked = [one for one in asked if name_of(one) not in OURS | NOT_LOCKED]
    return sorted({*asked, *(FOR_TORCH if lock.torch else ()), *TO_BUILD})


def _project(file: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(file.read_text())["project"]
    return project


def main(arguments: list[str]) -> None:
    uv = Path(sys.executable).with_name("uv")
    for lock in LOCKS:
        with tempfile.NamedTemporaryFile("w", suffix=".in") as wanted:
            wanted.write("\n".join(requirements(lock)))
            wanted.flush()
            command = [uv, "pip", "compile", wanted.name, "--output-file", ROOT / lock.file, "--universal"]
            command += ["--constraint", ROOT / lock.versions_of] if lock.versions_of else []
            options = [
                "--python-version",
                "3.11",
                "--fork-strategy",
                "fewest",
                "--generate-hashes",
                "--no-annotate",
                "--no-header",
                "--quiet",
            ]
            subprocess.run([*command, *options, *arguments], check=True)
        print(f"written: {lock.file}")


if __name__ == "__main__":
    main(sys.argv[1:])
