"""The processes that train one network together: who is first, what all of them know. One process is a team, too.

torchrun starts them and says by its variables who is who. All hold the same network between two steps: gradients are
averaged by torch's DistributedDataParallel, what else a step changes by `same`. Knows no loss and no file.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(hours=12)  # that one may wait for another: the first ones decode the whole data set


@dataclass(frozen=True, slots=True)
class Team:
    """This process's place."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0  # on its machine
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Who writes, and who talks to people."""
        return self.rank == 0

    def wait(self) -> None:
        """For all others to be here, too."""
        if self.size > 1:
            distributed.barrier()

    def decided(self, value: Any) -> Any:
        """The first one's value, a small plain one."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return values[0]

    def all_of(self, value: Any) -> list[Any]:
        """Everybody's plain values, by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def same(self, network: nn.Module) -> None:
        """From now on all have the first one's parameters and buffers."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                distributed.broadcast(tensor, src=0)

    def join_statistics(self, network: nn.Module, before: Sequence[Tensor]) -> None:
        """Running means and variances of batch norms as one process would have them, which sees all batches in turn.

        `before`: `statistics_of` the network when all had the same. With momentum m a process that has seen k batches
        has (1 - m)^k of what was before, and its own share beside; shares of earlier ones fade by what came after.
        """
        if self.size == 1:
            return
        for module, (mean, var, seen) in zip(moving_norms(network), _threes(before), strict=True):
            assert module.num_batches_tracked is not None
            assert module.momentum is not None
            own = module.num_batches_tracked - seen
            every = own.clone()
            distributed.all_reduce(every)
            keeps = 1 - module.momentum
            fades = keeps ** (own * (self.size - 1 - self.rank)).item()
            for now, then in ((module.running_mean, mean), (module.running_var, var)):
                assert now is not None
                share = (now - keeps ** own.item() * then) * fades
                distributed.all_reduce(share)
                now.copy_(keeps ** every.item() * then + share)
            module.num_batches_tracked.copy_(seen + every)

    def together(self, step: nn.Module) -> nn.Module:
        """The same module, whose backward pass leaves everybody's mean gradient. Made anew where other layers learn."""
        if self.size == 1:
            return step
        return DistributedDataParallel(step, forward_sync_buffers=False, find_unused_parameters=True)


ALONE = Team()


def moving_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Whose running statistics a step changes."""
    norms = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    return [norm for norm in norms if norm.training and norm.running_mean is not None]


def statistics_of(network: nn.Module) -> list[Tensor]:
    """Copies: mean, variance and number of batches of each of `moving_norms`."""
    kept = []
    for norm in moving_norms(network):
        for tensor in (norm.running_mean, norm.running_var, norm.num_batches_tracked):
            assert tensor is not None
            kept.append(tensor.clone())
    return kept


def _threes(tensors: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    yield from zip(tensors[::3], tensors[1::3], tensors[2::3], strict=True)


def asked_for() -> bool:
    """Whether torchrun has started this process, beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def own_device(name: str) -> str:
    """`cuda` is, in a team, the one with this process's number on its machine."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" and asked_for() else name


@contextmanager
def joined(device: str) -> Iterator[Team]:
    """The team that torchrun's variables tell of, this process alone where there are none."""
    if not asked_for():
        yield ALONE
        return
    backend = "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        here = {name: int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")}
        yield Team(here["RANK"], here["WORLD_SIZE"], here["LOCAL_RANK"], here["LOCAL_WORLD_SIZE"])
    finally:
        distributed.destroy_process_group()


class BatchLoss(nn.Module):
    """One batch's losses as a module's forward pass, which is what DistributedDataParallel wraps."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, clips_BTHWC: Tensor, targets_BC: Tensor, how: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(total, exits_E)."""
        from training.families import training_of  # noqa: PLC0415 - families know plans, and plans know trainers

        found = training_of(self.network).losses(self.network, clips_BTHWC, targets_BC, **how)
        return found.total, found.exits_E
