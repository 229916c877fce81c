"""From a torch module to what OpenVINO reads. Needs torch; knows no architecture.

A conversion is serialised and read again even where nothing keeps it: OpenVINO's compiler treats a model just converted
slightly otherwise than the same model read back, and a cached one must give the same answers as a fresh one.
"""

import copy
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.runtime.base import Network
from models.runtime.parts import Part
from models.runtime.serialised import join
from models.runtime.torch_runtime import hold_torch_threads


def row_shapes(part: Part) -> list[list[int]]:
    """The shape of each argument; -1 for a free number of rows."""
    return [
        [len(example) if part.one_by_one or number >= len(part.examples) - part.num_shared else -1, *example.shape[1:]]
        for number, example in enumerate(part.examples)
    ]


def convert(openvino: Any, part: Part) -> bytes:
    """OpenVINO's fp32 form of the part, which `serialised.split` takes apart."""
    frozen = copy.deepcopy(part.module).cpu().float().eval().requires_grad_(False)
    types = {torch.uint8: openvino.Type.u8, torch.float32: openvino.Type.f32, torch.int64: openvino.Type.i64}
    first_shared = len(part.examples) - part.num_shared
    # Tracing a single clip may fix that number: where it is free, there are two.
    examples = tuple(
        (example if part.one_by_one or number >= first_shared else torch.cat((example, example))).cpu()
        for number, example in enumerate(part.examples)
    )
    inputs = [
        (openvino.PartialShape(shape), types[example.dtype])
        for shape, example in zip(row_shapes(part), part.examples, strict=True)
    ]
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # OpenVINO traces with torch.jit; torch.export works as well, but takes more than twice as long. It would have
        # torch check its trace as well, and run the module three times more: so it is traced here.
        warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
        with torch.no_grad():
            traced = torch.jit.trace(frozen, examples, check_trace=False, strict=False)  # type: ignore[no-untyped-call]
        model = openvino.convert_model(traced, input=inputs)
        xml = Path(folder, "model.xml")
        openvino.save_model(model, xml, compress_to_fp16=False)
        return join(xml.read_bytes(), xml.with_suffix(".bin").read_bytes())


def between_tensors(function: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> Network:
    """A function of arrays as one of tensors on the CPU."""

    @torch.inference_mode()
    def run(rows: Tensor) -> Tensor:
        hold_torch_threads(1)  # torch's threads spin after their work: they would take the cores from OpenVINO's
        return torch.from_numpy(function(rows.cpu().contiguous().numpy()))

    return run
