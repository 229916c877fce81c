"""What a runtime is: it makes functions out of a network's modules, for one device, in one precision.

Knows no architecture, and loads no torch: a runtime that computes without it is usable where it is not installed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.runtime.config import Precision

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from models.runtime.parts import Part

Network: TypeAlias = "Callable[[Tensor], Tensor]"
"""From one uint8 (N, H, W, 3) batch, N free, to what the module gives, in float32 on the runtime's device: one tensor,
unless a part has several."""

Array: TypeAlias = Any
"""What a runtime computes with: numpy's arrays or torch's tensors. Both index, reshape and take means alike."""

Function: TypeAlias = Callable[..., Any]
"""A part made executable: arrays in (uint8 rows may be numpy's, whatever the runtime), new fp32 arrays out."""


@dataclass(frozen=True, slots=True)
class Arrays:
    """The operations on `Array`s that numpy and torch call differently. A copy keeps nothing else alive."""

    stack: Callable[[Sequence[Array]], Array]
    copy: Callable[[Array], Array]
    integer: Callable[[int], Array]
    """One int64, of shape (1,)."""
    to_numpy: Callable[[Array], NDArray[np.float32]]


NUMPY = Arrays(
    stack=np.stack,
    copy=np.copy,
    integer=lambda value: np.array([value], np.int64),
    to_numpy=np.asarray,
)


class Runtime(Protocol):
    """Executes networks on one device. Built on any thread; its functions are then called from one thread."""

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> Precision: ...

    @property
    def device(self) -> "torch.device":
        """Where tensors lie that `compile` gives."""
        ...

    @property
    def arrays(self) -> Arrays:
        """Of what `execute` takes and gives."""
        ...

    def execute(self, part: "Part", *, key: str) -> Function:
        """The part as a function. Its module is left as it is, and its later changes are not seen.

        `key` names weights and architecture, for the cache of converted models.
        """
        ...

    def compile(self, module: "nn.Module", example: "Tensor", *, key: str, one_by_one: bool = False) -> Network:
        """The same for one heavy module, between tensors: what a family needs that does not state its parts.

        `example` shows the shape of the rows. `one_by_one`: N is a multiple of the example's, whose results could as
        well be had one after the other, and the runtime may do so.
        """
        ...
