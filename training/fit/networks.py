"""From a run's plan to its network, and from files to its initial weights.

Knows no data and no training.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from models.backbones.config import BackboneConfig
from models.bundle import Bundle
from models.bundle_format import WEIGHTS
from models.loading import load_network
from training.families import find_training, training_of
from training.fit.recipe import PARTS
from training.fit.run import ModelPlan, Start
from training.foreign_files import read_foreign_file


def build(plan: ModelPlan, seed: int = 0) -> nn.Module:
    """On the CPU, in eval mode; the initial weights follow from (plan, seed). ValueError for a config that is none."""
    family = find_training(plan.family).family
    network: nn.Module = family.build_network(family.read_config(plan.config), seed)
    return network


def start_parts(network: nn.Module, files: Mapping[str, Path]) -> tuple[Start, ...]:
    """Load other projects' weights (.safetensors, .pth, .pt) into parts of the network, by name.

    Raises ValueError where they misfit, and where a file cannot be read or holds code.
    """
    family = training_of(network).family
    for part in files:
        if part not in family.loaders:
            known = f"what can is: {', '.join(family.loaders)}"
            raise ValueError(
                f"the {part} of a {family.title} cannot start from image weights: "
                f"{known if family.loaders else 'it has neither a glance nor a focus network'}"
            )
    starts = []
    for part in family.loaders:
        if part in files and (has_part(network, part) or part not in PARTS):
            family.loaders[part](network, read_foreign_file(str(files[part])).tensors)
            starts.append(Start(part, files[part].name, _sha256(files[part])))
    return tuple(starts)


def has_part(network: nn.Module, part: str) -> bool:
    """Some baselines have no glance."""
    return getattr(network, part, None) is not None


def start_from_bundle(network: nn.Module, folder: Path) -> tuple[Start, ...]:
    """Every tensor of the same name and shape from a bundle: heads for another number of labels stay fresh.

    A network of another family, such as a full-frame baseline of the bundle's, takes its encoders alone.
    Raises BundleError for a bundle that is not sound, ValueError for an untrained one and where the backbones differ.
    """
    bundle = Bundle.read(folder.resolve())
    if not bundle.trained:
        raise ValueError(f"{folder} is untrained: its weights are random; start from a trained bundle, or from none")
    training = training_of(network)
    is_other = (family := bundle.config.family) != training.family.name
    mine, theirs = network.state_dict(), load_network(bundle).state_dict()
    taken = {name: tensor for name, tensor in theirs.items() if name in mine and mine[name].shape == tensor.shape}
    encoders = {name for name in mine if name.startswith(training.backbones)}
    if is_other:
        taken = {name: tensor for name, tensor in taken.items() if name in encoders}
    missing = sorted(encoders - taken.keys())
    if missing and is_other:
        raise ValueError(f"{folder} can start a network of {family} only; start a baseline's backbones from weights")
    if missing:
        raise ValueError(
            f"{folder} has other backbones: {len(missing)} tensors differ, such as {missing[0]}; start each from "
            "weights of its own (--glance-weights and the like), or take a plan of the bundle's kind"
        )
    parts = [part for part in (*PARTS, "motion") if has_part(network, part)]
    for part in parts:  # tensors of one shape may still be of a network that strides or pads otherwise
        ours, its = (getattr(config, part, None) for config in (getattr(network, "config", None), bundle.config))
        if isinstance(ours, BackboneConfig) and isinstance(its, BackboneConfig) and ours != its:
            raise ValueError(
                f"{folder} has another {part} network: {its}, but the plan's is {ours}; start it from weights of that "
                f"kind (--{part}-weights), or take a plan of the bundle's kind"
            )
    network.load_state_dict({**mine, **taken})
    return (Start("all", f"{bundle.name}/{WEIGHTS}", bundle.manifest.weights_sha256),)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
