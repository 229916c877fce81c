"""Which of the bundles found is the default: `model=auto` answers its task."""

import json
from pathlib import Path

import pytest

from models.adafocus.shapes import tiny
from service.settings import Settings
from service.wiring.recognising import load_models
from training.data.synthetic import LABELS
from training.untrained import build_untrained


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a` and `b` are untrained; `c` says that it was trained."""
    folder = tmp_path_factory.mktemp("bundles")
    for name in "abc":
        build_untrained(folder / name, config=tiny(len(LABELS)), num_clips=24)
    manifest = folder / "c" / "bundle.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"trained": True}))
    return folder


def loaded(bundles: Path, **settings: str) -> list[str]:
    found = load_models(Settings(bundles=(bundles,), shipped_bundles=False, runtime="torch", **settings))
    return [model.bundle.name for model in found]


def test_a_trained_bundle_comes_before_an_untrained_one(bundles: Path) -> None:
    assert loaded(bundles) == ["c", "a", "b"]


def test_the_default_that_was_asked_for_comes_first(bundles: Path) -> None:
    assert loaded(bundles, default_model="b") == ["b", "c", "a"]


def test_a_default_that_is_not_there_is_named_with_those_that_are(bundles: Path) -> None:
    with pytest.raises(ValueError, match="FOVEA_DEFAULT_MODEL='d' is not among the bundles found: a, b, c"):
        loaded(bundles, default_model="d")
