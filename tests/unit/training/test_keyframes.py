"""Clips with keyframes in the place of some frames: which are replaced, by what, and that heads are fitted to them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.clips import cached_clip, read_number
from tests.unit.models.placed_cubes import WITHOUT_POINTS
from tests.unit.training.test_train_command import PLAN, cache, ready
from tests.unit.training.trained import make_data
from training.bundling import describe_recipe
from training.data.dataset import LIMITS
from training.data.frames import FrameStore
from training.data.keyframes import DENSE, SPARSE, Grid, StandIns, clip_with
from training.data.recompress import recompress
from training.fit.plans import TrainPlan
from training.fit.preparing import stand_ins_of
from video.clip import ClipRule
from video.file.decode import decode

__all__ = ["cache"]  # a fixture

RULE = ClipRule(16, 240, 320, "stretch", 240)
GLANCE = tuple(range(1, 16, 2))


@pytest.fixture(scope="module")
def video() -> Path:
    return cached_clip("plain.mp4", seconds=2, fps=25, size=(320, 240))  # one keyframe of its own


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("data"))


def numbers(path: Path, tolerance: float, grid: Grid) -> list[int]:
    return [read_number(one) for one in clip_with(path, RULE, LIMITS, StandIns(GLANCE, tolerance), grid)]


def exact(path: Path) -> list[int]:
    return [read_number(one) for one in decode(str(path), RULE, LIMITS).frames_THWC]


def test_keyframes_near_enough_stand_in_for_frames_of_the_glance_and_for_no_others(video: Path) -> None:
    """50 frames, a keyframe every fifth; frames of the glance are six and a quarter apart."""
    taken, untouched = numbers(video, 0.6, Grid(0.0, 0.1)), exact(video)
    assert taken[::2] == untouched[::2]
    assert all(number % 5 == 0 for number in taken[1::2])
    assert max(abs(one - other) for one, other in zip(taken, untouched, strict=True)) <= 0.6 * 6.25
    assert taken == sorted(taken)


def test_where_keyframes_are_too_far_or_there_is_no_tolerance_frames_are_exact(video: Path) -> None:
    untouched = exact(video)
    assert numbers(video, 0.0, Grid(0.0, 0.1)) == untouched
    taken = numbers(video, 0.6, Grid(0.0, 0.5))  # keyframes 0 and 25: one stands in
    assert sum(one != other for one, other in zip(taken, untouched, strict=True)) == 1
    assert numbers(video, 0.6, Grid(0.99, 1.0))[:14] == untouched[:14]


def test_a_grid_lies_within_the_bounds_of_phones() -> None:
    for seed in range(50):
        grid = Grid.drawn(np.random.default_rng(seed))
        assert DENSE <= grid.distance <= SPARSE
        assert 0 <= grid.first <= grid.distance


def test_a_file_gets_the_same_keyframes_every_time_wherever_it_lies(video: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.mp4"
    copy.write_bytes(video.read_bytes())
    wanted = StandIns(GLANCE, 0.6)
    one = FrameStore(tmp_path / "one", 240)
    clip_THWC = one.clip(video, RULE, None, wanted)
    np.testing.assert_array_equal(clip_THWC, FrameStore(tmp_path / "two", 240).clip(copy, RULE, None, wanted))
    assert not np.array_equal(clip_THWC, one.clip(video, RULE))
    np.testing.assert_array_equal(one.clip(video, RULE, 30, wanted), recompress(clip_THWC, 30))


def fitted(tolerance: float) -> TrainPlan:
    """A model whose cubes a rule places."""
    model = replace(WITHOUT_POINTS, num_classes=PLAN.model.num_classes)
    recipe = replace(
        PLAN.recipe, stages=PLAN.recipe.stages[:1], fitted_heads=True, recompress_crf=30, keyframe_tolerance=tolerance
    )
    clip = ClipRule(model.num_frames, *model.frame_size, "stretch", source_short_side_px=64)
    return TrainPlan(model, clip, recipe, PLAN.augmentation)


def test_heads_are_fitted_to_the_clips_their_copies_and_both_with_keyframes(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    made = ready(data, cache, tmp_path / "run", fitted(0.6))
    trainer = made.trainer(tmp_path / "run")
    assert trainer.plain is not None
    clips_BTHWC, labels_B = (torch.cat(parts) for parts in zip(*trainer.plain(), strict=True))
    plain, copies, moved, moved_copies = (part.numpy() for part in clips_BTHWC.chunk(4))
    assert all(torch.equal(labels_B[: len(plain)], part) for part in labels_B.chunk(4))
    assert made.run.recipe.num_forms == 4
    others = sorted(set(range(WITHOUT_POINTS.num_frames)) - {*WITHOUT_POINTS.glance_indices})
    np.testing.assert_array_equal(plain[:, others], moved[:, others])
    assert not np.array_equal(plain, moved), "every frame of these videos differs from its neighbours"
    np.testing.assert_array_equal(copies[0], recompress(plain[0], 30))
    np.testing.assert_array_equal(moved_copies[0], recompress(moved[0], 30))
    told = describe_recipe(made.run, finished=True)
    assert "and with keyframes for the glance's frames (as far as 0.6), too" in told


def test_heads_are_fitted_to_clips_that_begin_earlier_and_later_too(data: Path, cache: Path, tmp_path: Path) -> None:
    plan = fitted(0.0)
    plan = replace(plan, recipe=replace(plan.recipe, recompress_crf=None, moved_frames=2))
    made = ready(data, cache, tmp_path / "run", plan)
    assert "begun 2 frame(s) earlier and later, too" in describe_recipe(made.run, finished=True)
    trainer = made.trainer(tmp_path / "run")
    assert trainer.plain is not None
    batches = list(trainer.plain())
    assert made.run.recipe.num_forms == 3
    num_batches = len(batches) // 3
    plain, *others = batches[:num_batches]
    earlier, later = batches[num_batches : num_batches + 2]
    assert sum(len(labels_B) for _, labels_B in batches) == 3 * sum(len(labels_B) for _, labels_B in (plain, *others))
    assert torch.equal(plain[1], earlier[1])
    assert torch.equal(plain[1], later[1])
    assert torch.equal(earlier[0], plain[0][:, [0, 0, 0, 1, 2, 3]])
    assert torch.equal(later[0], plain[0][:, [2, 3, 4, 5, 5, 5]])


def test_without_a_tolerance_no_clip_has_them(data: Path, cache: Path, tmp_path: Path) -> None:
    made = ready(data, cache, tmp_path / "run", fitted(0.0))
    assert stand_ins_of(made.run) is None
    plain = made.trainer(tmp_path / "run").plain
    assert plain is not None
    assert sum(len(labels_B) for _, labels_B in plain()) == 2 * len(made.batches.dataset)


def test_a_model_whose_cubes_may_look_elsewhere_is_refused(data: Path, cache: Path, tmp_path: Path) -> None:
    recipe = replace(PLAN.recipe, fitted_heads=True, keyframe_tolerance=0.6)
    plan = replace(PLAN, model=replace(PLAN.model, aggregation="average"), recipe=recipe)
    with pytest.raises(ValueError, match=r"keyframe_tolerance is 0\.6, but keyframes can stand in only where"):
        ready(data, cache, tmp_path / "run", plan)
