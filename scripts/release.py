"""Makes what a release consists of: `make release TAG=v0.1.0`, which the workflow of a tag runs.

The version stands in pyproject.toml; a test holds the client's, the chart's and CITATION.cff's to it. Into
build/release go the server's wheel, the client's, the chart, and the SBOM of what an image holds;
build/release-notes.md is the version's section of CHANGELOG.md. Nothing is uploaded here.
"""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "release"
NOTES = ROOT / "build" / "release-notes.md"


def version() -> str:
    """Of everything."""
    said: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return said


def check_tag(tag: str) -> None:
    """Raises ValueError."""
    if tag != f"v{version()}":
        raise ValueError(
            f"the tag {tag} is not v{version()}, the version in pyproject.toml; change the version, and with it those "
            "that the test of versions names, or the tag"
        )


def notes(changelog: str, of: str) -> str:
    """The version's section. Raises ValueError."""
    found = re.search(rf"^## \[{re.escape(of)}\].*?\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise ValueError(f"CHANGELOG.md has no section [{of}]: turn `## [Unreleased]` into `## [{of}] - DATE` first")
    return found[1].strip() + "\n"


def wheels(folder: Path) -> None:
    """The server's and the client's."""
    for project in (ROOT, ROOT / "fovea"):
        _run(_tool("uv"), "build", "--wheel", "--no-build-isolation", "--quiet", "--out-dir", folder, project)
        for left in ("lib", "bdist.linux-x86_64"):  # setuptools'; a wheel made later would hold what lies there
            shutil.rmtree(project / "build" / left, ignore_errors=True)
    (folder / ".gitignore").unlink(missing_ok=True)  # uv's: nothing here is in git anyhow


def chart(folder: Path) -> None:
    """The Helm chart, packed."""
    program = "import sys, helm_python; helm_python.package(sys.argv[1], destination=sys.argv[2])"
    _run(sys.executable, "-c", program, ROOT / "k8s" / "chart", folder)


def sbom(file: Path) -> None:
    """What an image for CPUs holds, with versions and hashes, as CycloneDX JSON; the same bytes for the same lock."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = ROOT / "requirements-serve.lock"
    options = [
        "--pyproject",
        ROOT / "pyproject.toml",
        "--output-reproducible",
        "--no-validate",
        "--output-format",
        "JSON",
    ]
    _run(_tool("cyclonedx-py"), "requirements", lock, *options, "--output-file", file)


def main(tag: str = "") -> int:
    try:
        check_tag(tag)
        said = notes((ROOT / "CHANGELOG.md").read_text(), version())
    except ValueError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)  # a wheel of another version would be published, too
    FOLDER.mkdir(parents=True)
    NOTES.write_text(said)
    wheels(FOLDER)
    chart(FOLDER)
    sbom(FOLDER / f"fovea-{version()}.cdx.json")
    for file in sorted(FOLDER.iterdir()):
        print(file.relative_to(ROOT))
    return 0


def _tool(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def _run(*command: str | Path) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
