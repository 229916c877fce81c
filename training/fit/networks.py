"""From a run's plan to its network, and from files to its initial weights.

Knows no data and no training.
"""

import hashlib
from pathlib import Path
from typing import TypeAlias, get_args

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from models.bundle import Bundle
from models.bundle_format import WEIGHTS
from models.checkpoints import load_backbone
from models.families import ModelNetwork, build_network, family_of, read_config
from models.loading import load_network
from models.mobile_former.network import VideoMobileFormer
from training.fit.baselines import FullFrame, FullFrameConfig
from training.fit.run import Family, ModelPlan, Start

Network: TypeAlias = ModelNetwork | FullFrame


def build(plan: ModelPlan, seed: int = 0) -> Network:
    """On the CPU, in eval mode; the initial weights follow from (plan, seed). ValueError for a config that is none."""
    if plan.family not in get_args(Family):
        raise ValueError(f"family is {plan.family!r}, but must be one of {', '.join(get_args(Family))}")
    if plan.family != "full_frame":
        return build_network(read_config(plan.family, plan.config), seed)
    config = FullFrameConfig.from_dict(plan.config)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return FullFrame(config).eval()


def start_backbones(network: Network, *, glance: Path | None, focus: Path | None) -> tuple[Start, ...]:
    """Load ImageNet weights (torchvision's key layout, safetensors) into the encoders. ValueError where they misfit."""
    if isinstance(network, VideoMobileFormer) and (glance or focus):
        raise ValueError("a Video Mobile-Former has neither a glance nor a focus network to start from image weights")
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
    family = bundle.manifest.architecture.family
    if isinstance(network, FullFrame) or family_of(network.config) != family:
        raise ValueError(f"{folder} can start a network of {family} only; start a baseline's backbones from weights")
    mine, theirs = network.state_dict(), load_network(bundle).state_dict()
    taken = {name: tensor for name, tensor in theirs.items() if name in mine and mine[name].shape == tensor.shape}
    encoders = {name for name in mine if name.startswith(("glance.", "focus.", "encoder."))}
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
