"""AdaFocusV3's paper plans train as the paper and its authors' code do: its pixels, its augmentation, its loss."""

import pytest

from models.adafocus.config import AdaFocusConfig
from training.fit.plans import find_plan
from training.fit.recipe import Rates

PAPERS = {"paper-frame-cubes": 200, "paper-clip-cubes": 174}


@pytest.mark.parametrize(("name", "num_classes"), PAPERS.items())
def test_clips_come_from_frames_of_short_side_256_and_are_never_enlarged(name: str, num_classes: int) -> None:
    plan = find_plan(name, num_classes)
    assert (plan.clip.source_short_side_px, plan.clip.resize) == (256, "center_crop")
    assert (plan.clip.height_px, plan.clip.width_px) == (224, 224)


@pytest.mark.parametrize(("name", "num_classes"), PAPERS.items())
def test_augmentation_and_loss_are_plain(name: str, num_classes: int) -> None:
    """Multi-scale crops, a random frame of each segment, cross-entropy: no colours, no erasing, no mix-up, no
    smoothing."""
    plan = find_plan(name, num_classes)
    told = {name: value for name, value in plan.augmentation.to_dict().items() if value}
    mirrored = told.pop("flip", ())
    assert told == {"scales": (1.0, 0.875, 0.75, 0.66), "random_frames": True, "least_span": 1.0}
    assert mirrored == (("*",) if name == "paper-frame-cubes" else ())  # Something-Something tells left from right
    assert plan.recipe.label_smoothing == 0
    assert plan.recipe.auxiliary_weight == 1


def test_rates_are_those_of_its_predecessor() -> None:
    frame_cubes, clip_cubes = (find_plan(name, classes).recipe for name, classes in PAPERS.items())
    (stage,) = frame_cubes.stages
    assert (stage.epochs, stage.crops, stage.lr) == (50, "both", 0.002)
    assert (frame_cubes.rates, frame_cubes.weight_decay, frame_cubes.batch_size) == (Rates(), 1e-4, 32)
    assert [(one.crops, one.lr) for one in clip_cubes.stages] == [("random", 0.01), ("learned", 0.01)]
    assert (clip_cubes.weight_decay, clip_cubes.max_gradient_norm, clip_cubes.batch_size) == (5e-4, 20.0, 32)


@pytest.mark.parametrize(("name", "num_classes"), PAPERS.items())
def test_plans_survive_json(name: str, num_classes: int) -> None:
    plan = find_plan(name, num_classes)
    assert isinstance(plan.model, AdaFocusConfig)
    assert type(plan).from_dict(plan.to_dict(), num_classes) == plan
