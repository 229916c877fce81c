"""Where the body's parts are: MoveNet's feature pyramid, its four heads, and key points out of what they say.

MoveNet (Google, "Next-Generation Pose Detection with MoveNet and TensorFlow.js", 2021) is a CenterNet (Zhou et al.,
2019) on a MobileNetV2: a person's centre is looked for first, then each of 17 key points near where the centre's cell
expects it. Knows no pixels: it is given maps of a MobileNetV2, and finds one person in each image.

Shape suffixes: N images, h and w cells of the finest map (4 pixels a side), P = h * w, C channels, J = 17 key points,
D features, V = D + 3 * J.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.adafocus.config import NUM_KEY_POINTS, PYRAMID_CHANNELS
from models.checkpoints import load_strictly

LAYERS = (3, 6, 10, 18)
"""Of `MobileNetV2.features`, whose maps the pyramid rests on: 4, 8, 16 and 32 pixels a cell."""
CELL_PX = 4
_WIDTHS = (PYRAMID_CHANNELS, 32, 64, 64)  # of what comes in at these layers
_HIDDEN = 96  # of each head
_OUTPUTS = (1, NUM_KEY_POINTS, 2 * NUM_KEY_POINTS, 2 * NUM_KEY_POINTS)
NUM_MAPS = sum(_OUTPUTS)
_NEARNESS = 1.8 / 48  # of the map's side: added to a distance in cells before it divides, as MoveNet does at 192 px
_SHARPNESS = 24  # a cell at nine tenths of the likeliest weighs a twelfth of it

# From MoveNet's layers, as the converted checkpoint names them, to ours.
_PYRAMID = {
    "conv2d_3": "lateral.0",
    "conv2d_2": "lateral.1",
    "conv2d_1": "lateral.2",
    "conv2d": "lateral.3",
    "separable_conv2d_2": "merge.0",
    "separable_conv2d_1": "merge.1",
    "separable_conv2d": "merge.2",
}
_HEADS = {"center_0": "centre", "kpt_heatmap_0": "heat", "kpt_regress_0": "regression", "kpt_offset_0": "offset"}
_SEPARABLE = {"dw": "depthwise.weight", "pw": "pointwise.weight", "bias": "pointwise.bias"}
_OUTPUT = {"out_weight": "output.weight", "out_bias": "output.bias"}


class PoseHeads(nn.Module):
    """The maps after LAYERS to pose_NChw, C = NUM_MAPS: probabilities of a centre (1) and of each key point (17) in a
    cell, how far (y, x) a centre's key points are (34) and where inside its cell a key point is (34), in cells."""

    def __init__(self, channels: Sequence[int]) -> None:
        """`channels`: of the backbone's maps, layer by layer."""
        super().__init__()
        self.lateral = nn.ModuleList(
            [nn.Conv2d(channels[layer], width, 1) for layer, width in zip(LAYERS, _WIDTHS, strict=True)]
        )
        self.merge = nn.ModuleList(
            [Separable(_WIDTHS[0], _WIDTHS[0]), Separable(_WIDTHS[1], _WIDTHS[0]), Separable(_WIDTHS[2], _WIDTHS[1])]
        )
        self.centre, self.heat, self.regression, self.offset = (Head(_WIDTHS[0], outputs) for outputs in _OUTPUTS)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        pose_NChw, _ = self.look(maps)
        return pose_NChw

    def look(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """pose_NChw, and the pyramid's finest map, of PYRAMID_CHANNELS, that all of it is read from."""
        merged_NChw = self.lateral[3](maps[3])
        for level in (2, 1, 0):
            finer_NChw = F.interpolate(merged_NChw, scale_factor=2.0, mode="bilinear", align_corners=False)
            merged_NChw = self.merge[level](finer_NChw + self.lateral[level](maps[level]))
        pose_NChw = torch.cat(
            (
                self.centre(merged_NChw).sigmoid(),
                self.heat(merged_NChw).sigmoid(),
                self.regression(merged_NChw),
                self.offset(merged_NChw),
            ),
            dim=1,
        )
        return pose_NChw.float(), merged_NChw.float()


class Separable(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps_NChw: Tensor) -> Tensor:
        return F.relu(self.pointwise(self.depthwise(maps_NChw)))


class Head(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.hidden = Separable(inputs, _HIDDEN)
        self.output = nn.Conv2d(_HIDDEN, outputs, 1)

    def forward(self, maps_NChw: Tensor) -> Tensor:
        mapped_NChw: Tensor = self.output(self.hidden(maps_NChw))
        return mapped_NChw


class KeyPoints(nn.Module):
    """(features_ND, pose_NChw, maps to be read) to described_NV: the features, then of each map what it holds at each
    key point, then (y, x, score) of each key point, y and x relative to the image (0 its upper or left edge, 1 the
    other).

    As MoveNet decodes: the likeliest centre, preferring the image's middle; of each key point the likeliest cell,
    preferring where that centre expects it. But softly: where several cells are as likely, a mean of them, since the
    likeliest of equals is another one on every machine.
    """

    rows_P: Tensor
    columns_P: Tensor
    middling_P: Tensor

    def __init__(self, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.height, self.width = (side // CELL_PX for side in image_size)
        self.near = _NEARNESS * self.height
        rows_hw, columns_hw = torch.meshgrid(
            torch.arange(float(self.height)), torch.arange(float(self.width)), indexing="ij"
        )
        off_middle_hw = ((rows_hw - self.height / 2).square() + (columns_hw - self.width / 2).square()).sqrt()
        self.register_buffer("rows_P", rows_hw.flatten(), persistent=False)
        self.register_buffer("columns_P", columns_hw.flatten(), persistent=False)
        self.register_buffer("middling_P", 1 / (off_middle_hw.flatten() + self.near), persistent=False)

    def forward(self, features_ND: Tensor, pose_NChw: Tensor, *maps: Tensor) -> Tensor:
        centre_N1P, heat_NJP, regression_NCP, offset_NCP = torch.split(pose_NChw.flatten(2), list(_OUTPUTS), dim=1)
        likely_N1P = _likely(centre_N1P * self.middling_P)
        y_NJ1 = (likely_N1P * (regression_NCP[:, 0::2] + self.rows_P)).sum(dim=2, keepdim=True)
        x_NJ1 = (likely_N1P * (regression_NCP[:, 1::2] + self.columns_P)).sum(dim=2, keepdim=True)
        away_NJP = ((self.rows_P - y_NJ1).square() + (self.columns_P - x_NJ1).square()).sqrt()
        likely_NJP = _likely(heat_NJP / (away_NJP + self.near))
        y_NJ = (likely_NJP * (self.rows_P + offset_NCP[:, 0::2])).sum(dim=2) / self.height
        x_NJ = (likely_NJP * (self.columns_P + offset_NCP[:, 1::2])).sum(dim=2) / self.width
        score_NJ = (likely_NJP * heat_NJP).sum(dim=2)
        local = [_read(map_NChw, y_NJ, x_NJ).flatten(1) for map_NChw in maps]
        return torch.cat((features_ND, *local, torch.stack((y_NJ, x_NJ, score_NJ), dim=2).flatten(1)), dim=1)


def _read(map_NChw: Tensor, y_NJ: Tensor, x_NJ: Tensor) -> Tensor:
    """values_NJC at places relative to the map, between its four nearest cells; beyond the outermost as there.

    As `grid_sample` reads, but by a product of matrices, which every runtime has.
    """
    rows_NJh, columns_NJw = (
        _nearness(places_NJ, cells) for places_NJ, cells in zip((y_NJ, x_NJ), map_NChw.shape[2:], strict=True)
    )
    weights_NJP = (rows_NJh[:, :, :, None] * columns_NJw[:, :, None, :]).flatten(2)
    return weights_NJP @ map_NChw.flatten(2).transpose(1, 2)


def _nearness(places_NJ: Tensor, cells: int) -> Tensor:
    """Of each place the shares of the two cells it lies between."""
    middles_NJ1 = (places_NJ * cells - 0.5).clamp(0, cells - 1)[:, :, None]
    return F.relu(1 - (middles_NJ1 - torch.arange(cells, device=places_NJ.device)).abs())


def _likely(values_NJP: Tensor) -> Tensor:
    """Weights that add up to one, nearly all of them where a map is highest."""
    relative_NJP = values_NJP / (values_NJP.amax(dim=2, keepdim=True) + 1e-12)
    weights_NJP = relative_NJP.pow(_SHARPNESS)
    return weights_NJP / (weights_NJP.sum(dim=2, keepdim=True) + 1e-12)


def load_movenet(heads: PoseHeads, tensors: Mapping[str, Tensor]) -> None:
    """Copy MoveNet's pyramid and heads. Raises CheckpointMismatch, by our names, before anything is copied."""
    load_strictly(heads, {_our_name(name): tensor for name, tensor in tensors.items()})


def _our_name(name: str) -> str:
    layer, _, kind = name.rpartition(".")
    if layer in _HEADS:
        return f"{_HEADS[layer]}.{_OUTPUT[kind] if kind in _OUTPUT else f'hidden.{_SEPARABLE.get(kind, kind)}'}"
    if layer in _PYRAMID:
        return f"{_PYRAMID[layer]}.{_SEPARABLE.get(kind, kind) if layer.startswith('separable') else kind}"
    return name
