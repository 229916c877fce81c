"""Networks of other projects, small and seeded, in their own key layouts: what the tests of foreign weights share.

Written anew from their description: TSM (image networks whose shifted layers lie in a `.net`), AdaFocusV2 for
Something-Something, Uni-AdaFocus. Cubes are cut at whole pixels. `state_dict()` is what their checkpoints hold.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def patches(num_frames: int, seed: int = 0) -> np.ndarray:
    """uint8 frames_THWC of 64 x 64: squares of random colours, which each frame has its own."""
    random = np.random.default_rng(seed)
    return np.kron(random.integers(0, 256, (num_frames, 8, 8, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)


def shake(module: nn.Module, seed: int) -> nn.Module:
    """Every tensor random, and image networks normalised as if trained, so that what they see shows in what they say;
    in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(1 + 0.2 * noise.abs())
            elif tensor.ndim > 1:
                is_head = tensor.shape[0] < 10
                tensor.copy_(noise * ((0.3 if is_head else 1.5) / tensor[0].numel()) ** 0.5)
            elif name.endswith("bn3.weight"):  # what residual branches add: sixteen of them add up
                tensor.copy_(0.25 + 0.1 * noise)
            else:
                tensor.copy_(float(name.endswith("weight")) + 0.2 * noise)
        module.eval()
        images = (torch.from_numpy(patches(24, seed)).float() / 128 - 1).permute(0, 3, 1, 2)
        for network in module.modules():
            if isinstance(network, FlatMobileNetV2 | ResNet50):
                norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
                for norm in norms:
                    norm.momentum = None
                    norm.reset_running_stats()
                    norm.train()
                network.maps(images)
                network.eval()
    return module


class Shifted(nn.Module):
    def __init__(self, net: nn.Module, num_frames: int) -> None:
        super().__init__()
        self.net = net
        self.num_frames = num_frames

    def forward(self, x: Tensor) -> Tensor:
        clips = x.reshape(-1, self.num_frames, *x.shape[1:])
        eighth = x.shape[1] // 8
        moved = clips.clone()
        moved[:, :, : 2 * eighth] = 0
        moved[:, :-1, :eighth] = clips[:, 1:, :eighth]
        moved[:, 1:, eighth : 2 * eighth] = clips[:, :-1, eighth : 2 * eighth]
        return self.net(moved.reshape(x.shape))  # type: ignore[no-any-return]


class FlatBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, shift: int | None) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.skip = stride == 1 and inputs == outputs
        expand: nn.Module = nn.Conv2d(inputs, hidden, 1, bias=False)
        if shift and self.skip and expansion > 1:
            expand = Shifted(expand, shift)
        first = [expand, nn.BatchNorm2d(hidden), nn.ReLU6()] if expansion > 1 else []
        self.conv = nn.Sequential(
            *first,
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv(x)
        return x + found if self.skip else found


class FlatMobileNetV2(nn.Module):
    """tonylins' layout."""

    width = 1280

    def __init__(self, shift: int | None, head: int | None) -> None:
        super().__init__()
        layers: list[nn.Module] = [self._stem(3, 32, 3, 2)]
        inputs = 32
        for expansion, outputs, repeats, stride in STAGES:
            for number in range(repeats):
                layers.append(FlatBlock(inputs, outputs, stride if number == 0 else 1, expansion, shift))
                inputs = outputs
        self.features = nn.Sequential(*layers, self._stem(320, 1280, 1, 1))
        if head:
            self.classifier = nn.Linear(1280, head)

    @staticmethod
    def _stem(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())

    def maps(self, x: Tensor) -> Tensor:
        return self.features(x)  # type: ignore[no-any-return]


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int, shift: int | None) -> None:
        super().__init__()
        first = nn.Conv2d(inputs, width, 1, bias=False)
        self.conv1 = Shifted(first, shift) if shift else first
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(width), nn.BatchNorm2d(width), nn.BatchNorm2d(4 * width)
        self.downsample = None
        if stride > 1 or inputs != 4 * width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
            )

    def forward(self, x: Tensor) -> Tensor:
        found = F.relu(self.bn1(self.conv1(x)))
        found = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(found)))))
        return F.relu(found + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """torchvision's layout."""

    width = 2048

    def __init__(self, shift: int | None, head: int | None) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for stage, repeats in enumerate((3, 4, 6, 3), start=1):
            width, blocks = 64 * 2 ** (stage - 1), []
            for number in range(repeats):
                blocks.append(Bottleneck(inputs, width, 2 if number == 0 and stage > 1 else 1, shift))
                inputs = 4 * width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        if head:
            self.fc = nn.Linear(2048, head)

    def maps(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        return x


class TSN(nn.Module):
    """TSM's wrapper; `heads`: those that AdaFocusV2 added a second to."""

    def __init__(
        self, kind: type[FlatMobileNetV2 | ResNet50], num_frames: int, num_classes: int, *, shift: bool = True,
        heads: tuple[str, ...] = ("new_fc",),
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_frames = num_frames
        self.base_model = kind(num_frames if shift else None, None)
        for name in heads:
            setattr(self, name, nn.Linear(kind.width, num_classes))

    def forward(self, images: Tensor, head: str = "new_fc") -> tuple[Tensor, Tensor]:
        """(logits, the mean over frames; maps)."""
        maps = self.base_model.maps(images)
        logits = self.get_submodule(head)(maps.mean(dim=(2, 3)))
        return logits.reshape(-1, self.num_frames, logits.shape[-1]).mean(dim=1), maps


def crop(frames: Tensor, row: float, column: float, side: int) -> Tensor:
    """Of (N, C, H, W), the top-left corner at these shares of the room."""
    top, left = int(row * (frames.shape[2] - side)), int(column * (frames.shape[3] - side))
    return frames[:, :, top : top + side, left : left + side]


class AdaFocusV2Tsm(nn.Module):
    def __init__(self, num_glance: int, num_classes: int, cells: int) -> None:
        super().__init__()
        both = ("new_fc", "new_new_fc")
        self.global_CNN = TSN(FlatMobileNetV2, num_glance, num_classes, heads=both)
        self.local_CNN = TSN(ResNet50, int(1.5 * num_glance), num_classes, heads=both)
        self.policy_stn = nn.Sequential(
            nn.Conv2d(1280 * num_glance, 64, 1, bias=False), nn.BatchNorm2d(64), nn.Tanh(), nn.Flatten(),
            nn.Linear(64 * cells * cells, 1024), nn.BatchNorm1d(1024), nn.Tanh(),
            nn.Linear(1024, 512), nn.BatchNorm1d(512), nn.Tanh(), nn.Linear(512, 2), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, glance: Tensor, frames: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """(logits, (row, column)) of one clip's frames."""
        logits, maps = self.global_CNN(glance)
        action = self.policy_stn(maps.flatten(0, 1)[None])[0]
        local, _ = self.local_CNN(crop(frames, float(action[0]), float(action[1]), side))
        return logits + local, action


def unis_policies(num_glance: int, kernel: tuple[int, int, int]) -> tuple[nn.Module, nn.Module]:
    spatial = nn.Module()
    spatial.encoder = nn.Sequential(
        nn.Conv3d(1280, 128, 1, bias=False), nn.BatchNorm3d(128), nn.ReLU(),
        nn.Conv3d(128, 128, 3, 1, 1, bias=False), nn.BatchNorm3d(128), nn.ReLU(),
        nn.Conv3d(128, 128, 3, 1, 1, bias=False), nn.BatchNorm3d(128), nn.ReLU(),
        nn.Conv3d(128, 4, kernel, bias=False), nn.Sigmoid(),
    )  # fmt: skip
    temporal = nn.Module()
    temporal.Tconv = nn.Sequential(
        nn.Conv2d(1280, 64, (3, 1), 1, (1, 0), bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, (3, 1), 1, (1, 0), bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 1, 1, bias=False),
    )  # fmt: skip
    return spatial, temporal


class UniAdaFocusTsm(nn.Module):
    """Its policies are there, and asked nothing: cubes lie in the middle."""

    def __init__(self, num_glance: int, num_focus: int, num_classes: int, cells: int) -> None:
        super().__init__()
        both = ("new_fc", "new_new_fc")
        self.global_CNN = TSN(FlatMobileNetV2, num_glance, num_classes, heads=both)
        self.local_CNN = TSN(ResNet50, num_focus, num_classes, heads=both)
        self.aux_fc = nn.Linear(1280, num_classes)
        self.spatial_policy, self.temporal_policy = unis_policies(num_glance, (num_glance, cells, cells))

    def forward(self, glance: Tensor, frames: Tensor, side: int) -> Tensor:
        found: Tensor = self.global_CNN(glance)[0] + self.local_CNN(crop(frames, 0.5, 0.5, side))[0]
        return found


class UniAdaFocus(nn.Module):
    """The same, with a head per frame and its running maxima."""

    def __init__(self, num_glance: int, num_focus: int, num_classes: int, cells: int, hidden: int) -> None:
        super().__init__()
        self.global_CNN, self.local_CNN = FlatMobileNetV2(None, 1000), ResNet50(None, 1000)
        self.global_CNN_fc = nn.Sequential(nn.Dropout(), nn.Linear(1280, num_classes))
        self.local_CNN_fc = nn.Sequential(nn.Dropout(), nn.Linear(2048, num_classes))
        self.aux_fc = nn.Linear(1280, num_classes)
        self.spatial_policy, self.temporal_policy = unis_policies(num_glance, (1, cells, cells))
        classifier = nn.Module()
        for name, width in (("global_mlp", 1280), ("local_mlp", 2048)):
            mlp = nn.Module()
            mlp.layers = nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU())
            setattr(classifier, name, mlp)
        for name, count, width in (
            ("global_classifiers", num_glance, hidden),
            ("local_classifiers", num_focus, 2 * hidden),
        ):
            heads = [nn.Sequential(nn.Dropout(), nn.Linear(width, num_classes)) for _ in range(count)]
            setattr(classifier, name, nn.ModuleList(heads))
        self.classifier = classifier

    def forward(self, glance: Tensor, frames: Tensor, side: int) -> list[Tensor]:
        """Logits after the whole glance, and after each cube, one of each of these frames."""
        classifier: Any = self.classifier
        seen = classifier.global_mlp.layers(self.global_CNN.maps(glance).mean(dim=(2, 3))).amax(dim=0)
        logits = [classifier.global_classifiers[-1](seen)]
        features = self.local_CNN.maps(crop(frames, 0.5, 0.5, side)).mean(dim=(2, 3))
        embedded = classifier.local_mlp.layers(features)
        for number, head in enumerate(classifier.local_classifiers):
            logits.append(head(torch.cat((embedded[: number + 1].amax(dim=0), seen))))
        return logits
