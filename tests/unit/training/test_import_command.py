"""`fovea import`, `calibrate` and `export` as typed: what they say, and how they refuse."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from cli.main import cli
from models.bundle import Bundle
from models.timesformer.config import TimeSformerConfig, tiny
from models.timesformer.foreign import under_their_names
from models.timesformer.network import build_network
from tests.unit.training.trained import make_data

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the authors' layout of random weights for two labels."""
    folder = tmp_path_factory.mktemp("source")
    config = TimeSformerConfig.from_dict(tiny(2).to_dict() | {"dim": 128, "num_frames": 8})
    tensors = under_their_names(build_network(config, 1), "official")
    torch.save({"model_state": tensors}, folder / "weights.pyth")
    (folder / "labels.txt").write_text("drift\nsquare\n")
    return folder


def typed(*words: object) -> str:
    result = RUNNER.invoke(cli, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_from_weights_to_a_calibrated_bundle_to_another_format(source: Path, tmp_path: Path) -> None:
    labels = ("--labels", source / "labels.txt")
    said = typed("import", source / "weights.pyth", *labels, "--out", tmp_path / "mine", "--stride", 2, "--task", "two")
    for words in (
        "took all",
        "assumed, the authors'",
        "channel order rgb: assumed",
        "nothing is calibrated",
        "sha256:",
    ):
        assert words in said
    data = make_data(tmp_path / "data", num_train=6, num_val=4)
    said = typed("calibrate", tmp_path / "mine", "--data", data, "--cache", tmp_path / "cache", "--threads", 1)
    assert "calibrated on 6 videos" in said
    assert Bundle.read(tmp_path / "mine").calibrated
    said = typed("export", tmp_path / "mine", "--out", tmp_path / "there", "--format", "hf")
    assert (tmp_path / "there" / "model.safetensors").exists()


def test_calibrating_a_bundle_needs_videos_and_a_run_needs_a_place(source: Path, tmp_path: Path) -> None:
    typed("import", source / "weights.pyth", "--labels", source / "labels.txt", "--out", tmp_path / "mine")
    with pytest.raises(ValueError, match="--data is missing: labelled videos"):
        RUNNER.invoke(cli, ["calibrate", str(tmp_path / "mine")], catch_exceptions=False)
    with pytest.raises(ValueError, match="--out is missing"):
        RUNNER.invoke(cli, ["calibrate", str(tmp_path)], catch_exceptions=False)
