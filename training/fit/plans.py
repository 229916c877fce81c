"""What to train and how, by name or from a JSON file: model, clip rule, recipe and augmentation together.

Knows no data and no family: each brings its plans along. `fovea train --show-plan` prints a plan; edited, it is a plan
of one's own.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from models.families import find_family
from models.family import ModelConfig
from training.data.augment import Augmentation
from training.families import TRAININGS, find_training
from training.fit.overrides import overridden
from training.fit.recipe import Recipe
from training.fit.run import ModelPlan
from video.clip import ClipRule


@dataclass(frozen=True, slots=True)
class TrainPlan:
    model: ModelConfig
    clip: ClipRule
    recipe: Recipe
    augmentation: Augmentation

    def __post_init__(self) -> None:
        wanted = (self.model.num_frames, *self.model.frame_size)
        if (self.clip.num_frames, self.clip.height_px, self.clip.width_px) != wanted:
            raise ValueError(f"the clip rule {self.clip} must give the {wanted} (frames, rows, columns) of the model")
        training = find_training(self.model.family)
        if self.recipe.training_frames is not None and not training.any_length:
            raise ValueError(f"training_frames is {self.recipe.training_frames}, but {training.family.title} sees all")
        if self.recipe.moved_frames >= self.clip.num_frames:
            raise ValueError(
                f"moved_frames is {self.recipe.moved_frames}, but must be less than a clip's {self.clip.num_frames} "
                "frames: begun so much later, nothing of it is left; 1 is usual"
            )
        if self.recipe.recompress_crf is not None and any(side % 2 for side in self.model.frame_size):
            raise ValueError(f"recompress_crf needs even frame sides (4:2:0); frame_size is {self.model.frame_size}")

    def to_dict(self) -> dict[str, Any]:
        return {
            "family": self.model.family,
            "model": self.model.to_dict(),
            "clip": asdict(self.clip),
            "recipe": self.recipe.to_dict(),
            "augmentation": self.augmentation.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], num_classes: int) -> "TrainPlan":
        """Strict; `num_classes` is the data's, whatever the file says."""
        wanted = {"family", "model", "clip", "recipe", "augmentation"}
        values = {"family": "adafocus_v3"} | dict(values)  # plans written before there was another
        if set(values) != wanted:
            raise ValueError(f"a plan has the entries {sorted(wanted)}, but this one has {sorted(values)}")
        try:
            return cls(
                model=find_family(values["family"]).read_config({**values["model"], "num_classes": num_classes}),
                clip=ClipRule(**values["clip"]),
                recipe=Recipe.from_dict(values["recipe"]),
                augmentation=Augmentation.from_dict(values["augmentation"]),
            )
        except TypeError as error:
            raise ValueError(f"not a plan: {error}") from error

    def model_plan(self, baseline: str | None) -> ModelPlan:
        """The model itself, or its full-frame baseline of that name. ValueError where it has none such."""
        model = self.model if baseline is None else find_training(self.model.family).baseline(self.model, baseline)
        return ModelPlan(model.family, model.to_dict())


def named_plans() -> dict[str, Callable[[int], TrainPlan]]:
    """Of all families."""
    return {name: plan for family in TRAININGS for name, plan in find_training(family).plans.items()}


def find_plan(name_or_path: str, num_classes: int, overrides: Sequence[str] = ()) -> TrainPlan:
    """One of `named_plans`, or a JSON file; with `overrides`, NAME=VALUE, in place of what stands there.

    Raises ValueError for an unknown name, for a file that is no plan, and for an override that cannot be.
    """
    plan = _found(name_or_path, num_classes)
    if not overrides:
        return plan
    values = overridden(plan.to_dict(), overrides)
    try:
        TypeAdapter(ClipRule).validate_json(json.dumps(values["clip"]), strict=True)
        return TrainPlan.from_dict(values, num_classes)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"--set clip.{'.'.join(map(str, first['loc']))}={first['input']}: {first['msg']}") from error
    except ValueError as error:
        raise ValueError(f"--set {' --set '.join(overrides)}: {error}") from error


def _found(name_or_path: str, num_classes: int) -> TrainPlan:
    plans = named_plans()
    if name_or_path in plans:
        return plans[name_or_path](num_classes)
    path = Path(name_or_path)
    try:
        return TrainPlan.from_dict(json.loads(path.read_text(encoding="utf-8")), num_classes)
    except OSError as error:
        known = ", ".join(plans)
        raise ValueError(
            f"{name_or_path!r} is neither a plan ({known}) nor a readable file ({error.strerror})"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def cropped(model: ModelConfig, source_short_side_px: int = 160) -> ClipRule:
    """Cropped to one aspect, since the shape of a frame must not hint at its class."""
    return ClipRule(model.num_frames, *model.frame_size, "center_crop", source_short_side_px)
