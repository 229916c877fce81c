"""What training does differently for one family of models: a value beside the family's own.

Knows no member: `training.families` is the table of those that differ from the plain way.

Shape suffixes: B clips, T frames, H rows, W columns, E exits, N videos, R rows a clip, C classes or colour channels,
F features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from models.family import Family, ModelConfig
from models.runtime.base import Array
from training.fit.losses import Losses
from training.fit.recipe import Crops, Recipe, Stage

if TYPE_CHECKING:  # a plan looks its family up
    from training.fit.plans import TrainPlan
    from training.judge.results import Coordinates

NetworkT_contra = TypeVar("NetworkT_contra", bound=nn.Module, contravariant=True)
NetworkT = TypeVar("NetworkT", bound=nn.Module)
ConfigT = TypeVar("ConfigT", bound=ModelConfig)


class BatchLosses(Protocol[NetworkT_contra]):
    def __call__(
        self,
        network: NetworkT_contra,
        clips_BTHWC: Tensor,
        targets_BC: Tensor,
        recipe: Recipe,
        crops: Crops,
        *,
        step: int,
        generator: torch.Generator,
    ) -> Losses:
        """Of one batch. `generator` draws what is random; `step` says whose turn it is where `crops` alternate.

        Raises FloatingPointError where the network has diverged.
        """
        ...


class Features(Protocol[NetworkT_contra]):
    def __call__(
        self, network: NetworkT_contra, clips_BTHWC: Tensor, generator: torch.Generator, *, learned: bool
    ) -> dict[str, Tensor]:
        """What heads are given, by a name of the family's own; `learned`: also where the policy now looks."""
        ...


@dataclass(frozen=True, slots=True)
class Regression:
    """One head in closed form. `rows` makes, of what `Features` gathered, rows_NRF; the columns of `weights`, side by
    side, are for theirs, and the biases add up."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    rows: Callable[[Mapping[str, Tensor]], Tensor]
    blocks: tuple[int, ...] = ()
    """Columns that belong together: each block weighs alike, however wide. Empty: every column does."""
    local_blocks: tuple[int, ...] = ()
    """Which of the blocks tell what maps hold at key points."""


@dataclass(frozen=True, slots=True, eq=False)
class FamilyTraining(Generic[ConfigT, NetworkT]):
    """Functions raise ValueError for what cannot be trained so, with the value, the rule and the way out."""

    family: Family[ConfigT, NetworkT]
    losses: BatchLosses[NetworkT]
    exits: Callable[[NetworkT, Tensor, Crops, torch.Generator], Tensor]
    """logits_BEC in eval mode of (network, clips_BTHWC, the stage's crops, what draws random ones): what is scored."""
    in_bf16: Callable[[NetworkT], Sequence[tuple[nn.Module, str]]]
    """Whose methods run under autocast where a recipe asks for bf16; everything else stays fp32."""
    memory_format: torch.memory_format
    """Of convolutions' weights while they are trained."""
    regressions: Callable[[NetworkT], Sequence[Regression]]
    """The heads that `fitted_heads` finds in closed form; ValueError where there are none."""
    features: Features[NetworkT]
    baseline: Callable[[ConfigT, str], ModelConfig]
    """The named full-frame baseline of a model; ValueError where it has none of that name."""
    describe_stage: Callable[[Stage], str]
    backbones: tuple[str, ...] = ()
    """Beginnings of the names of all that a bundle must bring along where training starts from it."""
    answered: "Callable[[NetworkT, Sequence[Array]], Sequence[Array]]" = lambda network, own: own
    """logits_BC of every exit, of what the heads of all exits say, in their order: an exit may keep a share of what was
    answered before it. Where `regressions` are the exits' heads and no others."""
    repeatable: Callable[[NetworkT], bool] = lambda network: False
    """Whether `features` of a clip follow from the clip and the encoders alone, and may be kept."""
    looked_at: Callable[[ConfigT], tuple[int, ...] | None] = lambda config: None
    """The places in a clip that its glance looks at, where cubes look at no others; None: they may. There alone
    keyframes may stand in."""
    any_length: bool = False
    """Trains on clips of fewer frames than it answers with (`training_frames`)."""
    randomise: "Callable[[NetworkT, Coordinates, int], None] | None" = None
    """From now on, (network, coordinates, seed), cubes lie at random; None: a model without cubes."""
    plans: "Mapping[str, Callable[[int], TrainPlan]]" = field(default_factory=dict)
    """By name, for a number of classes."""
