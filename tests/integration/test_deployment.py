"""What is shipped to run Fovea in containers is well-formed, and names settings that there are."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from service.settings import Settings, unknown_variables
from tests.conftest import require

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = "1.34"


def tool(name: str, *arguments: str | Path, stdin: str | None = None) -> str:
    """What a tool of the virtual environment says; it must be content."""
    command = [Path(sys.executable).with_name(name), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kustomized() -> str:
    require(shutil.which("kubectl") is not None, "kubectl (Debian package `kubernetes-client`)")
    done = subprocess.run(["kubectl", "kustomize", ROOT / "k8s" / "base"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_dockerfile_is_what_hadolint_would_have_it() -> None:
    tool("hadolint", ROOT / "docker" / "Dockerfile")


def test_the_kubernetes_base_renders_and_every_field_of_it_exists() -> None:
    tool("kubernetes-validate", "--strict", "-k", KUBERNETES, "-", stdin=kustomized())


def test_settings_named_for_containers_are_settings() -> None:
    (config,) = [one for one in yaml.safe_load_all(kustomized()) if one["kind"] == "ConfigMap"]
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    named = {word.partition("=")[0] for word in dockerfile.split() if word.startswith("FOVEA_")}
    assert named
    assert unknown_variables([*config["data"], *compose["services"]["fovea"]["environment"], *named]) == []


def test_a_pod_gets_the_time_to_drain_that_the_service_takes() -> None:
    (deployment,) = [one for one in yaml.safe_load_all(kustomized()) if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    _, pause_s = container["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] > int(pause_s) + Settings().drain_timeout_s


def test_uploads_of_compose_fit_into_its_tmpfs() -> None:
    service = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["fovea"]
    (size,) = [one.removeprefix("/tmp:size=") for one in service["tmpfs"]]
    places = int(service["environment"]["FOVEA_MAX_DECODE_PLACES"])
    assert places * Settings().max_upload_bytes <= int(size.removesuffix("g")) * 2**30


def test_containers_answer_to_the_names_they_are_asked_under() -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["fovea"]
    (config,) = [one for one in yaml.safe_load_all(kustomized()) if one["kind"] == "ConfigMap"]
    (service,) = [one for one in yaml.safe_load_all(kustomized()) if one["kind"] == "Service"]
    assert compose["environment"]["FOVEA_ALLOWED_HOSTS"] == "fovea"
    assert service["metadata"]["name"] in config["data"]["FOVEA_ALLOWED_HOSTS"].split(",")
