"""What a family of models is: one value that says how to read a shape, build its network, price it and run it.

Knows no member: `models.families` is the table of those that there are. Loads no torch: a family whose functions are
named `later` is read, and served, without it.

Shape suffixes: K steps, C classes, F features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast

from models.executed import Executed
from models.recognizer import Recognizer
from models.runtime.base import Runtime
from video.clip import ClipRule, Resize

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.runtime.parts import Part


class ModelConfig(Protocol):
    """The shape of one model, as a frozen value. Two that are equal have the same network and the same prices."""

    family: ClassVar[str]
    """Its name in the table of families."""

    @property
    def num_classes(self) -> int: ...

    @property
    def num_frames(self) -> int:
        """T: frames of a clip."""
        ...

    @property
    def frame_size(self) -> tuple[int, int]:
        """(rows, columns) in pixels of a clip's frames."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which the family's `read_config` reads."""
        ...


ConfigT = TypeVar("ConfigT", bound=ModelConfig)
NetworkT = TypeVar("NetworkT", bound="nn.Module")


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One linear layer that gives logits: parameters of `module`, which is called once a head, in their order."""

    module: "nn.Module"
    weight_CF: "Tensor"
    bias_C: "Tensor"


@dataclass(frozen=True, slots=True, eq=False)
class Light(Generic[ConfigT, NetworkT]):
    """What lets a family be served without torch: its network as parts that a runtime converts, and a recognizer that
    is made of nothing but these parts made executable, under the same names."""

    parts: Callable[[NetworkT], "Mapping[str, Part]"]
    """Needs torch: it is called when a bundle is converted."""
    make_recognizer: Callable[[ConfigT, ClipRule, Sequence[float], Executed], Recognizer[Any]]
    """Needs none, and keeps no torch in the process."""


@dataclass(frozen=True, slots=True, eq=False)
class Family(Generic[ConfigT, NetworkT]):
    """Functions raise ValueError for what does not fit, with the value, the rule and the way out.

    A network keeps its configuration as `config` (`config_of`).
    """

    name: str
    """As bundles and runs spell it: the entry of the table, and `family` of its configurations."""
    title: str
    """As sentences spell it."""
    read_config: Callable[[Mapping[str, Any]], ConfigT]
    """From plain values, strictly."""
    build_network: Callable[[ConfigT, int], NetworkT]
    """On the CPU, in eval mode; the weights follow from (config, seed)."""
    step_flops: Callable[[ConfigT], tuple[int, ...]]
    """Multiply-adds of each step k; a model of fixed cost has one. As many steps as exits and temperatures."""
    make_recognizer: Callable[[NetworkT, ClipRule, Sequence[float], Runtime], Recognizer[Any]]
    """With a temperature per step. The network is copied: later changes are not seen."""
    heads: Callable[[NetworkT], Sequence[Head]]
    """Every linear layer that gives an exit's logits, in the order in which a forward pass comes to it."""
    variants: Mapping[str, Callable[[int], ConfigT]] = field(default_factory=dict)
    """What `fovea build` offers by name: the configuration for a number of classes."""
    resize: Resize = "letterbox"
    """How pictures are brought to a model's frame size where nobody trained it to be otherwise."""
    paper_flops: Callable[[ConfigT], int] | None = None
    """What the family's own paper would print for a whole pass; None where it counts as our prices do."""
    loaders: "Mapping[str, Callable[[NetworkT, Mapping[str, Tensor]], None]]" = field(default_factory=dict)
    """By part of the network (`glance`): copies another project's checkpoint into it, all or nothing."""
    frame_flops: Callable[[ConfigT], int | None] | None = None
    """What one frame's share of the glance costs (`models.recognizer.ReusesFrames`); None where nothing is shared."""
    light: Light[ConfigT, NetworkT] | None = None
    """None: the family is served with torch in the process."""


def later(module: str, name: str) -> Callable[..., Any]:
    """The function `name` of `module`, which is imported at the first call: what needs torch does not bring it."""

    def call(*arguments: Any, **named: Any) -> Any:
        return getattr(import_module(module), name)(*arguments, **named)

    return call


def config_of(network: "nn.Module") -> ModelConfig:
    """The configuration that a family's network was built from."""
    return cast(ModelConfig, network.config)
