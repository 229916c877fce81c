"""TimeSformers of other projects, small and with every tensor random: what the tests of foreign weights share.

transformers initialises times and biases to zero, under which frame order would not matter: nothing is left so.
"""

import importlib.util
from typing import Any

import torch
from torch import Tensor, nn

from tests.conftest import require

KINDS = {"divided": "divided_space_time", "joint": "joint_space_time", "space": "space_only"}
"""Our schemes that transformers has, and its names."""
MEAN, STD = 0.45, 0.225
FRAMES, SIZE_PX, CLASSES, HEADS = 8, 48, 5, 4


def randomise(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            random = torch.randn(parameter.shape, generator=generator)
            is_norm = "norm" in name and name.endswith("weight")
            parameter.copy_(1 + 0.3 * random if is_norm else (0.2 if parameter.ndim > 1 else 0.4) * random)


def huggingface(scheme: str, seed: int = 0, **changes: Any) -> Any:
    """A `TimesformerForVideoClassification` in eval mode, every tensor random."""
    require(importlib.util.find_spec("transformers") is not None, "transformers (extra `dev`)")
    from transformers import TimesformerConfig, TimesformerForVideoClassification  # noqa: PLC0415  # not everywhere

    settings: dict[str, Any] = {
        "attention_type": KINDS[scheme],
        "num_frames": FRAMES,
        "image_size": SIZE_PX,
        "num_labels": CLASSES,
        "hidden_size": 64,
        "num_attention_heads": HEADS,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
    }
    model = TimesformerForVideoClassification(TimesformerConfig(**(settings | changes))).eval()
    randomise(model, seed)
    return model


def pixels(views_BTHWC: Tensor) -> Tensor:
    """What transformers is given for the same views: normalised, channels first."""
    return ((views_BTHWC.float() / 255 - MEAN) / STD).permute(0, 1, 4, 2, 3)


def random_views(count: int, num_frames: int, rows: int, columns: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, num_frames, rows, columns, 3), generator=generator, dtype=torch.uint8)
