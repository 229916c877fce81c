"""From a run's plan to its network, and from files to its initial weights.

Knows no data and no training.
"""

import hashlib
from pathlib import Path
from typing import TypeAlias

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from models.adafocus.config import AdaFocusConfig
from models.adafocus.network import AdaFocusV3, build_network
from models.bundle import Bundle
from models.bundle_format import WEIGHTS
from models.checkpoints import load_backbone
from models.loading import load_network
from training.baselines import FullFrame, FullFrameConfig
from training.run import ModelPlan, Start

Network: TypeAlias = AdaFocusV3 | FullFrame


def build(plan: ModelPlan, seed: int = 0) -> Network:
    """On the CPU, in eval mode; the initial weights follow from (plan, seed). ValueError for a config that is none."""
    if plan.family == "adafocus_v3":
        return build_network(AdaFocusConfig.from_dict(plan.config), seed)
    if plan.family == "full_frame":
        config = FullFrameConfig.from_dict(plan.config)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return FullFrame(config).eval()
    raise ValueError(f"family is {plan.family!r}, but must be adafocus_v3 or full_frame")


def shape_of(network: Network) -> AdaFocusConfig:
    """Frames, sizes and backbones, of a baseline those of the model that it is compared with."""
    return network.config.model if isinstance(network, FullFrame) else network.config


def start_backbones(network: Network, *, glance: Path | None, focus: Path | None) -> tuple[Start, ...]:
    """Load ImageNet weights (torchvision's key layout, safetensors) into the encoders. ValueError where they misfit."""
    starts = []
    for part, file in (("glance", glance), ("focus", focus)):
        encoder = getattr(network, part, None)
        if file is None or encoder is None:
            continue
        load_backbone(encoder.backbone, _read(file), drop_head=True)
        starts.append(Start(part, file.name, _sha256(file)))
    return tuple(starts)


def start_from_bundle(network: Network, folder: Path) -> tuple[Start, ...]:
    """Every tensor of the same name and shape from a bundle: heads for another number of labels stay fresh.

    Raises BundleError for a bundle that is not sound, ValueError for an untrained one and where the backbones differ.
    """
    bundle = Bundle.read(folder.resolve())
    if not bundle.trained:
        raise ValueError(f"{folder} is untrained: its weights are random; start from a trained bundle, or from none")
    if bundle.manifest.architecture.family != "adafocus_v3" or isinstance(network, FullFrame):
        raise ValueError(f"{folder} can start an adafocus_v3 network only; start a baseline's backbones from weights")
    mine, theirs = network.state_dict(), load_network(bundle).state_dict()
    taken = {name: tensor for name, tensor in theirs.items() if name in mine and mine[name].shape == tensor.shape}
    encoders = {name for name in mine if name.startswith(("glance.", "focus."))}
    if missing := sorted(encoders - taken.keys()):
        raise ValueError(f"{folder} has other backbones: {len(missing)} tensors differ, such as {missing[0]}")
    network.load_state_dict({**mine, **taken})
    return (Start("all", f"{bundle.name}/{WEIGHTS}", bundle.manifest.weights_sha256),)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(file)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{file} is no readable safetensors file: {error}") from error


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
