"""The repository's own rules hold, and the script that says so would notice if they did not."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "check_repository.py"


def findings_of(folder: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty repository; the script looks at tracked files only."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def track(repository: Path, name: str, text: str) -> None:
    (repository / name).parent.mkdir(parents=True, exist_ok=True)
    (repository / name).write_text(text)
    subprocess.run(["git", "add", name], cwd=repository, check=True)


def test_this_repository_keeps_its_rules() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing is tracked here")
    code, findings = findings_of(ROOT)
    assert code == 0, findings


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("data = '/" + "home/ann/videos'", "path of one machine"),
        ("cd /" + "root/fovea", "path of one machine"),
        ("index = https://" + "pypi." + "org/simple", "host of a package registry"),
    ],
)
def test_a_machine_path_or_registry_host_is_found_with_its_line(repository: Path, line: str, finding: str) -> None:
    track(repository, "notes/setup.txt", f"first line\n{line}\n")
    code, findings = findings_of(repository)
    assert code == 1
    assert f"notes/setup.txt:2: {finding}" in findings


def test_the_path_of_the_checkout_itself_is_found_wherever_it_stands(repository: Path) -> None:
    track(repository, "a.txt", f"see {repository}/b.txt\n")
    code, findings = findings_of(repository)
    assert (code, findings.count("\n")) == (1, 1)
    assert findings.startswith("a.txt:1: ")


def test_a_link_to_a_missing_page_is_found_and_one_to_a_present_page_is_not(repository: Path) -> None:
    track(repository, "README.md", "[there](docs/there.md#part) [gone](docs/gone.md) [web](https://example.org/x)\n")
    track(repository, "docs/there.md", "# There\n[up](../README.md)\n")
    code, findings = findings_of(repository)
    assert (code, findings) == (1, "README.md: dead link: docs/gone.md\n")


def test_relative_paths_urls_and_untracked_files_are_left_alone(repository: Path) -> None:
    track(repository, "a.txt", "../shared/data ./home/x https://example.org/" + "root/x /v1/recognitions /usr/bin\n")
    (repository / "untracked.txt").write_text("/" + "root/secret")
    assert findings_of(repository)[0] == 0


def pinned(lock: str) -> dict[str, str]:
    """Package to version; every line of a lock pins one."""
    lines = re.findall(r"^([\w.-]+)==([\w.!+-]+)(?: ;[^\\]*)?(?: \\)?$", (ROOT / lock).read_text(), flags=re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


@pytest.mark.parametrize(
    ("lock", "dev"),
    [("requirements.lock", False), ("requirements-serve.lock", False), ("requirements-dev.lock", True)],
)
def test_the_locks_hold_a_version_of_everything_that_is_asked_for(lock: str, dev: bool) -> None:
    service, client = (
        tomllib.loads((ROOT / name).read_text())["project"] for name in ("pyproject.toml", "fovea/pyproject.toml")
    )
    optional = service["optional-dependencies"]
    extras = [one for name, extra in optional.items() for one in extra if name != "ray"] if dev else []
    versions = pinned(lock)
    for asked in map(Requirement, [*service["dependencies"], *client["dependencies"], *extras]):
        if asked.name not in {"fovea", "fovea-server", "torch"}:
            version = versions.get(canonicalize_name(asked.name), "none")
            assert asked.specifier.contains(version), f"{asked} is asked for, {version} is locked: `make lock`"


def test_an_image_without_torch_holds_nothing_that_torch_alone_needs_at_the_same_versions() -> None:
    everything, serving = pinned("requirements.lock"), pinned("requirements-serve.lock")
    assert serving.items() < everything.items()
    assert {"sympy", "networkx"} <= everything.keys() - serving.keys()


def test_everything_that_is_locked_has_its_hashes() -> None:
    for lock in ("requirements.lock", "requirements-serve.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        packages = re.split(r"\n(?=[\w])", text.strip())
        names = {
            canonicalize_name(package.partition("==")[0]) for package in packages
        }  # one may have two versions, by Python
        assert names == pinned(lock).keys()
        assert len(names) > 40
        assert [package for package in packages if "--hash=sha256:" not in package] == []


def test_both_locks_agree() -> None:
    run, dev = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert {name: dev.get(name) for name in run} == run


def test_the_architecture_page_lists_every_module_and_no_other() -> None:
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    listed = re.findall(r"^\| `([\w/]+\.py)` \|", page, flags=re.MULTILINE)
    in_tree = {
        str(file.relative_to(ROOT))
        for package in ("cli", "service", "training", "models", "video", "fovea")
        for file in (ROOT / package).rglob("*.py")
        if file.name != "__init__.py"
    }
    assert sorted(in_tree - set(listed)) == [], "modules without a line in docs/ARCHITECTURE.md, Files"
    assert sorted(set(listed) - in_tree) == [], "lines in docs/ARCHITECTURE.md, Files, without a module"
    assert len(listed) == len(set(listed)), "a module is listed twice"
