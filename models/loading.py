"""From a bundle to a running recognizer: the one place where weights, architecture and runtime meet.

Knows no service. Loads no torch for families that are served without it (`models.family.Light`) where OpenVINO runs
them.
"""

import contextlib
import ctypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from models.bundle import Bundle
from models.bundle_format import WEIGHTS, BundleError, read_bytes
from models.catalogue import available_models
from models.executed import Executed
from models.families import find_family
from models.listing import read_listing
from models.prepared import Prepared
from models.preparing import prepare
from models.recognizer import Recognizer
from models.runtime import RuntimeConfig, make_runtime
from models.runtime.base import Runtime
from models.runtime.openvino_runtime import OpenVinoRuntime

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    bundle: Bundle
    recognizer: Recognizer[Any]
    computed_by: str = ""  # runtime and precision, as they turned out here: the last digits of answers depend on them


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
    (model,) = load_models([folder.resolve()], runtime or RuntimeConfig())
    return model


def load_models(folders: Iterable[Path], config: RuntimeConfig) -> list[Model]:
    """The bundles in these folders, by one runtime; what must be converted is converted together. Raises as
    `load_model` does."""
    runtime = make_runtime(config)
    listings = [read_listing(folder) for folder in folders]
    prepared: dict[Path, Prepared] = {}
    if isinstance(runtime, OpenVinoRuntime):
        light = [one for one in listings if find_family(one.manifest.architecture.family).light is not None]
        prepared |= prepare(light, runtime, config.cache_dir)
        models = [
            _load_prepared(listing.folder, prepared.pop(listing.folder), runtime)
            if listing.folder in prepared
            else _load_with_torch(Bundle.read(listing.folder), runtime)
            for listing in listings
        ]
        _give_memory_back()
        return models
    return [_load_with_torch(Bundle.read(listing.folder), runtime) for listing in listings]


def _give_memory_back() -> None:
    """What loading has freed goes back to the system: glibc would keep it, 30 MiB and more. Other libraries do not."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def make_model(bundle: Bundle, runtime: RuntimeConfig) -> Model:
    """With torch in the process, whatever executes the networks.

    Raises BundleError when the tensors do not fit the architecture, ValueError for a runtime that is not there.
    """
    return _load_with_torch(bundle, make_runtime(runtime))


def _load_with_torch(bundle: Bundle, runtime: Runtime) -> Model:
    temperatures = bundle.calibration.temperatures_K
    family = find_family(bundle.config.family)
    recognizer = family.make_recognizer(load_network(bundle), bundle.clip_rule, temperatures, runtime)
    return Model(bundle, recognizer, _computed_by(runtime))


def _computed_by(runtime: Runtime) -> str:
    return f"{runtime.name} {runtime.precision}"


def _load_prepared(folder: Path, prepared: Prepared, runtime: OpenVinoRuntime) -> Model:
    bundle = Bundle.read(folder, prepared.prices)
    light = find_family(bundle.config.family).light
    assert light is not None
    functions = {
        name: runtime.load(part.converted, heavy=part.heavy, identity=f"{prepared.identity} {name}")
        for name, part in prepared.parts.items()
    }
    executed = Executed(functions, runtime.arrays, prepared.prices)
    temperatures = bundle.calibration.temperatures_K
    recognizer = light.make_recognizer(bundle.config, bundle.clip_rule, temperatures, executed)
    return Model(bundle, recognizer, _computed_by(runtime))


def load_network(bundle: Bundle) -> "nn.Module":
    """The network in eval mode, fp32 whatever the precision on disk. BundleError names tensors that do not fit."""
    import safetensors.torch  # noqa: PLC0415  # here torch begins

    from models.checkpoints import CheckpointMismatch, load_strictly  # noqa: PLC0415

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
