"""Heads that have not seen the clips they teach on: two halves of the groups, each taught by the other's heads.

Heads in closed form know their own clips by heart. Where such a head judges what a cube shows of a clip, the loss
hardly depends on the cube, and its gradient points nowhere (docs/decisions/0036-needles-found.md). So while a policy
alone is trained, batches come from one half and then the other, and the heads are those of the other half. What ships
is fitted to everything afterwards.

Knows no file and no loop.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from training.families import training_of
from training.fit.heads import fit_heads
from training.fit.recipe import Recipe, Stage

Clips = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""(clips_BTHWC uint8, labels_B) as inference sees them."""
Halves = tuple[Clips, Clips]
"""Of the videos to learn from; batch n holds clips of half n % 2 alone."""


def teaches_apart(recipe: Recipe, stage: Stage) -> bool:
    """Whether the heads of this stage stand still, in closed form, and something learns from them."""
    return recipe.heads_apart and recipe.fitted_heads and "policy" in stage.trains and "classifier" not in stage.trains


class HeadsApart:
    """Two sets of heads for one network, which keeps its own but for a step at a time."""

    def __init__(
        self, network: nn.Module, halves: Halves, new_generator: Callable[[], torch.Generator], recipe: Recipe
    ) -> None:
        """The network is left in eval mode, its heads as they were. `new_generator` seeds the random cubes."""
        self._network = network
        before = _copied(_heads(network))
        self._of_half = []
        for half in halves:
            fit_heads(network, half(), new_generator(), fit=recipe.head_fit, num_forms=recipe.num_forms)
            self._of_half.append(_copied(_heads(network)))
        _put(_heads(network), before)

    @contextlib.contextmanager
    def for_batch(self, number: int) -> Iterator[None]:
        """Inside, forward and backward, the heads are those of the half that this batch is not of."""
        heads = _heads(self._network)
        before = _copied(heads)
        _put(heads, self._of_half[1 - number % 2])
        try:
            yield
        finally:
            _put(heads, before)


def _heads(network: nn.Module) -> list[Tensor]:
    regressions = training_of(network).regressions(network)
    return [tensor for head in regressions for tensor in (*head.weights, *head.biases)]


def _copied(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [tensor.detach().clone() for tensor in tensors]


@torch.no_grad()
def _put(heads: Iterable[Tensor], values: Iterable[Tensor]) -> None:
    for head, value in zip(heads, values, strict=True):
        head.copy_(value)
