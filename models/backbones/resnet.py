"""ResNet-18, -34 and -50 (He et al., CVPR 2016) down to the last feature map, in torchvision's key layout.

Know no classifier and no video; `num_frames` makes neighbouring images exchange channels (TSM).

Shape suffixes: N images, C channels, H rows, W columns (input) or h rows, w columns (map, stride 32).
"""

from typing import Literal, TypeAlias

from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones.temporal_shift import temporal_shift

Depth: TypeAlias = Literal[18, 34, 50]

REPEATS: dict[Depth, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)


class ResNet(nn.Module):
    """images_NCHW to maps_NChw, C = `num_features`: 512 (18, 34) or 2048 (50).

    `stride_in_1x1` puts a stage's stride in the first 1x1 of its first bottleneck (ResNet v1, as the paper of 2016);
    otherwise it lies in the 3x3 (v1.5, torchvision). The keys and shapes are the same, the functions are not.
    """

    def __init__(self, depth: Depth, *, stride_in_1x1: bool = False) -> None:
        super().__init__()
        expansion = 4 if depth == 50 else 1
        self.num_features = WIDTHS[-1] * expansion
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, (width, repeats) in enumerate(zip(WIDTHS, REPEATS[depth], strict=True), start=1):
            blocks: list[nn.Module] = []
            for index in range(repeats):
                stride = 2 if index == 0 and stage > 1 else 1
                if depth == 50:
                    blocks.append(Bottleneck(inputs, width, stride, stride_in_1x1))
                else:
                    blocks.append(BasicBlock(inputs, width, stride))
                inputs = width * expansion
            setattr(self, f"layer{stage}", nn.ModuleList(blocks))
        _initialise(self)

    def forward(self, images_NCHW: Tensor, num_frames: int | None = None) -> Tensor:
        """`num_frames`: images per clip for the temporal shift; None: each image stands alone."""
        maps = F.relu(self.bn1(self.conv1(images_NCHW)), inplace=True)
        maps = F.max_pool2d(maps, 3, 2, 1)
        for stage in (1, 2, 3, 4):
            for block in self.get_submodule(f"layer{stage}").children():
                maps = block(maps, num_frames)
        return maps


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(inputs, width, stride)

    def forward(self, maps_NCHW: Tensor, num_frames: int | None = None) -> Tensor:
        branch = temporal_shift(maps_NCHW, num_frames) if num_frames else maps_NCHW
        branch = F.relu(self.bn1(self.conv1(branch)), inplace=True)
        return F.relu(self.bn2(self.conv2(branch)) + self.downsample(maps_NCHW), inplace=True)


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, stride_in_1x1: bool) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_in_1x1 else (1, stride)
        self.conv1 = nn.Conv2d(inputs, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _downsample(inputs, 4 * width, stride)

    def forward(self, maps_NCHW: Tensor, num_frames: int | None = None) -> Tensor:
        branch = temporal_shift(maps_NCHW, num_frames) if num_frames else maps_NCHW
        branch = F.relu(self.bn1(self.conv1(branch)), inplace=True)
        branch = F.relu(self.bn2(self.conv2(branch)), inplace=True)
        return F.relu(self.bn3(self.conv3(branch)) + self.downsample(maps_NCHW), inplace=True)


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _initialise(network: nn.Module) -> None:
    """As torchvision: He by fan out; batch norms start as the identity, torch's default."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
