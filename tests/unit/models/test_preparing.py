"""Where a bundle's converted form comes from, and what becomes of families that have none."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cli.main import cli
from models import load_model
from models.adafocus import family as adafocus
from models.adafocus.recognizer import AdaFocusState
from models.adafocus.shapes import tiny
from models.listing import read_listing
from models.loading import Model
from models.preparing import prepare
from models.runtime import RuntimeConfig, make_runtime
from models.runtime.openvino_runtime import OpenVinoRuntime, import_openvino
from training.data.synthetic import LABELS
from training.untrained import build_untrained

pytestmark = pytest.mark.skipif(import_openvino() is None, reason="OpenVINO does not import here")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    build_untrained(folder, config=tiny(len(LABELS)), num_clips=8)
    return folder


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "tiny"))


@pytest.fixture(scope="module")
def filled(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the converted bundle."""
    folder = tmp_path_factory.mktemp("cache")
    runtime = make_runtime(config())
    assert isinstance(runtime, OpenVinoRuntime)
    prepare([read_listing(sound)], runtime, folder)
    return folder


@pytest.fixture
def cache(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "cache"))


def config(cache_dir: Path | None = None) -> RuntimeConfig:
    return RuntimeConfig(name="openvino", precision="fp32", num_threads=1, cache_dir=cache_dir)


def answer(model: Model) -> AdaFocusState:
    rule = model.bundle.clip_rule
    clip = np.random.default_rng(0).integers(0, 256, (rule.num_frames, rule.height_px, rule.width_px, 3), np.uint8)
    (state,) = model.recognizer.focus(model.recognizer.glance([clip]))
    assert isinstance(state, AdaFocusState)
    return state


def test_without_a_cache_it_is_converted_and_nothing_is_left(bundle: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = sorted(bundle.iterdir())
    with caplog.at_level(logging.INFO):
        load_model(bundle, runtime=config())
    assert caplog.text.count("converting tiny for OpenVINO") == 1
    assert sorted(bundle.iterdir()) == before


def test_a_damaged_entry_of_the_cache_is_converted_anew(
    bundle: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = make_runtime(config())
    assert isinstance(runtime, OpenVinoRuntime)
    listing = read_listing(bundle)
    whole = prepare([listing], runtime, cache)[bundle]
    (entry,) = cache.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    assert caplog.text == ""
    again = prepare([listing], runtime, cache)[bundle]
    assert "is damaged" in caplog.text
    assert again.prices == whole.prices
    assert again.parts.keys() == whole.parts.keys()


def test_a_family_that_states_no_parts_is_served_with_torch_and_answers_the_same(
    bundle: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = answer(load_model(bundle, runtime=config(cache)))
    assert isinstance(light.glance_G, np.ndarray)
    monkeypatch.setattr(adafocus, "FAMILY", replace(adafocus.FAMILY, light=None))
    heavy = answer(load_model(bundle, runtime=config()))
    assert heavy.cube == light.cube
    assert np.abs(heavy.probabilities_C - light.probabilities_C).max() < 1e-6
    with pytest.raises(ValueError, match="tiny: AdaFocusV3 is served with torch and cannot be converted"):
        CliRunner().invoke(cli, ["convert", str(bundle)], catch_exceptions=False)


def test_on_torch_a_state_holds_tensors(bundle: Path) -> None:
    state = answer(load_model(bundle, runtime=RuntimeConfig(name="torch", precision="fp32", num_threads=1)))
    assert isinstance(state.glance_G, torch.Tensor)


def test_fovea_convert_puts_the_form_into_the_bundles_folder_once_and_it_is_found_there(
    bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = CliRunner().invoke(cli, ["convert", str(bundle)], catch_exceptions=False)
    entry = Path(first.stdout.strip().splitlines()[-1])
    assert entry.parent == bundle / "converted"
    written_ns = entry.stat().st_mtime_ns
    second = CliRunner().invoke(cli, ["convert", str(bundle)], catch_exceptions=False)
    assert second.stdout.strip().splitlines()[-1] == str(entry)
    assert entry.stat().st_mtime_ns == written_ns
    caplog.clear()
    with caplog.at_level(logging.INFO):
        load_model(bundle, runtime=config())
    assert "converting" not in caplog.text
