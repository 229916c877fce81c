"""From a bundle to a running recognizer: the one place where weights, architecture and runtime meet.

Knows no service.
"""

from dataclasses import dataclass
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from models.bundle import Bundle
from models.bundle_format import WEIGHTS, BundleError, read_bytes
from models.checkpoints import CheckpointMismatch, load_strictly
from models.families import ModelNetwork, build_network, make_recognizer
from models.recognizer import Recognizer
from models.runtime import RuntimeConfig, make_runtime


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    bundle: Bundle
    recognizer: Recognizer[Any]


def make_model(bundle: Bundle, runtime: RuntimeConfig) -> Model:
    """Raises BundleError when the tensors do not fit the architecture, ValueError for a runtime that is not there."""
    temperatures = bundle.calibration.temperatures_K
    recognizer = make_recognizer(load_network(bundle), bundle.clip_spec, temperatures, make_runtime(runtime))
    return Model(bundle, recognizer)


def load_network(bundle: Bundle) -> ModelNetwork:
    """The network in eval mode, fp32 whatever the precision on disk. BundleError names tensors that do not fit."""
    try:
        tensors = safetensors.torch.load(read_bytes(bundle.folder, WEIGHTS))
    except SafetensorError as error:
        raise BundleError(bundle.folder, WEIGHTS, str(error), "it must be safetensors", "build it again") from error
    network = build_network(bundle.config, seed=0)
    try:
        load_strictly(network, tensors)
    except CheckpointMismatch as error:
        tensors_given = f"{len(tensors)} tensors"
        raise BundleError(
            bundle.folder, WEIGHTS, tensors_given, f"not those of the architecture: {error}", "pair the two that fit"
        ) from error
    return network
