"""Checkpoint files of other projects: from a path to named tensors. Runs no code that a file holds.

Knows no network.
"""

import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy._core.multiarray import scalar
from safetensors import SafetensorError
from torch import Tensor

WRAPPED_IN = ("model_state", "model_state_dict", "state_dict", "model", "module")
"""Under which name a pickled checkpoint keeps its tensors: the authors', MMAction2's, TSM's, DataParallel's."""
NUMPY_NUMBERS: list[Any] = [
    (scalar, "numpy.core.multiarray.scalar"),
    (scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")),
]
"""What a pickle may name beside torch's own: one number of numpy's, such as the best accuracy. It runs nothing."""
HUGGINGFACE_CONFIG = "config.json"
HUGGINGFACE_PREPROCESSOR = ("preprocessor_config.json", "video_preprocessor_config.json")
HUGGINGFACE_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True, eq=False)
class ForeignFile:
    """`facts`: what stands beside the tensors, as plain values: a folder's JSON files, a checkpoint's `cfg`."""

    path: Path
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)


def read_foreign_file(source: str) -> ForeignFile:
    """A .pyth, .pth, .pt, .bin or .safetensors file, or a folder as transformers saves it.

    Raises ValueError: for what is not there, truncated, holds code, or no tensors.
    """
    path = Path(source)
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise ValueError(
            f"{source} is no file and no folder here, and nothing is fetched from a hub: download it first, such as "
            f"with `hf download {source} --local-dir FOLDER`, then import the folder"
        )
    if path.suffix == ".safetensors":
        return ForeignFile(path, _read_safetensors(path))
    content = _unpickled(path)
    tensors = _tensors_in(content, path)
    return ForeignFile(path, tensors, {"cfg": content["cfg"]} if isinstance(content.get("cfg"), str) else {})


def _read_folder(folder: Path) -> ForeignFile:
    facts = {}
    for name in (HUGGINGFACE_CONFIG, *HUGGINGFACE_PREPROCESSOR):
        if (folder / name).is_file():
            try:
                facts[name] = json.loads((folder / name).read_bytes())
            except ValueError as error:
                raise ValueError(f"{folder / name} is no JSON ({error}); fetch it again") from error
    if HUGGINGFACE_CONFIG not in facts:
        raise ValueError(f"{folder} holds no {HUGGINGFACE_CONFIG}; give a folder as transformers saves it, or a file")
    for name in HUGGINGFACE_WEIGHTS:
        if (folder / name).is_file():
            path = folder / name
            read = _read_safetensors(path) if path.suffix == ".safetensors" else _tensors_in(_unpickled(path), path)
            return ForeignFile(folder, read, facts)
    raise ValueError(f"{folder} holds neither of {', '.join(HUGGINGFACE_WEIGHTS)}; download the weights, too")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}): it is damaged or truncated; fetch it again") from error
    return tensors


def _unpickled(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(NUMPY_NUMBERS):
            # of a pickle that torch did not write: whether it can be read is told below
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than tensors and plain values, which could be code, and is not opened: save its "
            f"tensors alone where you trust it ({_first_line(error)})"
        ) from error
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, KeyError, ValueError, IndexError) as error:
        raise ValueError(
            f"{path} cannot be read ({_first_line(error)}): it is damaged, truncated or no checkpoint; fetch it again"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, but a checkpoint is a dictionary of tensors")
    return content


def _tensors_in(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    for name in WRAPPED_IN:
        if isinstance(content.get(name), dict):
            content = content[name]
            break
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors or len(tensors) != len(content):
        others = sorted(str(name) for name in content.keys() - tensors.keys())[:5]
        raise ValueError(
            f"{path} holds {len(tensors)} tensors beside {', '.join(others) or 'nothing'}; a checkpoint has them "
            f"alone, or under one of {', '.join(WRAPPED_IN)}"
        )
    return tensors


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
