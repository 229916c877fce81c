"""From a bundle to a running recognizer: the one place where weights, architecture and runtime meet.

Knows no service.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from models.bundle import Bundle
from models.bundle_format import WEIGHTS, BundleError, read_bytes
from models.catalogue import available_models
from models.checkpoints import CheckpointMismatch, load_strictly
from models.families import find_family
from models.recognizer import Recognizer
from models.runtime import RuntimeConfig, make_runtime


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    bundle: Bundle
    recognizer: Recognizer[Any]


def load_model(name_or_path: str | Path, *folders: Path, runtime: RuntimeConfig | None = None) -> Model:
    """A bundle by its name among `available_models(*folders)`, or by the path of its folder.

    Raises ValueError for an unknown name (the known ones are listed) and for a runtime that is not there, BundleError
    for a bundle that is not sound.
    """
    folder = Path(name_or_path)
    if isinstance(name_or_path, str) and folder.name == name_or_path:
        known = available_models(*folders)
        if name_or_path not in known:
            raise ValueError(f"no model is called {name_or_path!r}; known are: {', '.join(known) or 'none'}")
        folder = known[name_or_path]
    return make_model(Bundle.read(folder.resolve()), runtime or RuntimeConfig())


def make_model(bundle: Bundle, runtime: RuntimeConfig) -> Model:
    """Raises BundleError when the tensors do not fit the architecture, ValueError for a runtime that is not there."""
    temperatures = bundle.calibration.temperatures_K
    family = find_family(bundle.config.family)
    recognizer = family.make_recognizer(load_network(bundle), bundle.clip_rule, temperatures, make_runtime(runtime))
    return Model(bundle, recognizer)


def load_network(bundle: Bundle) -> nn.Module:
    """The network in eval mode, fp32 whatever the precision on disk. BundleError names tensors that do not fit."""
    try:
        tensors = safetensors.torch.load(read_bytes(bundle.folder, WEIGHTS))
    except SafetensorError as error:
        raise BundleError(bundle.folder, WEIGHTS, str(error), "it must be safetensors", "build it again") from error
    network: nn.Module = find_family(bundle.config.family).build_network(bundle.config, 0)
    try:
        load_strictly(network, tensors)
    except CheckpointMismatch as error:
        tensors_given = f"{len(tensors)} tensors"
        raise BundleError(
            bundle.folder, WEIGHTS, tensors_given, f"not those of the architecture: {error}", "pair the two that fit"
        ) from error
    return network
