"""`python -m benchmarks.gpu` where there is no GPU: it says so and ends well; what it computes is computed rightly."""

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from models.adafocus.network import build_network
from models.adafocus.shapes import tiny


def test_without_a_gpu_it_says_not_run_and_why_and_ends_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    report = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu", "--json", str(report)])
    gpu.main()
    said = capsys.readouterr().out
    assert said.startswith("not run: torch ")
    assert json.loads(report.read_text()) == {"not_run": said.removeprefix("not run: ").strip()}


@pytest.mark.slow
def test_every_precision_computes_what_fp32_does_up_to_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    network = build_network(tiny(), seed=0)
    pixels = torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rows = gpu.measure("tiny", "glance", network.glance, pixels, torch.device("cpu"))
    assert [(row.precision, row.way) for row in rows] == [("fp32", "eager"), ("bf16", "eager"), ("fp16", "eager")]
    assert rows[0].same == 0
    assert 0 < rows[1].same < 0.3, "random weights: 0.16 seen"
    assert 0 < rows[2].same < 0.1


def test_a_video_at_all_steps_costs_a_glance_and_its_cubes() -> None:
    name, config = next(iter(gpu.ADAFOCUS.items()))
    rows = [
        gpu.Row(name, "glance", "bf16", "graph", 10.0, 800.0, 0.0),
        gpu.Row(name, "1 cube", "bf16", "graph", 5.0, 1600.0, 0.0),
        gpu.Row("TimeSformer 8 x 224", "view", "bf16", "graph", 10.0, 800.0, 0.0),
    ]
    (found,) = gpu.videos(rows)
    assert found.at_the_glance_per_s == 800.0
    assert found.at_all_steps_per_s == pytest.approx(8000 / (10 + config.max_cubes * 5))


def test_decoding_on_a_card_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = gpu.write_clip(tmp_path / "a.mp4", seconds=0.4, size=(64, 48))
    assert gpu.decoded(path, "software", None).frames_per_s
    found = gpu.decoded(path, "abacus", "abacus")
    assert found.frames_per_s is None
    assert "PyAV" in str(found.not_run)
