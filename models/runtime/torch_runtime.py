"""The reference runtime: plain torch, on CUDA or CPU.

Knows no architecture and caches nothing.
"""

import copy

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.runtime.base import Array, Arrays, Function, Network
from models.runtime.config import Precision
from models.runtime.parts import Part


def hold_torch_threads(num_threads: int) -> None:
    """Give torch's CPU operators `num_threads` threads on the calling thread: OpenMP counts for each thread apart."""
    if torch.get_num_threads() != num_threads:
        torch.set_num_threads(num_threads)


def tensors_on(device: torch.device) -> Arrays:
    """Arrays that are tensors on `device`."""
    return Arrays(
        stack=lambda rows: torch.stack(list(rows)),
        copy=torch.clone,
        integer=lambda value: torch.tensor([value], device=device),
        to_numpy=lambda tensor: tensor.cpu().numpy(),
    )


class TorchRuntime:
    """Channels-last eager execution with batch norms folded into convolutions, under autocast for bf16."""

    name = "torch"

    def __init__(self, *, device: torch.device, precision: Precision, num_threads: int) -> None:
        self.device = device
        self.arrays = tensors_on(device)
        self.precision = precision
        self.num_threads = num_threads

    def execute(self, part: Part, *, key: str) -> Function:
        if part.heavy:
            network = self.compile(part.module, part.examples[0], key=key, one_by_one=part.one_by_one)
            return lambda rows: network(torch.as_tensor(rows))
        return light_function(part.module, self.device)

    def compile(self, module: nn.Module, example: Tensor, *, key: str, one_by_one: bool = False) -> Network:
        assert example.dtype == torch.uint8, example.dtype
        network = fold_batch_norms(copy.deepcopy(module).eval().requires_grad_(False)).to(self.device)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
            if isinstance(layer, nn.Conv3d):
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last_3d)
            if self.precision == "bf16" and isinstance(layer, nn.Conv2d | nn.Conv3d | nn.Linear):
                layer.to(torch.bfloat16)  # autocast keeps cast weights only for training: it would cast at every call

        # On a CPU a batch gains nothing where one row is a whole clip, and products of other sizes round otherwise.
        alone = len(example) if one_by_one and self.device.type == "cpu" else None

        @torch.inference_mode()
        def run(rows: Tensor) -> Tensor:
            if alone is not None and len(rows) > alone:
                return torch.cat([run(part) for part in torch.split(rows, alone)])
            hold_torch_threads(self.num_threads)
            with (
                torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
                # TF32, cuDNN's default, keeps 10 bits of the mantissa: that is not fp32.
                torch.backends.cudnn.flags(allow_tf32=False),
            ):
                result: Tensor = network(rows.to(self.device))
            return result.float()

        return run


def light_function(module: nn.Module, device: torch.device) -> Function:
    """A copy of a small module in fp32, between tensors on `device`."""
    copied = copy.deepcopy(module).float().eval().requires_grad_(False).to(device)

    @torch.inference_mode()
    def run(*inputs: Array) -> Array:
        return copied(*inputs)

    return run


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """`module`, in eval mode, with each batch norm that follows a convolution folded into it; changes `module`."""
    try:
        traced = fx.symbolic_trace(module)
    except (fx.proxy.TraceError, TypeError):  # its control flow depends on data: unfolded it is slower, and as right
        return module
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or not isinstance(norm := _layer(traced, node), nn.BatchNorm2d):
            continue
        source = node.args[0]
        conv = _layer(traced, source) if source.op == "call_module" and len(source.users) == 1 else None
        if isinstance(conv, nn.Conv2d):
            traced.set_submodule(source.target, fuse_conv_bn_eval(conv, norm))
            node.replace_all_uses_with(source)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _layer(module: nn.Module, node: fx.Node) -> nn.Module:
    return module.get_submodule(str(node.target))
