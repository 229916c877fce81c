"""The CPU runtime: OpenVINO, converted from torch once and kept on disk. What is converted runs without torch.

Knows no architecture, and calls nobody: OpenVINO's telemetry is shut out before OpenVINO is imported.
"""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.runtime.base import NUMPY, Array, Function, Network
from models.runtime.config import Precision
from models.runtime.file_cache import FileCache
from models.runtime.serialised import split

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from models.runtime.parts import Part

_log = logging.getLogger(__name__)


class OpenVinoRuntime:
    """Compiled for latency with a free batch size, on all `num_threads` cores while torch keeps to one.

    What may run one by one is compiled for exactly that: of shapes it knows, OpenVINO fuses far more of what surrounds
    convolutions (docs/decisions/0008-video-mobile-former.md).
    """

    name = "openvino"
    arrays = NUMPY

    def __init__(self, openvino: Any, *, precision: Precision, num_threads: int, cache_dir: Path | None) -> None:
        self._openvino = openvino
        self._core = openvino.Core()
        self._cache = FileCache(cache_dir) if cache_dir else None
        self.precision = precision
        self.num_threads = num_threads
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError("precision 'bf16': OpenVINO has no bf16 kernels for this CPU; choose 'fp32' or 'auto'")

    @property
    def device(self) -> "torch.device":
        import torch  # noqa: PLC0415  # whoever asks computes with it

        return torch.device("cpu")

    @property
    def version(self) -> str:
        """Of OpenVINO: what one version converted, another need not read."""
        version: str = self._openvino.get_version()
        return version

    def load(self, converted: bytes, *, heavy: bool, identity: str | None = None) -> Function:
        """A function of numpy's arrays from what `convert` made; heavy ones in `precision`, others in fp32.

        Where it was converted for a fixed number of rows, a multiple of these runs one after the other. `identity`
        names what is converted: what was compiled of it is kept in the cache, for this CPU alone.
        """
        compiled = self._compile(converted, heavy, identity if self._cache else None)
        request = compiled.create_infer_request()
        num_outputs = len(compiled.outputs)
        make_tensor = self._openvino.Tensor

        def run(*inputs: NDArray[Any]) -> Array:
            # Held until the end: a tensor that shares memory does not keep the array that it shares it with.
            held = [np.ascontiguousarray(array) for array in inputs]
            for number, array in enumerate(held):
                request.set_input_tensor(number, make_tensor(array, shared_memory=True))
            request.infer()
            # Copied: the next call writes there again.
            found = tuple(request.get_output_tensor(number).data.copy() for number in range(num_outputs))
            return found[0] if num_outputs == 1 else found

        rows = compiled.inputs[0].partial_shape[0]
        if rows.is_dynamic:
            return run
        num_rows = rows.get_length()

        def run_one_by_one(rows: NDArray[Any]) -> Array:
            assert len(rows) % num_rows == 0, f"{len(rows)} rows are no multiple of {num_rows}"
            return np.concatenate([run(rows[start : start + num_rows]) for start in range(0, len(rows), num_rows)])

        return run_one_by_one

    def _compile(self, converted: bytes, heavy: bool, identity: str | None) -> Any:
        properties = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": self.num_threads if heavy else 1,
            # Decode children share these cores: the scheduler must be free to move us.
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "bf16" if heavy and self.precision == "bf16" else "f32",
        }
        if identity is None or self._cache is None:
            return self._core.compile_model(self._core.read_model(*split(converted)), "CPU", properties)
        cpu = [self._core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
        name = repr(("compiled", identity, cpu, sorted(properties.items())))
        if kept := self._cache.load(name):
            try:
                return self._core.import_model(kept, "CPU", properties)
            except RuntimeError as error:
                _log.warning("what OpenVINO compiled earlier it does not read any more, compiling anew: %s", error)
        compiled = self._core.compile_model(self._core.read_model(*split(converted)), "CPU", properties)
        self._cache.store(name, compiled.export_model().getvalue())
        return compiled

    def execute(self, part: "Part", *, key: str) -> Function:
        from models.runtime.converting import row_shapes  # noqa: PLC0415  # a part is torch's already

        shapes = row_shapes(part)
        identity = repr((key, *map(tuple, shapes), self.version))
        converted = self._cache.load(identity) if self._cache else None
        if converted is None:
            converted = self._convert(part)
            if self._cache:
                self._cache.store(identity, converted)
        function = self.load(converted, heavy=part.heavy)
        if part.heavy:  # the first call packs the weights; a new batch size later on costs a fraction of its run
            function(*(example.numpy() for example in part.examples))
        return function

    def compile(self, module: "nn.Module", example: "Tensor", *, key: str, one_by_one: bool = False) -> Network:
        from models.runtime.converting import between_tensors  # noqa: PLC0415  # torch's already
        from models.runtime.parts import Part  # noqa: PLC0415

        return between_tensors(self.execute(Part(module, (example,), heavy=True, one_by_one=one_by_one), key=key))

    def _convert(self, part: "Part") -> bytes:
        from models.runtime.converting import convert  # noqa: PLC0415

        return convert(self._openvino, part)


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
