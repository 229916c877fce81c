"""Heads judged on features that are kept: they say what the recognizer says, and encoders run once a clip."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.adafocus.config import AdaFocusConfig
from models.adafocus.placed import build_any
from models.families import find_family
from models.runtime import RuntimeConfig, make_runtime
from tests.unit.training.test_whole_frames import PLACED as OF_WHOLE_FRAMES
from training.families import training_of
from training.judge.calibrate import observe
from training.kept_features import observe_kept
from video.clip import ClipRule

PLACED = replace(OF_WHOLE_FRAMES, key_points=True)
RULE = ClipRule(PLACED.num_frames, *PLACED.frame_size, "stretch")
CLIPS = list(np.random.default_rng(0).integers(0, 256, (3, PLACED.num_frames, *PLACED.frame_size, 3), dtype=np.uint8))


def network_of(seed: int, config: AdaFocusConfig = PLACED) -> torch.nn.Module:
    """Encoders are the same for all seeds; heads are drawn."""
    network = build_any(config, seed=0).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for head in training_of(network).regressions(network):
            for weight in head.weights:
                weight.copy_(torch.randn(weight.shape, generator=generator) / weight.shape[1] ** 0.5)
    return network


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_they_say_what_the_recognizer_says_at_every_exit(tmp_path: Path, share: float) -> None:
    network = network_of(1, replace(PLACED, recycled_share=share))
    family, runtime = find_family("adafocus_v3"), make_runtime(RuntimeConfig("torch", "fp32", num_threads=1))
    num_exits = len(family.step_flops(PLACED))
    by_recognizer = observe(family.make_recognizer(network, RULE, [1.0] * num_exits, runtime), CLIPS)
    kept = observe_kept(network, tmp_path, CLIPS, batch_size=2)
    assert kept.shape == (len(CLIPS), num_exits, PLACED.num_classes)
    np.testing.assert_allclose(kept, by_recognizer, atol=1e-3)


def test_networks_that_differ_in_heads_alone_share_what_the_encoders_see(tmp_path: Path) -> None:
    one = observe_kept(network_of(1), tmp_path, CLIPS)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    other = observe_kept(network_of(2), tmp_path, CLIPS)
    assert len(files) == len(CLIPS)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == files
    assert np.abs(one - other).max() > 0.01
    np.testing.assert_array_equal(observe_kept(network_of(1), tmp_path, CLIPS), one)
