"""Torch's best device and precision on this machine. Knows no other runtime."""

from typing import Literal

import torch

from models.runtime.config import Precision
from models.runtime.torch_runtime import TorchRuntime


def make_torch_runtime(precision: Literal["auto", "fp32", "bf16"], num_threads: int) -> TorchRuntime:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return TorchRuntime(device=device, precision=_resolve(precision, device), num_threads=num_threads)


def _resolve(asked: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    if asked != "auto":
        return asked
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        features = torch.cpu.get_capabilities()
        native = bool(features.get("avx512_bf16") or features.get("amx_bf16"))
    return "bf16" if native else "fp32"
