"""A converted network on disk: what it holds, under which name it may be used, and that it stays what it was."""

import json
import shutil
from pathlib import Path

import pytest

from models import prepared
from models.bundle_format import MANIFEST, Manifest
from models.catalogue import SHIPPED
from models.prepared import ConvertedPart, Prepared, code_digest, identity_of
from models.prices import Prices

PREPARED = Prepared(
    "somebody",
    Prices(step_flops=(5, 7, 7), frame_flops=2, paper_flops=None),
    {"glance": ConvertedPart(b"heavy bytes", True), "policy": ConvertedPart(b"", False)},
)


@pytest.fixture
def manifest() -> Manifest:
    return Manifest.model_validate_json((SHIPPED / "adafocus-v3-compact" / MANIFEST).read_bytes())


def test_what_was_written_is_read_back() -> None:
    back = Prepared.from_bytes(PREPARED.to_bytes())
    assert (back.identity, back.prices) == (PREPARED.identity, PREPARED.prices)
    assert {name: (part.converted, part.heavy) for name, part in back.parts.items()} == {
        "glance": (b"heavy bytes", True),
        "policy": (b"", False),
    }


def test_other_weights_another_architecture_and_another_openvino_are_other_names(manifest: Manifest) -> None:
    config = manifest.architecture.config | {"max_cubes": 1 + manifest.architecture.config["max_cubes"]}
    others = [
        manifest.model_copy(update={"weights_sha256": "0" * 64}),
        manifest.model_copy(update={"architecture": manifest.architecture.model_copy(update={"config": config})}),
    ]
    names = {identity_of(one, "2026.4") for one in (manifest, *others)} | {identity_of(manifest, "2026.5")}
    assert len(names) == 4
    assert identity_of(manifest, "2026.4") in names


def test_what_a_bundle_says_about_itself_is_no_reason_to_convert_it_anew(manifest: Manifest) -> None:
    renamed = manifest.model_copy(update={"licence": "another"})
    assert identity_of(renamed, "2026.4") == identity_of(manifest, "2026.4")


def test_one_changed_line_of_code_is_another_name(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So prices on disk are never those of other code: they are counted anew, not believed."""
    package = tmp_path / "models"
    ignored = shutil.ignore_patterns("bundles", "__pycache__")
    shutil.copytree(Path(prepared.__file__).parent, package, ignore=ignored)
    monkeypatch.setattr(prepared, "__file__", str(package / "prepared.py"))
    code_digest.cache_clear()
    before = identity_of(manifest, "2026.4")
    code_digest.cache_clear()
    assert identity_of(manifest, "2026.4") == before
    with (package / "adafocus" / "costs.py").open("a") as file:
        file.write("# one more line\n")
    code_digest.cache_clear()
    assert identity_of(manifest, "2026.4") != before
    monkeypatch.undo()
    code_digest.cache_clear()


def test_the_name_follows_from_values_alone(manifest: Manifest) -> None:
    """Not from the order in which a file happens to list them."""
    content = json.loads(manifest.model_dump_json())
    config = content["architecture"]["config"]
    content["architecture"]["config"] = dict(reversed(config.items()))
    assert identity_of(Manifest.model_validate_json(json.dumps(content)), "1") == identity_of(manifest, "1")
