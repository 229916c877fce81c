"""From logits to what a step answers: tempered probabilities and their entropy. Knows no network.

Shape suffixes: B clips, C classes.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.recognizer import Frames
from models.runtime.base import Array
from models.thresholds import log_softmax
from video.clip import ClipRule

if TYPE_CHECKING:
    from torch import nn


def answers(logits_BC: Array, temperatures_B: Sequence[float]) -> list[tuple[NDArray[np.float32], float]]:
    """(probabilities_C, entropy in nats) per row, of numpy's array or torch's tensor.

    FloatingPointError where logits are not finite.
    """
    logits: NDArray[np.float32] = logits_BC if isinstance(logits_BC, np.ndarray) else logits_BC.detach().cpu().numpy()
    if not np.isfinite(logits).all():
        raise FloatingPointError("logits are not finite: the weights or the device are broken")
    log_BC = log_softmax(logits / np.asarray(temperatures_B, np.float64)[:, None])
    probabilities_BC = np.exp(log_BC)
    entropies_B = (-(probabilities_BC * log_BC).sum(axis=1)).clip(0, math.log(logits.shape[1]))
    return list(zip(probabilities_BC.astype(np.float32), entropies_B.tolist(), strict=True))


def check_rule(clip_rule: ClipRule, clip_size: tuple[int, int, int], temperatures: Sequence[float], exits: int) -> None:
    """ValueError where the clip rule or the temperatures do not fit a network that takes `clip_size` (frames, rows,
    columns) and answers `exits` times."""
    given = (clip_rule.num_frames, clip_rule.height_px, clip_rule.width_px)
    if given != clip_size:
        raise ValueError(
            f"the clip rule gives {given} (frames, rows, columns), but the network takes {clip_size}; they must agree"
        )
    if len(temperatures) != exits:
        raise ValueError(f"{len(temperatures)} temperatures were given, but there are {exits} exits; 1.0 each is none")
    if not all(math.isfinite(temperature) and temperature > 0 for temperature in temperatures):
        raise ValueError(f"temperatures are {tuple(temperatures)}, but must be finite and above 0; 1.0 changes nothing")


def check_clip(clip_THWC: Frames, clip_size: tuple[int, int, int]) -> None:
    """ValueError for a clip that is not uint8 RGB of `clip_size` (frames, rows, columns)."""
    wanted = (*clip_size, 3)
    if clip_THWC.shape != wanted or clip_THWC.dtype != np.uint8:
        raise ValueError(
            f"a clip is {clip_THWC.dtype} {clip_THWC.shape}, but must be uint8 {wanted} (frames, rows, columns, RGB); "
            f"sample and resize the video as `clip_rule` says"
        )


def cache_key(part: str, module: "nn.Module", config: Mapping[str, Any]) -> str:
    """Names architecture and weights, for a runtime's cache of converted models."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return f"{part}-{digest.hexdigest()}"
