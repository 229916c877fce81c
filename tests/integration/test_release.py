"""A release is of one version, made from a tag; what contributors get beside the code is well-formed."""

import importlib.util
import json
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

ROOT = Path(__file__).resolve().parents[2]


class Yaml12(yaml.SafeLoader):
    """`on` is a word, as GitHub reads it, and not true."""


Yaml12.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:bool" or first not in "oOyYnN"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_server_client_chart_and_citation_are_of_one_version(release: ModuleType) -> None:
    server, client = (tomllib.loads((ROOT / name / "pyproject.toml").read_text())["project"] for name in (".", "fovea"))
    chart = yaml.safe_load((ROOT / "k8s" / "chart" / "Chart.yaml").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (needed,) = [one for one in server["dependencies"] if one.startswith("fovea")]
    told = [client["version"], needed.removeprefix("fovea=="), chart["version"], chart["appVersion"]]
    assert [*told, citation["version"]] == [release.version()] * 5


def test_another_tag_than_the_version_makes_no_release(release: ModuleType) -> None:
    release.check_tag(f"v{release.version()}")
    with pytest.raises(ValueError, match=r"v9\.9\.9 is not v"):
        release.check_tag("v9.9.9")


def test_the_notes_are_the_version_s_section_of_the_changelog(release: ModuleType) -> None:
    text = "# Changelog\n## [Unreleased]\n- next\n\n## [0.1.0] - 2026-12-01\n### Added\n- this\n\n## [0.0.1]\n- old\n"
    assert release.notes(text, "0.1.0") == "### Added\n- this\n"
    with pytest.raises(ValueError, match=r"no section \[0\.2\.0\]"):
        release.notes(text, "0.2.0")


def test_the_wheels_hold_what_the_server_and_the_client_need(release: ModuleType, tmp_path: Path) -> None:
    release.wheels(tmp_path)
    names = {}
    for wheel in tmp_path.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            names[wheel.name] = set(archive.namelist())
    server = f"fovea_server-{release.version()}-py3-none-any.whl"
    client = f"fovea-{release.version()}-py3-none-any.whl"
    assert names.keys() == {server, client}
    assert {"service/app.py", "service/tracing/otel.py", "cli/main.py", "service/web/index.html"} <= names[server]
    assert {"fovea/_client.py", "fovea/py.typed"} <= names[client]
    assert not {one for one in names[server] if one.startswith(("tests/", "fovea/"))}


def test_the_sbom_names_every_package_of_the_image_with_its_hashes(release: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    release.sbom(file)
    said = json.loads(file.read_text())
    locked = {
        line.partition("==")[0].lower()
        for line in (ROOT / "requirements-serve.lock").read_text().splitlines()
        if "==" in line and not line.startswith(" ")
    }
    assert {one["name"].lower() for one in said["components"]} == locked
    assert len(locked) > 30
    assert all(one.get("version") and one.get("externalReferences") for one in said["components"])


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", ".github/workflows/*.yml"),
        ("dependabot", ".github/dependabot.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[bw]*.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("citation-file-format", "CITATION.cff"),
        ("compose-spec", "docker/compose.yaml"),
    ],
)
def test_a_file_for_others_tools_is_as_their_schema_has_it(schema: str, files: str) -> None:
    described = get_builtin_schema(f"vendor.{schema}")
    valid = jsonschema.validators.validator_for(described)(described)
    found = sorted(ROOT.glob(files))
    assert found
    for file in found:
        said = yaml.load(file.read_text(), Yaml12)
        assert [error.message for error in valid.iter_errors(said)] == [], file
        said["jobs" if "jobs" in said else "surely"] = 3
        assert list(valid.iter_errors(said)), "the schema would notice"


def test_the_workflow_runs_what_contributors_run() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    assert commands[-1] == ".ci/run"
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    for command in container["onCreateCommand"].split(" && "):
        assert (ROOT / command.split()[0]).is_file()
