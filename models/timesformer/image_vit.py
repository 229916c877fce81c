"""How training starts: an image ViT's weights in a TimeSformer, as the paper does it (their issues 29, 66).

Takes names and tensors, timm's or transformers'; knows no file format. What attends in the image attends in every step
of a block; second projections and times are zero, so that at first only the last step of a block does anything: with
`divided` and `space` a frame sees what the image ViT would see.
"""

import re
from collections.abc import Mapping
from math import isqrt

import torch
from torch import Tensor

from models.checkpoints import CheckpointMismatch, load_strictly
from models.timesformer.block import Block, PatchStep
from models.timesformer.embeddings import resize_positions
from models.timesformer.foreign import foreign_name
from models.timesformer.network import TimeSformer

HEADS = ("head.", "head_dist.", "pre_logits.", "fc_norm.", "classifier.", "vit.pooler.", "pooler.")
"""The image classifier, in any of the layouts: left out, the video's classes are others."""

_OWN = ("classifier.", ".patch_steps.", ".time_TD")
"""Parts of our names that no image network has."""
_HUGGINGFACE = (
    (re.compile(r"^vit\."), ""),
    (re.compile(r"^embeddings\.cls_token"), "cls_token"),
    (re.compile(r"^embeddings\.position_embeddings"), "pos_embed"),
    (re.compile(r"^embeddings\.patch_embeddings\.projection"), "patch_embed.proj"),
    (re.compile(r"^(?:encoder\.)?layers?\.(\d+)\."), r"blocks.\1."),
    (re.compile(r"attention\.attention\.(query|key|value)"), r"attn.\1"),
    (re.compile(r"attention\.(q|k|v)_proj"), r"attn.\1"),
    (re.compile(r"attention\.(?:output\.dense|o_proj)"), "attn.proj"),
    (re.compile(r"layernorm_before"), "norm1"),
    (re.compile(r"layernorm_after"), "norm2"),
    (re.compile(r"(blocks\.\d+\.)(?:intermediate\.dense|mlp\.fc1)"), r"\1mlp.fc1"),
    (re.compile(r"(blocks\.\d+\.)(?:output\.dense|mlp\.fc2)"), r"\1mlp.fc2"),
    (re.compile(r"^layernorm"), "norm"),
)
"""transformers' names to timm's, old and new; query, key and value are joined after."""
_PARTS = {"q": "query", "k": "key", "v": "value"}


def start_from_image_vit(network: TimeSformer, tensors: Mapping[str, Tensor]) -> None:
    """Copy the ViT into `network`; its classifier keeps its own weights.

    The ViT's positions are resized to the network's grid. Raises CheckpointMismatch before anything is copied.
    """
    image = {name: tensor for name, tensor in timm_names(tensors).items() if not name.startswith(HEADS)}
    start = dict(network.state_dict())
    fresh = {
        name for name in start if name.startswith("classifier.") or ".patch_steps." in name or name.endswith("time_TD")
    }
    wanted = {name: foreign_name(name, "official") for name in start if name not in fresh}
    missing, unexpected = set(wanted.values()) - image.keys(), image.keys() - set(wanted.values())
    if missing or unexpected:
        raise CheckpointMismatch(missing, unexpected, [])
    for name, foreign in wanted.items():
        start[name] = image[foreign]
    embedding = "encoder.embedding."
    start[embedding + "class_D"] = start[embedding + "class_D"].flatten()
    position_SD = start[embedding + "position_SD"].flatten(0, -2)
    side = isqrt(len(position_SD) - 1)
    start[embedding + "position_SD"] = resize_positions(position_SD, (side, side), network.config.grid)
    load_strictly(network, start)
    with torch.no_grad():
        if network.encoder.embedding.time_TD is not None:
            network.encoder.embedding.time_TD.zero_()
        for block in network.encoder.blocks:
            assert isinstance(block, Block)
            for step in block.patch_steps:
                assert isinstance(step, PatchStep)
                step.norm.load_state_dict(block.norm.state_dict())
                step.attention.load_state_dict(block.attention.state_dict())
                for parameter in step.fc.parameters():
                    parameter.zero_()


def timm_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under timm's names, with query, key and value as one."""
    named: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for pattern, replacement in _HUGGINGFACE:
            name = pattern.sub(replacement, name)  # noqa: PLW2901  # one rule after the other
        named[name] = tensor
    joined = {name: tensor for name, tensor in named.items() if not _part(name)}
    for name in named:
        part = _part(name)
        if part is not None and part[1] in ("q", "query"):
            before, _, after = part
            keys = [f"{before}{other if part[1] == 'q' else _PARTS[other]}{after}" for other in "qkv"]
            if missing := [key for key in keys if key not in named]:
                raise CheckpointMismatch(missing, [], [])
            joined[f"{before}qkv{after}"] = torch.cat([named[key] for key in keys])
    return joined


def _part(name: str) -> tuple[str, str, str] | None:
    match = re.fullmatch(r"(blocks\.\d+\.attn\.)(q|k|v|query|key|value)(\.weight|\.bias)", name)
    return (match[1], match[2], match[3]) if match else None
