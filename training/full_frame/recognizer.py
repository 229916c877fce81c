"""A full-frame baseline behind the recognizer protocol, so that its answers and times are taken as a bundle's are.

Knows no data and no training.

Shape suffixes: B clips, T frames, N = B * T, H rows, W columns, C classes or colour channels, D features, h, w cells.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.adafocus.encoders import FocusEncoder
from models.adafocus.network import split_rows
from models.answers import cache_key
from models.recognizer import Frames
from models.runtime import Runtime
from models.single_pass import Logits, SinglePassRecognizer
from training.full_frame.network import TITLE, FullFrame, step_flops
from video.clip import ClipRule


def make_recognizer(
    network: FullFrame, clip_rule: ClipRule, temperatures: Sequence[float], runtime: Runtime
) -> SinglePassRecognizer:
    """The network is copied: later changes are not seen.

    Raises ValueError when the clip rule or the one temperature does not fit the network.
    """
    config = network.config
    model = config.model

    def make_logits() -> Logits:
        num_images = {"focus": model.num_focus_images(network.num_frames), "glance": network.num_frames}
        modules: dict[str, nn.Module] = {"focus": _Maps(network.focus, network.num_frames)}
        if network.glance is not None:
            modules["glance"] = network.glance
        example_NHWC = torch.zeros(network.num_frames, *model.frame_size, 3, dtype=torch.uint8)
        run = {
            name: runtime.compile(
                module.eval(), example_NHWC, key=cache_key(f"full-frame-{name}", module, config.to_dict())
            )
            for name, module in modules.items()
        }
        heads = {
            name: copy.deepcopy(head).float().eval().to(runtime.device) for name, head in network.classifier.items()
        }
        indices = list(model.glance_indices)

        @torch.inference_mode()
        def logits(clips_THWC: Sequence[Frames]) -> Tensor:
            frames_NHWC = torch.from_numpy(np.concatenate([clip_THWC[indices] for clip_THWC in clips_THWC]))
            each = [
                heads[name](network.pool(split_rows(run[name](frames_NHWC).mean(dim=(2, 3)), num_images[name])))
                for name in sorted(run)
            ]
            return torch.stack(each).sum(dim=0)

        return logits

    return SinglePassRecognizer(
        make_logits,
        title=TITLE,
        clip_size=(model.num_frames, *model.frame_size),
        clip_rule=clip_rule,
        temperatures=temperatures,
        step_flops=step_flops(config),
    )


class _Maps(nn.Module):
    """The focus encoder's maps of whole frames."""

    def __init__(self, focus: FocusEncoder, num_frames: int) -> None:
        super().__init__()
        self.focus = focus
        self.num_frames = num_frames

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        maps_NChw: Tensor = self.focus.maps(frames_NHWC, self.num_frames)
        return maps_NChw
