"""What to train and how, by name or from a JSON file: model, clip rule, recipe and augmentation together.

Knows no data. `fovea train --show-plan` prints a plan; edited, it is a plan of one's own.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

from models.adafocus.config import AdaFocusConfig, clip_cubes, compact, frame_cubes
from models.backbones.config import BackboneConfig
from models.families import Family, ModelConfig, family_of, read_config
from models.mobile_former.config import MobileFormerConfig, former_1g, former_2g, former_5g, former_560m
from models.mobile_former.config import compact as compact_former
from training.data.augment import MILD, SMALL_SET, Augmentation
from training.fit import mobile_former_recipes
from training.fit.baselines import FullFrameConfig
from training.fit.recipe import Rates, Recipe, Stage
from training.fit.run import ModelPlan
from video.clip import ClipRule

Baseline: TypeAlias = Literal["tsn", "tsm", "tsn+", "tsm+"]


@dataclass(frozen=True, slots=True)
class Plan:
    model: ModelConfig
    clip: ClipRule
    recipe: Recipe
    augmentation: Augmentation

    def __post_init__(self) -> None:
        wanted = (self.model.num_frames, *self.model.frame_size)
        if (self.clip.num_frames, self.clip.height_px, self.clip.width_px) != wanted:
            raise ValueError(f"the clip rule {self.clip} must give the {wanted} (frames, rows, columns) of the model")
        if self.recipe.training_frames is not None and isinstance(self.model, AdaFocusConfig):
            raise ValueError(f"training_frames is {self.recipe.training_frames}, but AdaFocusV3 sees all")
        if self.recipe.recompress_crf is not None and any(side % 2 for side in self.model.frame_size):
            raise ValueError(f"recompress_crf needs even frame sides (4:2:0); frame_size is {self.model.frame_size}")

    def to_dict(self) -> dict[str, Any]:
        return {
            "family": family_of(self.model),
            "model": self.model.to_dict(),
            "clip": asdict(self.clip),
            "recipe": self.recipe.to_dict(),
            "augmentation": self.augmentation.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], num_classes: int) -> "Plan":
        """Strict; `num_classes` is the data's, whatever the file says."""
        wanted = {"family", "model", "clip", "recipe", "augmentation"}
        values = {"family": "adafocus_v3"} | dict(values)  # plans written before there was another
        if set(values) != wanted:
            raise ValueError(f"a plan has the entries {sorted(wanted)}, but this one has {sorted(values)}")
        try:
            return cls(
                model=read_config(_family(values["family"]), {**values["model"], "num_classes": num_classes}),
                clip=ClipRule(**values["clip"]),
                recipe=Recipe.from_dict(values["recipe"]),
                augmentation=Augmentation.from_dict(values["augmentation"]),
            )
        except TypeError as error:
            raise ValueError(f"not a plan: {error}") from error

    def model_plan(self, baseline: Baseline | None) -> ModelPlan:
        """The model itself, or its full-frame baseline with the same backbones and schedule."""
        if baseline is None:
            return ModelPlan(family_of(self.model), self.model.to_dict())
        if not isinstance(self.model, AdaFocusConfig):
            raise ValueError(
                f"baseline {baseline!r} has AdaFocusV3's backbones; a Video Mobile-Former's baseline is a plan whose "
                "model says former: false and activation: relu"
            )
        config = FullFrameConfig(self.model, baseline.startswith("tsm"), baseline.endswith("+"))
        return ModelPlan("full_frame", config.to_dict())


def find_plan(name_or_path: str, num_classes: int) -> Plan:
    """One of PLANS, or a JSON file. Raises ValueError for an unknown name and for a file that is no plan."""
    if name_or_path in PLANS:
        return PLANS[name_or_path](num_classes)
    path = Path(name_or_path)
    try:
        return Plan.from_dict(json.loads(path.read_text(encoding="utf-8")), num_classes)
    except OSError as error:
        known = ", ".join(PLANS)
        raise ValueError(
            f"{name_or_path!r} is neither a plan ({known}) nor a readable file ({error.strerror})"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _family(name: str) -> Family:
    if name not in get_args(Family):
        raise ValueError(f"family is {name!r}, but must be one of {', '.join(get_args(Family))}")
    return cast(Family, name)


def _compact(num_classes: int, glance_indices: tuple[int, ...] = tuple(range(1, 16, 2))) -> Plan:
    """What `adafocus-v3-compact` was made with: half a thousand clips on two cores.

    Every other one of sixteen whole frames to glance at, at half of the pixels; cubes of eight differences of
    neighbouring frames at all of them. The networks see each image alone and stay as ImageNet left them; the classifier
    sees what changes over time, its heads by ridge regression on clips as they are and compressed once more. The policy
    alone is learnt by gradient (decisions 0007, 0012 and 0014 to 0016).
    """
    model = replace(
        compact(num_classes),
        frame_size=(128, 176),
        glance_indices=glance_indices,
        glance_size=(96, 128),
        glance=BackboneConfig("mobilenet_v2"),
        cube_size=(9, 128, 128),
        max_cubes=3,
        aggregation="joint_statistics",
        focus_input="differences",
        dropout=0.5,
    )
    recipe = Recipe(
        stages=(Stage(1, "learned", ("policy",), lr=1e-3),),
        rates=Rates(policy=1.0),
        optimizer="adamw",
        weight_decay=0.05,
        label_smoothing=0.1,
        max_gradient_norm=5.0,
        warmup_epochs=0.5,
        random_depth=True,
        fitted_heads=True,
        recompress_crf=28,
        average_decay=0.99,
        folds=5,
    )
    clip = replace(_clip(model), resize="stretch")  # whole frames: across held-out groups four points above a crop
    return Plan(model, clip, recipe, MILD)


def _frame_cubes(num_classes: int) -> Plan:
    """Two MobileNetV2s over 16 whole frames: random plain cubes first, then the policy alone."""
    model = replace(
        compact(num_classes),
        frame_size=(160, 208),
        glance_size=(160, 208),
        glance=BackboneConfig("mobilenet_v2"),
        max_cubes=4,
        dropout=0.5,
    )
    return Plan(model, _clip(model), _small_set_stages(20, 4), SMALL_SET)


def _clip_cubes(num_classes: int) -> Plan:
    """The same with temporal shift: 8 glance frames, cubes of 8 frames out of 16."""
    model = replace(
        compact(num_classes),
        frame_size=(160, 208),
        glance_indices=tuple(range(0, 16, 2)),
        glance_size=(160, 208),
        glance=BackboneConfig("mobilenet_v2"),
        cube_size=(8, 96, 96),
        max_cubes=2,
        temporal_shift=True,
        aggregation="average",
        dropout=0.5,
    )
    return Plan(model, _clip(model), _small_set_stages(20, 4), SMALL_SET)


def _paper_frame_cubes(num_classes: int) -> Plan:
    """The paper's model and V2's schedule for ActivityNet. Needs a GPU."""
    model = frame_cubes(num_classes)
    recipe = Recipe((Stage(50, "both", lr=0.002),), batch_size=32, warmup_epochs=0, max_gradient_norm=None)
    return Plan(model, _clip(model, source_short_side_px=256), recipe, SMALL_SET)


def _paper_clip_cubes(num_classes: int) -> Plan:
    """The paper's model with temporal shift, in its two stages, rates of V2 for Something-Something. Needs a GPU."""
    model = clip_cubes(num_classes)
    recipe = replace(_two_stages(50, 10), batch_size=32, rates=Rates(policy=0.01), weight_decay=5e-4, warmup_epochs=0.0)
    return Plan(model, _clip(model), recipe, SMALL_SET)


def _vmf_compact(num_classes: int) -> Plan:
    """Two cores, hundreds of clips, some twenty minutes."""
    model = compact_former(num_classes)
    return Plan(model, _clip(model), mobile_former_recipes.small_set(), mobile_former_recipes.SMALL)


def _paper_vmf(variant: Callable[[int], MobileFormerConfig], num_classes: int) -> Plan:
    """A variant of the paper as it was trained, as far as the paper says. Needs GPUs."""
    model = variant(num_classes)
    clip = _clip(model, source_short_side_px=256)
    return Plan(model, clip, mobile_former_recipes.paper(model), mobile_former_recipes.KINETICS)


def _two_stages(epochs: int, policy_epochs: int) -> Recipe:
    """Section 4.2: encoders and classifier on random cubes, then the policy alone. Plain random cubes cost least."""
    return Recipe(
        stages=_stages(epochs, policy_epochs, lr=0.01, policy_lr=0.01),
        rates=Rates(policy=1.0),
        weight_decay=5e-4,
        label_smoothing=0.1,
        interpolate_random=False,
    )


def _small_set_stages(epochs: int, policy_epochs: int) -> Recipe:
    """The same for hundreds of clips in batches of 8, where SGD at V2's rates diverged (decision 0006)."""
    return replace(
        _two_stages(epochs, policy_epochs),
        stages=_stages(epochs, policy_epochs, lr=3e-4, policy_lr=1e-3),
        rates=Rates(glance=1.0, policy=1.0),
        optimizer="adamw",
        weight_decay=0.02,
    )


def _stages(epochs: int, policy_epochs: int, *, lr: float, policy_lr: float) -> tuple[Stage, Stage]:
    return (
        Stage(epochs, "random", ("glance", "focus", "classifier"), lr=lr),
        Stage(policy_epochs, "learned", ("policy",), lr=policy_lr),
    )


def _clip(model: ModelConfig, source_short_side_px: int = 160) -> ClipRule:
    """Cropped to one aspect, since the shape of a frame must not hint at its class."""
    return ClipRule(model.num_frames, *model.frame_size, "center_crop", source_short_side_px)


PLANS: Mapping[str, Callable[[int], Plan]] = {
    "compact": _compact,
    "compact-16-frames": partial(_compact, glance_indices=tuple(range(16))),  # whose baseline looks at every frame
    "frame-cubes": _frame_cubes,
    "clip-cubes": _clip_cubes,
    "paper-frame-cubes": _paper_frame_cubes,
    "paper-clip-cubes": _paper_clip_cubes,
    "vmf-compact": _vmf_compact,
    "paper-vmf-560m": partial(_paper_vmf, former_560m),
    "paper-vmf-1g": partial(_paper_vmf, former_1g),
    "paper-vmf-2g": partial(_paper_vmf, former_2g),
    "paper-vmf-5g": partial(_paper_vmf, former_5g),
}
