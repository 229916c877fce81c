"""From a configuration to the runtime of this machine. Knows no architecture and no service.

Loads torch only where it will compute: asked for, or with a CUDA device that torch can use.
"""

import ctypes
import os
from pathlib import Path

from models.runtime.base import Runtime
from models.runtime.config import Precision, RuntimeConfig
from models.runtime.openvino_runtime import OpenVinoRuntime, import_openvino

_NATIVE_BF16 = {"avx512_bf16", "amx_bf16"}


def make_runtime(config: RuntimeConfig) -> Runtime:
    """The runtime that `config` asks for. Raises ValueError for one that this machine does not have."""
    if config.num_threads is not None and config.num_threads < 1:
        raise ValueError(f"num_threads is {config.num_threads}; it must be at least 1, or None for every core")
    num_threads = config.num_threads or len(os.sched_getaffinity(0))
    if config.name == "openvino" or (config.name == "auto" and not (_has_cuda_driver() and _torch_has_cuda())):
        openvino = import_openvino()
        if openvino is not None:
            precision: Precision = config.precision if config.precision != "auto" else _best_on_this_cpu()
            return OpenVinoRuntime(openvino, precision=precision, num_threads=num_threads, cache_dir=config.cache_dir)
        if config.name == "openvino":
            raise ValueError("runtime 'openvino' does not import here: pip install openvino, or ask for 'torch'")
    try:
        from models.runtime import torch_choice  # noqa: PLC0415  # only where torch computes
    except ImportError as error:
        raise ValueError(
            "runtime 'torch' does not import here: install torch (pip install 'fovea-server[torch]'), or ask for "
            "'openvino'"
        ) from error
    return torch_choice.make_torch_runtime(config.precision, num_threads)


def _has_cuda_driver() -> bool:
    """Whether NVIDIA's driver is there and knows a device: asked without torch, which takes seconds to load."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def _torch_has_cuda() -> bool:
    """A build of torch for CPUs sees no device, whatever the driver says."""
    try:
        import torch  # noqa: PLC0415  # see above
    except ImportError:
        return False
    return torch.cuda.is_available()


def _best_on_this_cpu() -> Precision:
    """As Linux lists the CPU's instructions; elsewhere fp32."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "fp32"
    flags = next((line for line in lines if line.startswith("flags")), "")
    return "bf16" if _NATIVE_BF16 & set(flags.split()) else "fp32"
