"""Fitted heads are given every clip a second time, as one more round of H.264 leaves it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.recognizer import Frames
from tests.clips import noise
from tests.unit.training.test_train_command import MODEL, PLAN, cache, data, ready
from training.bundling import describe_recipe
from training.data.recompress import recompress
from training.fit.plans import TrainPlan

__all__ = ["cache", "data"]  # fixtures

FITTED = replace(
    PLAN,
    model=replace(MODEL, aggregation="average"),  # whose heads can be fitted
    recipe=replace(PLAN.recipe, fitted_heads=True, recompress_crf=30),
)


def clip(num_frames: int = 8) -> Frames:
    return np.stack([noise(number, 96, 64) for number in range(num_frames)])


def lost(clip_THWC: Frames, crf: int) -> float:
    return float(np.abs(recompress(clip_THWC, crf).astype(int) - clip_THWC).mean())


@pytest.mark.parametrize("num_frames", [1, 8])
def test_as_many_frames_of_the_same_size_come_back_the_same_every_time(num_frames: int) -> None:
    again_THWC = recompress(clip(num_frames), 30)
    assert (again_THWC.shape, again_THWC.dtype) == (clip(num_frames).shape, np.uint8)
    np.testing.assert_array_equal(again_THWC, recompress(clip(num_frames), 30))


def test_frames_keep_their_order_and_lose_more_the_higher_the_factor() -> None:
    frames_THWC = clip()
    again_THWC = recompress(frames_THWC, 20)
    nearest = [int(np.abs(frames_THWC.astype(int) - one).mean(axis=(1, 2, 3)).argmin()) for one in again_THWC]
    assert nearest == list(range(8))
    assert 0 < lost(frames_THWC, 20) < lost(frames_THWC, 35) < lost(frames_THWC, 51)


def test_odd_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="64 x 95, but to be compressed again both sides must be even"):
        recompress(clip()[:, :, :95], 30)


def test_heads_are_fitted_to_the_clips_and_to_their_copies(data: Path, cache: Path, tmp_path: Path) -> None:
    trainer = ready(data, cache, tmp_path / "run", FITTED).trainer(tmp_path / "run")
    assert trainer.plain is not None
    clips_BTHWC, labels_B = (torch.cat(parts) for parts in zip(*trainer.plain(), strict=True))
    plain_BTHWC, copies_BTHWC = clips_BTHWC.chunk(2)
    assert [tuple(half) for half in labels_B.chunk(2)] == [tuple(labels_B[: len(plain_BTHWC)])] * 2
    for plain_THWC, copy_THWC in zip(plain_BTHWC.numpy(), copies_BTHWC.numpy(), strict=True):
        np.testing.assert_array_equal(copy_THWC, recompress(plain_THWC, 30))


def test_what_is_held_out_is_scored_as_it_is(data: Path, cache: Path, tmp_path: Path) -> None:
    made = ready(data, cache, tmp_path / "run", FITTED)
    held_out = made.trainer(tmp_path / "run").held_out
    assert held_out is not None
    assert sum(len(labels_B) for _, labels_B in held_out()) == len(made.held_out)


def test_the_model_card_says_so(data: Path, cache: Path, tmp_path: Path) -> None:
    told = describe_recipe(ready(data, cache, tmp_path / "run", FITTED).run, finished=True)
    assert told.startswith("heads in closed form, on clips compressed once more (crf 30), too; 1 epochs of")


def test_a_plan_with_odd_frames_is_refused_before_anything_is_read() -> None:
    model = replace(FITTED.model, frame_size=(63, 64), glance_size=(63, 64))
    with pytest.raises(ValueError, match=r"needs even frame sides \(4:2:0\); frame_size is \(63, 64\)"):
        TrainPlan(model, replace(FITTED.clip, height_px=63), FITTED.recipe, FITTED.augmentation)
