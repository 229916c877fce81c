"""The Helm chart makes what the kustomize overlays make; Helm's own engine renders it."""

import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import unknown_variables
from tests.chart import CHART, chart, helm, values_of
from tests.integration.test_deployment import CLOSING_S, KUBERNETES, OURS, OVERLAYS, kustomized, tool

ROOT = Path(__file__).resolve().parents[2]
HELM_S = {"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}
"""Labels that Helm's charts carry, and kustomize's objects do not."""


def values(overlay: str) -> dict[str, Any]:
    """The overlays take the tag `latest`, the chart its version."""
    found = values_of(overlay)
    return found | {"image": {"tag": "latest"} | found.get("image", {})}


def plain(value: Any) -> Any:
    """Without what tells a chart's objects from kustomize's: labels of Helm, hashes in names."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key not in HELM_S | {"checksum/config"}}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return re.sub(r"^fovea-[bcdfghkmt2456789]{10}$", "fovea", value) if isinstance(value, str) else value


def by_name(objects: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    found = {}
    for one in map(plain, objects):
        name = one["metadata"].pop("name")
        one["metadata"].pop("labels", None)
        template = one.get("spec", {}).get("template", {}).get("metadata", {})
        if template.get("annotations") == {}:
            del template["annotations"]
        if one["metadata"] == {}:
            del one["metadata"]
        found[one["kind"], name] = one
    return found


def test_helm_has_nothing_to_say_against_the_chart_but_that_it_has_no_icon() -> None:
    said = helm("lint")
    assert said["errors"] == []
    assert [one["error"] for one in said["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_chart_makes_what_the_overlay_makes(overlay: str) -> None:
    ours = by_name(chart(**values(overlay)))
    theirs = by_name(list(yaml.safe_load_all(kustomized(f"overlays/{overlay}"))))
    assert ours.keys() == theirs.keys()
    for key, one in theirs.items():
        if key == ("ConfigMap", "fovea-dashboards"):
            assert json.loads(ours[key]["data"]["fovea.json"]) == json.loads(one["data"]["fovea.json"])
        else:
            assert ours[key] == one, key


@pytest.mark.parametrize(
    ("component", "given"),
    [
        ("blobs-volume", {"blobsVolume": {"enabled": True}}),
        ("models-volume", {"modelsVolume": {"claim": "fovea-models"}}),
    ],
)
def test_a_volume_of_the_chart_is_that_of_the_component(component: str, given: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "overlay"
    folder.mkdir()
    near = os.path.relpath(ROOT / "k8s", folder)
    overlay = {"resources": [f"{near}/overlays/gpu"], "components": [f"{near}/{component}"]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    theirs = by_name(list(yaml.safe_load_all(kustomized(str(folder)))))
    ours = by_name(chart(**values("gpu") | given))
    assert ours.keys() == theirs.keys()
    for kind in ("Deployment", "ConfigMap", "PersistentVolumeClaim"):
        for key in (key for key in theirs if key[0] == kind and key[1] != "fovea-dashboards"):
            assert ours[key] == theirs[key]


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_field_of_the_chart_s_objects_exists(version: str) -> None:
    everything = (
        chart(
            **values("dev"),
            blobsVolume={"enabled": True, "storageClass": "nfs"},
            modelsVolume={"claim": "mine"},
        )
        + chart()
    )
    known = yaml.safe_dump_all([one for one in everything if one["kind"] not in OURS])
    tool("kubernetes-validate", "--strict", "-k", version, "-", stdin=known)


def test_two_releases_beside_each_other_share_no_object_and_no_pod() -> None:
    gate, hall = (
        chart(release, autoscaling={"by": "keda"}, blobsVolume={"enabled": True}) for release in ("gate", "hall")
    )
    assert {(one["kind"], one["metadata"]["name"]) for one in gate}.isdisjoint(
        {(one["kind"], one["metadata"]["name"]) for one in hall}
    )
    (policy,) = [one for one in gate if one["kind"] == "NetworkPolicy"]
    (service,) = [one for one in gate if one["kind"] == "Service" and one["spec"].get("clusterIP") is None]
    (pods,) = [one["spec"]["template"]["metadata"]["labels"] for one in hall if one["kind"] == "Deployment"]
    assert not service["spec"]["selector"].items() <= pods.items()
    assert not policy["spec"]["podSelector"]["matchLabels"].items() <= pods.items()


@pytest.mark.parametrize(("drain_s", "pause_s"), [(25, 10), (120, 30)])
def test_the_grace_of_a_pod_follows_from_its_drain_and_its_pause(drain_s: int, pause_s: int) -> None:
    objects = chart(drainTimeoutSeconds=drain_s, preStopSeconds=pause_s)
    (pod,) = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    (config,) = [one["data"] for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "fovea"]
    assert config["FOVEA_DRAIN_TIMEOUT_S"] == str(drain_s)
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", str(pause_s)]
    assert pod["terminationGracePeriodSeconds"] >= drain_s + pause_s + CLOSING_S


def test_a_changed_setting_replaces_the_pods() -> None:
    def annotations(**given: Any) -> Any:
        (one,) = [one for one in chart(**given) if one["kind"] == "Deployment"]
        return one["spec"]["template"]["metadata"]["annotations"]

    assert annotations() != annotations(config={"FOVEA_MAX_TOP_K": "3"})
    assert annotations(config={"FOVEA_MAX_TOP_K": "3"}) == annotations(config={"FOVEA_MAX_TOP_K": "3"})


def test_a_setting_reads_as_it_was_written_large_numbers_too() -> None:
    given = {"FOVEA_MAX_UPLOAD_BYTES": 536870912, "FOVEA_MAX_WAIT_S": 2.5, "FOVEA_OPEN": True, "FOVEA_MAX_TOP_K": "3"}
    (config,) = [
        one["data"] for one in chart(config=given) if (one["kind"], one["metadata"]["name"]) == ("ConfigMap", "fovea")
    ]
    assert {name: config[name] for name in given} == {
        "FOVEA_MAX_UPLOAD_BYTES": "536870912",
        "FOVEA_MAX_WAIT_S": "2.5",
        "FOVEA_OPEN": "true",
        "FOVEA_MAX_TOP_K": "3",
    }


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"autoscaling": {"by": "moon"}}, "autoscaling/by"),
        ({"drainTimeoutSecond": 3}, "drainTimeoutSecond"),
        ({"config": {"fovea_port": 1}}, "fovea_port"),
        ({"replicas": "many"}, "replicas"),
    ],
)
def test_a_value_that_means_nothing_is_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        chart(**wrong)


def test_settings_that_the_chart_names_are_settings() -> None:
    objects = chart(blobsVolume={"enabled": True}, modelsVolume={"claim": "mine"}, config=values_of("dev")["config"])
    (config,) = [one["data"] for one in objects if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "fovea"]
    (pod,) = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    named = [*config, *(one["name"] for one in pod["containers"][0]["env"])]
    assert len(named) > 7
    assert unknown_variables(named) == []


def test_a_packed_chart_holds_the_files_that_it_links_to(tmp_path: Path) -> None:
    packed = Path(helm("package", str(tmp_path)))
    with tarfile.open(packed) as archive:
        for link in (CHART / "files").iterdir():
            member = archive.extractfile(f"fovea/files/{link.name}")
            assert member is not None
            assert member.read() == link.read_bytes()
