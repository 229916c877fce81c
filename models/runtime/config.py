"""How networks are to be executed: plain values. Knows no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """The defaults suit the machine they meet."""

    name: Literal["auto", "torch", "openvino"] = "auto"  # auto: torch on CUDA, else OpenVINO where it imports
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where the device computes it natively, else fp32
    num_threads: int | None = None  # CPU threads of the heavy networks; None: every core we may use
    cache_dir: Path | None = None  # converted models; None: none are kept
