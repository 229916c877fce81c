"""How a network is trained, as a value that goes into JSON and back: stages, rates, batches, precision, savings.

Knows no network, no data and no file. The defaults are AdaFocusV2's as V3 names them (facts: docs/decisions/0006).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeAlias, get_args

from pydantic import TypeAdapter, ValidationError

from training.fit.head_fit import HeadFit

Crops: TypeAlias = Literal["learned", "random", "both", "alternate"]
"""Which cubes a step trains on: the policy's, uniformly random ones, both (Eq. 1's average), or now one, now the other
(the same average over two steps, at half the price)."""
Optimizer: TypeAlias = Literal["sgd", "adamw"]
Gradient: TypeAlias = Literal["deep", "pixel"]
"""Through what the policy learns: interpolated deep features (Eq. 5-6), or pixels (AdaFocusV2)."""
Precision: TypeAlias = Literal["fp32", "bf16"]

_WORST_CRF = 51  # of H.264 with 8 bits a colour

PARTS = ("glance", "policy", "focus", "classifier")
"""What has a learning rate and can be frozen. `classifier` includes the auxiliary heads; a Video Mobile-Former is one
part, and goes by that name."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of training with its own cosine. Parts not in `trains` are frozen: no gradient, eval mode."""

    epochs: int
    crops: Crops = "both"
    trains: tuple[str, ...] = PARTS
    lr: float = 0.01

    def __post_init__(self) -> None:
        _at_least(1, epochs=self.epochs)
        _above_zero(lr=self.lr)
        _one_of(Crops, crops=self.crops)
        if unknown := sorted(set(self.trains) - set(PARTS)):
            raise ValueError(f"trains names {unknown}, but the parts of a network are {', '.join(PARTS)}")
        if not self.trains:
            raise ValueError(f"trains is empty, but a stage must train something: name some of {', '.join(PARTS)}")
        if self.crops == "random" and self.trains == ("policy",):
            raise ValueError("random cubes teach the policy nothing; train it on learned ones")


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning rates relative to the stage's (V2's for ActivityNet). Above 0: what is to stay is left out of `trains`,
    or named in `frozen`."""

    glance: float = 0.5
    policy: float = 0.1
    focus: float = 1.0
    classifier: float = 5.0

    def __post_init__(self) -> None:
        _above_zero(**{f"rates.{part}": getattr(self, part) for part in PARTS})


@dataclass(frozen=True, slots=True)
class Recipe:
    """Raises ValueError naming the value, the rule and the way out."""

    stages: tuple[Stage, ...]
    batch_size: int = 8
    """Clips that go through the network together: what batch norms average over."""
    accumulation: int = 1
    """Batches per optimiser step."""
    rates: Rates = field(default_factory=Rates)
    optimizer: Optimizer = "sgd"
    momentum: float = 0.9
    """SGD's; AdamW takes it as beta_1."""
    weight_decay: float = 1e-4
    """Not of biases, batch norms and other one-dimensional parameters."""
    warmup_epochs: float = 1.0
    """Linear, at the start of every stage."""
    max_gradient_norm: float | None = 20.0
    fitted_heads: bool = False
    """The heads' starting weights are computed in closed form from clips as inference sees them (`heads`), not drawn.
    In a stage that trains the policy and not the heads they are computed again before each score, on its cubes, too."""
    head_fit: HeadFit = field(default_factory=HeadFit)
    """How they weigh classes, copies of a clip and blocks of features."""
    heads_apart: bool = False
    """In such a stage the heads that teach the policy are fitted without its clips: two halves of the groups, each
    taught by the other's heads (`apart`). Heads know their own clips by heart and judge all places of them alike."""
    recompress_crf: int | None = None
    """Fitted heads are given every clip twice, as it is and after one more round of H.264 at this constant rate factor:
    videos come in many qualities, and differences of frames show it. None: as it is."""
    keyframe_tolerance: float = 0.0
    """Fitted heads are given every clip also with keyframes in the place of the glance's frames, as far as so large a
    share of those frames' distance (`training.data.keyframes`): answers bear it then. 0: with exact frames alone."""
    skip_loop_filter: bool = False
    """The bundle says that its frames may be decoded without the loop filter. Nothing is learnt for it: what it costs
    was measured (`benchmarks.loop_filter`)."""
    moved_frames: int = 0
    """Fitted heads are given every clip also begun so many of its frames earlier and later, the first or last one
    repeated: an action lies elsewhere in every video. 0: as it is."""
    average_decay: float = 0.0
    """Of the running average of the weights (0.99: of about the last hundred steps), which then is what is scored and
    kept; 0: the weights themselves."""
    auxiliary_weight: float = 1.0
    """Of V2's two auxiliary cross-entropies beside that of the exits."""
    label_smoothing: float = 0.0
    frozen: tuple[str, ...] = ()
    """Modules and parameters that stay as they were initialised, by whole parts of their names:
    `glance.backbone.features.1` (a dot at the end changes nothing) is not `features.10`. Nothing is propagated back
    below the first layer that learns."""
    frozen_batch_norm: bool = False
    """Both encoders' batch norms keep the statistics they came with (their scales and offsets learn)."""
    gradient: Gradient = "deep"
    interpolate_random: bool = True
    """Random cubes are enlarged and interpolated as learned ones (Eq. 5). False: plain cubes, as at inference, for a
    third of the price; random cubes carry no gradient to the policy either way."""
    random_depth: bool = False
    """Train only the first k cubes of a step, k uniform in 1..K, exits weighted so that Eq. 1 is met on average."""
    precision: Precision = "bf16"
    """bf16: autocast; parameters, optimiser, policy and heads stay fp32."""
    balanced: bool = True
    """Classes are drawn equally often."""
    evaluate_every_epochs: int = 1
    patience_epochs: int | None = None
    """Stop a stage after so many epochs without a better score on the held-out groups; None: never."""
    held_out_share: float = 0.2
    """Of the training groups: for early stopping, temperatures and thresholds, never trained on."""
    folds: int = 0
    """At least 2: cross-fit. A network is trained without each fold of the groups, to calibrate on what it did not see;
    then one on everything, which is the result. No stage stops early: that would flatter the folds. 0: hold out."""
    fold_deals: int = 1
    """How often the groups are dealt into folds anew, a network for each fold of each deal (repeated cross-validation):
    accuracies out of fold are the mean over the deals, and thresholds are solved on all of them. One deal may be points
    off. Without folds it means nothing."""
    training_frames: int | None = None
    """Train a Video Mobile-Former on clips of so many frames, as its paper does (32, to be used with 64); None: on as
    many as the clip rule says."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.stages and not self.fitted_heads:
            raise ValueError("stages is empty, but a recipe needs at least one, or fitted_heads")
        if self.folds < 0 or self.folds == 1:
            raise ValueError(f"folds is {self.folds}, but must be 0 (hold a share out) or at least 2")
        if self.folds and self.patience_epochs is not None:
            raise ValueError("patience_epochs needs videos held out, and folds leave none; take one of the two")
        _at_least(1, fold_deals=self.fold_deals)
        _at_least(1, batch_size=self.batch_size, accumulation=self.accumulation, training_frames=self.training_frames)
        _at_least(1, evaluate_every_epochs=self.evaluate_every_epochs, patience_epochs=self.patience_epochs)
        _at_least(0, seed=self.seed, warmup_epochs=self.warmup_epochs, weight_decay=self.weight_decay)
        _at_least(0, auxiliary_weight=self.auxiliary_weight)
        _check_recompress(self)
        if self.heads_apart and not self.fitted_heads:
            raise ValueError("heads_apart is for fitted heads; set fitted_heads, or leave it out")
        _above_zero(max_gradient_norm=self.max_gradient_norm)
        _one_of(Optimizer, optimizer=self.optimizer)
        _one_of(Gradient, gradient=self.gradient)
        _one_of(Precision, precision=self.precision)
        if self.keyframe_tolerance and not self.fitted_heads:
            raise ValueError("keyframe_tolerance is for fitted heads; set fitted_heads, or leave it out")
        _at_least(0, moved_frames=self.moved_frames)
        if self.moved_frames and not self.fitted_heads:
            raise ValueError("moved_frames is for fitted heads; set fitted_heads, or leave it out")
        for name in ("momentum", "label_smoothing", "average_decay", "keyframe_tolerance"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must lie in [0, 1)")
        if not 0 < self.held_out_share < 1:
            raise ValueError(
                f"held_out_share is {self.held_out_share}, but must lie between 0 and 1: calibration needs videos "
                "that nobody trained on; 0.2 is usual"
            )

    @property
    def num_forms(self) -> int:
        """In which fitted heads are given each clip: compressed once more or not, with keyframes or not, and moved."""
        plain = (1 + (self.recompress_crf is not None)) * (1 + bool(self.keyframe_tolerance))
        return plain + 2 * bool(self.moved_frames)

    @property
    def num_fold_networks(self) -> int:
        """Of all deals; 0 where a share is held out instead."""
        return self.folds * self.fold_deals

    def to_dict(self) -> dict[str, Any]:
        """Plain values: `from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """Strict: ValueError for a missing, unknown or ill-typed entry."""
        try:
            if unknown := sorted(set(values) - {entry.name for entry in fields(cls)}):
                raise ValueError(f"unknown entries {unknown}; known are {[entry.name for entry in fields(cls)]}")
            plain = {name: _tuples(value) for name, value in values.items()}
            plain["stages"] = tuple(
                Stage(**{name: _tuples(value) for name, value in stage.items()}) for stage in values["stages"]
            )
            if "rates" in values:
                plain["rates"] = Rates(**values["rates"])
            if "head_fit" in values:
                plain["head_fit"] = HeadFit(**values["head_fit"])
            recipe = cls(**plain)
            TypeAdapter(cls).validate_json(json.dumps(recipe.to_dict()), strict=True)
            return recipe
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))} is {first['input']!r}: {first['msg']}") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a recipe: {error}") from error


def _check_recompress(recipe: Recipe) -> None:
    crf = recipe.recompress_crf
    if crf is None:
        return
    if not 0 <= crf <= _WORST_CRF:
        raise ValueError(f"recompress_crf is {crf}, but H.264's rate factors go from 0 (lossless) to {_WORST_CRF}")
    if not recipe.fitted_heads:
        raise ValueError("recompress_crf is for fitted heads; set fitted_heads, or leave it out")


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _at_least(least: int, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value >= least:
            raise ValueError(f"{name} is {value}, but must be at least {least}")


def _above_zero(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} is {value}, but must be above 0")


def _one_of(choices: Any, **values: str) -> None:
    for name, value in values.items():
        if value not in get_args(choices):
            raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(get_args(choices))}")
