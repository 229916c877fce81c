"""A module with all that is needed to execute it elsewhere: what its arguments look like, and in which precision.

Knows no runtime and no architecture.
"""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """`module` takes the `examples`, one clip's rows each, and gives one fp32 tensor or a tuple of them.

    Rows are what a batch has more of: the first axis of each argument but those that all rows share.
    """

    module: nn.Module
    examples: tuple[Tensor, ...]
    heavy: bool = False
    """Takes uint8 rows and runs in the runtime's precision; others run in fp32."""
    one_by_one: bool = False
    """Heavy: the number of rows is a multiple of the example's, whose results could be had one after the other."""
    num_shared: int = 0
    """How many of the last arguments all rows share."""

    def __post_init__(self) -> None:
        assert not self.heavy or [example.dtype.itemsize for example in self.examples] == [1], "uint8 rows, alone"
