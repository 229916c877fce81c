"""What is shipped to run Fovea in containers is well-formed, and names settings that there are."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from service.engine.pressure import FULL_UP_TO
from service.metrics import Metrics
from service.settings import Settings, unknown_variables
from tests.conftest import require

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ("1.34", "1.35", "1.36")
OVERLAYS = ("cpu", "gpu", "dev", "keda")
CLOSING_S = 5  # at least, between the drain and SIGKILL: cameras are handed over, traces sent
FOLDERS = {"/var/cache/fovea", "/var/lib/fovea"}
OURS = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication"}
"""Kinds of operators: their schemas are not Kubernetes', and their fields are tested by hand."""


def tool(name: str, *arguments: str | Path, stdin: str | None = None) -> str:
    """What a tool of the virtual environment says; it must be content."""
    command = [Path(sys.executable).with_name(name), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@functools.cache
def kustomized(folder: str = "overlays/cpu") -> str:
    require(shutil.which("kubectl") is not None, "kubectl (Debian package `kubernetes-client`)")
    done = subprocess.run(["kubectl", "kustomize", ROOT / "k8s" / folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(kind: str, folder: str = "overlays/cpu", name: str = "fovea") -> dict[str, Any]:
    """The one object of this kind whose name starts so."""
    found = [one for one in yaml.safe_load_all(kustomized(folder)) if one["kind"] == kind]
    (one,) = [each for each in found if each["metadata"]["name"].startswith(name)][:1]
    return cast("dict[str, Any]", one)


def test_the_dockerfile_is_what_hadolint_would_have_it() -> None:
    tool("hadolint", ROOT / "docker" / "Dockerfile")


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_renders_and_every_field_of_it_exists(overlay: str, version: str) -> None:
    objects = list(yaml.safe_load_all(kustomized(f"overlays/{overlay}")))
    known = yaml.safe_dump_all([one for one in objects if one["kind"] not in OURS])
    tool("kubernetes-validate", "--strict", "-k", version, "-", stdin=known)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_the_pods_that_they_mean(overlay: str) -> None:
    pods = rendered("Deployment", f"overlays/{overlay}")["spec"]["template"]["metadata"]["labels"]
    meant = [
        rendered("Deployment", f"overlays/{overlay}")["spec"]["selector"]["matchLabels"],
        rendered("Service", f"overlays/{overlay}")["spec"]["selector"],
        rendered("PodDisruptionBudget", f"overlays/{overlay}")["spec"]["selector"]["matchLabels"],
        rendered("NetworkPolicy", f"overlays/{overlay}")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(one.items() <= pods.items() for one in meant), meant


def test_a_pod_may_reach_the_redis_of_its_overlay() -> None:
    redis = rendered("StatefulSet", name="redis")["spec"]["template"]["metadata"]["labels"]
    allowed = [
        peer["podSelector"]["matchLabels"]
        for rule in rendered("NetworkPolicy")["spec"]["egress"]
        for peer in rule["to"]
        if "podSelector" in peer
    ]
    assert any(one.items() <= redis.items() for one in allowed)


def test_settings_named_for_containers_are_settings() -> None:
    config = rendered("ConfigMap", "overlays/dev")
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text()
    named = {word.partition("=")[0] for word in dockerfile.split() if word.startswith("FOVEA_")}
    (container,) = rendered("Deployment")["spec"]["template"]["spec"]["containers"]
    by_reference = [one["name"] for one in container["env"]]
    assert named
    given = [*config["data"], *compose["services"]["fovea"]["environment"], *named, *by_reference]
    assert unknown_variables(given) == []


def test_a_pod_gets_the_time_to_drain_that_the_service_takes() -> None:
    pod = rendered("Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    _, pause_s = container["lifecycle"]["preStop"]["exec"]["command"]
    drain_s = int(rendered("ConfigMap")["data"]["FOVEA_DRAIN_TIMEOUT_S"])
    assert drain_s == Settings().drain_timeout_s
    assert pod["terminationGracePeriodSeconds"] >= int(pause_s) + drain_s + CLOSING_S
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["fovea"]
    assert int(compose["stop_grace_period"].removesuffix("s")) >= drain_s + CLOSING_S


def test_every_folder_that_a_pod_writes_to_is_a_volume() -> None:
    """Its root is read-only."""
    (container,) = rendered("Deployment", "overlays/dev")["spec"]["template"]["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    written = {one["mountPath"] for one in container["volumeMounts"] if not one.get("readOnly")}
    assert written == {"/tmp", *FOLDERS}
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["fovea"]
    assert compose["read_only"]
    assert {one.split(":")[1] for one in compose["volumes"]} == FOLDERS


def test_replicas_that_share_a_redis_have_a_place_for_the_uploads_of_jobs() -> None:
    (container,) = rendered("Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"secretRef": {"name": "fovea-blobs", "optional": True}} in container["envFrom"]
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["fovea"]
    folder = Settings(blobs_url=compose["environment"]["FOVEA_BLOBS_URL"]).blobs_url
    assert any(f"file://{one.split(':')[1]}/" in str(folder) for one in compose["volumes"])


def test_pods_are_spread_over_machines_and_zones() -> None:
    spread = rendered("Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


@pytest.mark.parametrize("overlay", ["cpu", "keda"])
def test_where_an_autoscaler_says_how_many_a_rollout_does_not(overlay: str) -> None:
    assert "replicas" not in rendered("Deployment", f"overlays/{overlay}")["spec"]


def test_uploads_of_compose_fit_into_its_tmpfs() -> None:
    service = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["fovea"]
    (size,) = [one.removeprefix("/tmp:size=") for one in service["tmpfs"]]
    places = int(service["environment"]["FOVEA_MAX_DECODE_PLACES"])
    assert places * Settings().max_upload_bytes <= int(size.removesuffix("g")) * 2**30


def test_containers_answer_to_the_names_they_are_asked_under() -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["fovea"]
    config, service = rendered("ConfigMap"), rendered("Service")
    assert compose["environment"]["FOVEA_ALLOWED_HOSTS"] == "fovea"
    assert service["metadata"]["name"] in config["data"]["FOVEA_ALLOWED_HOSTS"].split(",")


def seconds_per_replica() -> float:
    """Of waiting, from which on budgets give way: replicas are added there."""
    return FULL_UP_TO * Settings().max_wait_s


def test_keda_adds_replicas_where_budgets_begin_to_give_way() -> None:
    triggers = rendered("ScaledObject", "overlays/keda")["spec"]["triggers"]
    triggers = [one for one in triggers if one["type"] == "prometheus"]  # beside it: the jobs' stream (test_chart)
    asked = [(one["metadata"]["query"], float(one["metadata"]["threshold"])) for one in triggers]
    assert [query for query, _ in asked] == ["sum(fovea_waiting_decode_seconds)", "sum(fovea_waiting_compute_seconds)"]
    assert {threshold for _, threshold in asked} == {seconds_per_replica()}
    told = {family.name for family in Metrics().registry.collect()}
    assert {query.removeprefix("sum(").removesuffix(")") for query, _ in asked} <= told


def test_the_autoscaler_may_go_by_the_same_seconds(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    overlay = tmp_path / "k8s" / "overlays" / "cpu" / "kustomization.yaml"
    overlay.write_text(overlay.read_text().replace("components:\n", "components:\n  - ../../waiting\n"))
    require(shutil.which("kubectl") is not None, "kubectl (Debian package `kubernetes-client`)")
    done = subprocess.run(["kubectl", "kustomize", overlay.parent], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (scaler,) = [one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "HorizontalPodAutoscaler"]
    by_waiting = {
        one["pods"]["metric"]["name"]: one["pods"]["target"]["averageValue"]
        for one in scaler["spec"]["metrics"]
        if one["type"] == "Pods"
    }
    milliseconds = f"{1000 * seconds_per_replica():.0f}m"
    assert by_waiting == dict.fromkeys(("fovea_waiting_decode_seconds", "fovea_waiting_compute_seconds"), milliseconds)
    tool("kubernetes-validate", "--strict", "-k", KUBERNETES[-1], "-", stdin=yaml.safe_dump(scaler))
