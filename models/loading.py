"""From a bundle to a running recognizer: the one place where weights, architecture and runtime meet.

Knows no service.
"""

from dataclasses import dataclass
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from models.adafocus.network import AdaFocusV3, build_network
from models.adafocus.recognizer import AdaFocusRecognizer
from models.bundle import Bundle
from models.bundle_format import WEIGHTS, BundleError, read_bytes
from models.recognizer import Recognizer
from models.runtime import RuntimeConfig, make_runtime


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    bundle: Bundle
    recognizer: Recognizer[Any]


def make_model(bundle: Bundle, runtime: RuntimeConfig) -> Model:
    """Raises BundleError when the tensors do not fit the architecture, ValueError for a runtime that is not there."""
    temperatures = bundle.calibration.temperatures_K
    recognizer = AdaFocusRecognizer(load_network(bundle), bundle.clip_spec, temperatures, make_runtime(runtime))
    return Model(bundle, recognizer)


def load_network(bundle: Bundle) -> AdaFocusV3:
    """The network in eval mode, fp32 whatever the precision on disk. BundleError names tensors that do not fit."""
    try:
        tensors = safetensors.torch.load(read_bytes(bundle.folder, WEIGHTS))
    except SafetensorError as error:
        raise BundleError(bundle.folder, WEIGHTS, str(error), "it must be safetensors", "build it again") from error
    network = build_network(bundle.config, seed=0)
    wanted = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: list(tensor.shape) for name, tensor in tensors.items()}
    if given != wanted:
        rule = "its tensors are not those of the architecture"
        raise BundleError(bundle.folder, WEIGHTS, _differences(wanted, given), rule, "pair weights and architecture")
    network.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in tensors.items()})
    return network


def _differences(wanted: dict[str, list[int]], given: dict[str, list[int]]) -> str:
    """Tensors missing, unexpected or of another shape, counted by module (the first two parts of the name)."""
    kinds = {
        "missing": wanted.keys() - given.keys(),
        "unexpected": given.keys() - wanted.keys(),
        "of another shape": {name for name in wanted.keys() & given.keys() if wanted[name] != given[name]},
    }
    said = []
    for kind, names in kinds.items():
        modules = sorted({".".join(name.split(".")[:2]) for name in names})
        if modules:
            said.append(f"{len(names)} {kind} in {', '.join(modules)}")
    return "; ".join(said)
