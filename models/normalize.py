"""From RGB bytes to what a network was trained on. Knows no network.

Shape suffixes: N images, H rows, W columns, C colour channels.
"""

import torch
from torch import Tensor, nn

from models.channels import ChannelOrder


class Normalize(nn.Module):
    """RGB bytes to what the backbone was trained on. The numbers come from the configuration, not from the weights."""

    scale_C: Tensor
    offset_C: Tensor

    def __init__(
        self, mean: tuple[float, float, float], std: tuple[float, float, float], channel_order: ChannelOrder
    ) -> None:
        super().__init__()
        self.swap = channel_order == "bgr"
        mean_C, std_C = torch.tensor(mean), torch.tensor(std)
        self.register_buffer("scale_C", 1 / (255 * std_C), persistent=False)
        self.register_buffer("offset_C", -mean_C / std_C, persistent=False)

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        return self._pixels(frames_NHWC) * self.scale_C[:, None, None] + self.offset_C[:, None, None]

    def differences(self, frames_NHWC: Tensor, num_frames: int) -> Tensor:
        """Of each `num_frames` frames the num_frames - 1 differences of neighbours, images_MCHW, in the same units.

        Pixels are subtracted before they are scaled: whole numbers up to 255 are exact in bf16, scaled ones are not.
        """
        pixels_NTCHW = torch.unflatten(self._pixels(frames_NHWC), 0, (-1, num_frames))
        return (pixels_NTCHW[:, 1:] - pixels_NTCHW[:, :-1]).flatten(0, 1) * self.scale_C[:, None, None]

    def _pixels(self, frames_NHWC: Tensor) -> Tensor:
        # Turned first, then scaled: the other way round OpenVINO takes 1.4 times as long for a compact glance.
        pixels_NCHW = frames_NHWC.permute(0, 3, 1, 2)
        if self.swap:
            pixels_NCHW = pixels_NCHW.flip(1)
        return pixels_NCHW.to(self.scale_C.dtype)
