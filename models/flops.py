"""The price of a module in multiply-adds, exact, found by running it on tensors without data (torch's meta device).

Knows no model. Counted are convolutions, linear layers and matrix products: what every paper here counts. Norms,
activations, pooling, softmax, resizing and additions are not; one multiply-add is one (torch's counter says two).
"""

import copy
from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_aten = torch.ops.aten


def count_flops(module: nn.Module, *inputs: Tensor | Any) -> int:
    """Multiply-adds of `module(*inputs)`. Tensors lend only shape and dtype: nothing is computed, nothing changes."""
    shadow = copy.deepcopy(module).to("meta").eval()
    return count_call_flops(shadow, *(value.to("meta") if isinstance(value, Tensor) else value for value in inputs))


def count_call_flops(function: Callable[..., Any], *arguments: Any) -> int:
    """Multiply-adds of one call, on whatever device its tensors are."""
    with torch.no_grad(), _Counter() as counter:  # not inference_mode: it hides what composite operations are made of
        function(*arguments)
    total: int = counter.flops
    return total


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation under its final name, so that `@`, einsum and nn.Linear are all matrix products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.flops += _flops(func.overloadpacket, args, result)
        return result


def _flops(operation: Any, args: Any, result: Any) -> int:
    size: int = result.numel() if isinstance(result, Tensor) else 0
    if operation is _aten.convolution:
        # Each output value sums over (inputs / groups) x kernel: the weight's shape without its first axis.
        assert not args[6], "transposed convolutions are used by no model here"
        return size * int(prod(args[1].shape[1:]))
    if operation in (_aten.mm, _aten.bmm):
        return size * int(args[0].shape[-1])
    if operation in (_aten.addmm, _aten.baddbmm):
        return size * int(args[1].shape[-1])
    if operation.__name__.startswith("_scaled_dot_product"):
        query, key, value = args[:3]  # (..., L, D), (..., S, D), (..., S, Dv): L x S scores, then their weighted sum
        return int(query.numel() * key.shape[-2] + prod(query.shape[:-1]) * value.shape[-2] * value.shape[-1])
    return 0
