"""The CPU runtime: OpenVINO, converted from torch once and kept on disk.

Knows no architecture, and calls nobody: OpenVINO's telemetry is shut out before OpenVINO is imported.
"""

import copy
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.runtime.base import Network, hold_torch_threads
from models.runtime.config import Precision
from models.runtime.file_cache import FileCache

_LENGTH_BYTES = 8


class OpenVinoRuntime:
    """Compiled for latency with a free batch size, on all `num_threads` cores while torch keeps to one.

    What may run one by one is compiled for exactly that: of shapes it knows, OpenVINO fuses far more of what surrounds
    convolutions (docs/decisions/0008-video-mobile-former.md).
    """

    name = "openvino"
    device = torch.device("cpu")

    def __init__(self, openvino: Any, *, precision: Precision, num_threads: int, cache_dir: Path | None) -> None:
        self._openvino = openvino
        self._core = openvino.Core()
        self._cache = FileCache(cache_dir) if cache_dir else None
        self.precision = precision
        self.num_threads = num_threads
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError("precision 'bf16': OpenVINO has no bf16 kernels for this CPU; choose 'fp32' or 'auto'")

    def compile(self, module: nn.Module, example: Tensor, *, key: str, one_by_one: bool = False) -> Network:
        assert example.dtype == torch.uint8, example.dtype
        num_rows = len(example) if one_by_one else None
        shape = (-1 if num_rows is None else num_rows, *example.shape[1:])
        identity = repr((key, shape, self._openvino.get_version()))
        converted = self._cache.load(identity) if self._cache else None
        if converted is None:
            converted = self._convert(module, example, shape)
            if self._cache:
                self._cache.store(identity, converted)
        compiled = self._core.compile_model(
            self._core.read_model(*_split(converted)),
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
            results = []
            for part in torch.split(rows, num_rows or len(rows)):
                request.set_input_tensor(self._openvino.Tensor(part.numpy(), shared_memory=True))
                request.infer()
                # The next call writes there again.
                results.append(torch.from_numpy(request.get_output_tensor().data).clone())
            return torch.cat(results)

        run(example)  # the first call packs the weights; a new batch size later on costs a fraction of its run
        return run

    def _convert(self, module: nn.Module, example: Tensor, shape: tuple[int, ...]) -> bytes:
        """OpenVINO's fp32 form of `module`, serialised: its compiler treats a model just converted slightly otherwise
        than the same model read back, and a cached one must give the same answers as a fresh one."""
        frozen = copy.deepcopy(module).cpu().eval().requires_grad_(False)
        twice = torch.cat((example, example)).cpu()  # tracing a single clip may fix that number
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            # OpenVINO traces with torch.jit; torch.export works as well, but takes more than twice as long.
            warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
            model = self._openvino.convert_model(
                frozen, example_input=twice, input=[(self._openvino.PartialShape(list(shape)), self._openvino.Type.u8)]
            )
            xml = Path(folder, "model.xml")
            self._openvino.save_model(model, xml, compress_to_fp16=False)
            return _join(xml.read_bytes(), xml.with_suffix(".bin").read_bytes())


def _join(xml: bytes, weights: bytes) -> bytes:
    return len(xml).to_bytes(_LENGTH_BYTES, "little") + xml + weights


def _split(converted: bytes) -> tuple[bytes, bytes]:
    weights_start = _LENGTH_BYTES + int.from_bytes(converted[:_LENGTH_BYTES], "little")
    return converted[_LENGTH_BYTES:weights_start], converted[weights_start:]


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
