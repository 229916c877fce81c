"""The reference runtime: plain torch, on CUDA or CPU.

Knows no architecture and caches nothing.
"""

import copy

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.runtime.base import Network, hold_torch_threads
from models.runtime.config import Precision


class TorchRuntime:
    """Channels-last eager execution with batch norms folded into convolutions, under autocast for bf16."""

    name = "torch"

    def __init__(self, *, device: torch.device, precision: Precision, num_threads: int) -> None:
        self.device = device
        self.precision = precision
        self.num_threads = num_threads

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

        @torch.inference_mode()
        def run(rows: Tensor) -> Tensor:
            hold_torch_threads(self.num_threads)
            with (
                torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
                # TF32, cuDNN's default, keeps 10 bits of the mantissa: that is not fp32.
                torch.backends.cudnn.flags(allow_tf32=False),
            ):
                result: Tensor = network(rows.to(self.device))
            return result.float()

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
