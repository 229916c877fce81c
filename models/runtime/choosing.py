"""From a configuration to the runtime of this machine. Knows no architecture and no service."""

import os
from typing import Literal

import torch

from models.runtime.base import Runtime
from models.runtime.config import Precision, RuntimeConfig
from models.runtime.openvino_runtime import OpenVinoRuntime, import_openvino
from models.runtime.torch_runtime import TorchRuntime


def make_runtime(config: RuntimeConfig) -> Runtime:
    """The runtime that `config` asks for. Raises ValueError for one that this machine does not have."""
    if config.num_threads is not None and config.num_threads < 1:
        raise ValueError(f"num_threads is {config.num_threads}; it must be at least 1, or None for every core")
    num_threads = config.num_threads or len(os.sched_getaffinity(0))
    device = torch.device("cuda" if torch.cuda.is_available() and config.name != "openvino" else "cpu")
    precision = _resolve_precision(config.precision, device)
    if config.name == "openvino" or (config.name == "auto" and device.type == "cpu"):
        openvino = import_openvino()
        if openvino is not None:
            return OpenVinoRuntime(openvino, precision=precision, num_threads=num_threads, cache_dir=config.cache_dir)
        if config.name == "openvino":
            raise ValueError("runtime 'openvino' does not import here: pip install openvino, or ask for 'torch'")
    return TorchRuntime(device=device, precision=precision, num_threads=num_threads)


def _resolve_precision(asked: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    if asked != "auto":
        return asked
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        features = torch.cpu.get_capabilities()
        native = bool(features.get("avx512_bf16") or features.get("amx_bf16"))
    return "bf16" if native else "fp32"
