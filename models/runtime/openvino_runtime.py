"""The CPU runtime: OpenVINO, converted from torch once and kept on disk.

Knows no architecture, and calls nobody: OpenVINO's telemetry is shut out before OpenVINO is imported.
"""

import copy
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.runtime.base import Network, Precision, hold_torch_threads
from models.runtime.model_cache import ModelCache


class OpenVinoRuntime:
    """Compiled for latency with a free batch size, on all `num_threads` cores while torch keeps to one."""

    name = "openvino"
    device = torch.device("cpu")

    def __init__(self, openvino: Any, *, precision: Precision, num_threads: int, cache_dir: Path | None) -> None:
        self._openvino = openvino
        self._core = openvino.Core()
        self._cache = ModelCache(cache_dir, openvino, self._core) if cache_dir else None
        self.precision = precision
        self.num_threads = num_threads
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError("precision 'bf16': OpenVINO has no bf16 kernels for this CPU; choose 'fp32' or 'auto'")

    def compile(self, module: nn.Module, example: Tensor, *, key: str) -> Network:
        assert example.dtype == torch.uint8, example.dtype
        row_shape = tuple(example.shape[1:])
        model = self._cache.load(key, row_shape) if self._cache else None
        if model is None:
            model = self._convert(module, example)
            if self._cache:
                self._cache.store(key, row_shape, model)
        compiled = self._core.compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": 1,
                "INFERENCE_NUM_THREADS": self.num_threads,
                # Decode children share these cores: the scheduler must be free to move us.
                "ENABLE_CPU_PINNING": False,
                "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
            },
        )
        request = compiled.create_infer_request()

        @torch.inference_mode()
        def run(rows: Tensor) -> Tensor:
            hold_torch_threads(1)  # torch's threads spin after their work: they would take the cores from OpenVINO's
            rows = rows.to(self.device).contiguous()
            request.set_input_tensor(self._openvino.Tensor(rows.numpy(), shared_memory=True))
            request.infer()
            return torch.from_numpy(request.get_output_tensor().data).clone()  # the next call writes there again

        run(example)  # the first call packs the weights; a new batch size later on costs a fraction of its run
        return run

    def _convert(self, module: nn.Module, example: Tensor) -> Any:
        frozen = copy.deepcopy(module).cpu().eval().requires_grad_(False)
        twice = torch.cat((example, example)).cpu()  # tracing a batch of one may fix the one
        free_batch = self._openvino.PartialShape([-1, *example.shape[1:]])
        with warnings.catch_warnings():
            # OpenVINO traces with torch.jit; torch.export works as well and takes three times as long.
            warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
            return self._openvino.convert_model(
                frozen, example_input=twice, input=[(free_batch, self._openvino.Type.u8)]
            )


def import_openvino() -> Any | None:
    """OpenVINO without its telemetry; None where it does not import.

    `import openvino` alone reports to its vendor's analytics unless a file in the user's home declines. Without the
    package openvino_telemetry it falls back to a stub of its own: so that package is made unimportable first.
    """
    assert "openvino" not in sys.modules or sys.modules.get("openvino_telemetry") is None, "imported with telemetry"
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # Python's way to say: not importable
    try:
        import openvino  # noqa: PLC0415  # must come after the line above, and only where it is wanted
    except ImportError:
        return None
    return openvino
