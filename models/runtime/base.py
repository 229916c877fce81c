"""What a runtime is: it makes a network out of a module, for one device, in one precision.

Knows no architecture: a network is any function from one uint8 (N, H, W, 3) batch, N free, to one float32 tensor.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from models.runtime.config import Precision

Network: TypeAlias = Callable[[Tensor], Tensor]


class Runtime(Protocol):
    """Executes networks on one device. Built on any thread; its networks are then called from one thread."""

    @property
    def name(self) -> str: ...

    @property
    def precision(self) -> Precision: ...

    @property
    def device(self) -> torch.device:
        """Where results lie; inputs may lie anywhere."""
        ...

    def compile(self, module: nn.Module, example: Tensor, *, key: str, one_by_one: bool = False) -> Network:
        """A function of uint8 (N, H, W, 3) batches, N free, giving fp32 on `device`: `module` in eval mode.

        `module` itself is left as it is, and its later changes are not seen. `example` shows the shape of the rows.
        `key` names weights and architecture, for the cache of converted models. `one_by_one`: N is a multiple of the
        example's, whose results could as well be had one after the other, and the runtime may do so.
        """
        ...


def hold_torch_threads(num_threads: int) -> None:
    """Give torch's CPU operators `num_threads` threads on the calling thread: OpenMP counts for each thread apart."""
    if torch.get_num_threads() != num_threads:
        torch.set_num_threads(num_threads)
