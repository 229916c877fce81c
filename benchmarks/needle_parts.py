"""Sets of needle clips as frozen networks see them, and the heads in closed form on top: what does not change.

Knows no policy. Clips are looked at by OpenVINO, or whatever runtime this machine has. Encoders
stand still, and `average` heads are linear in the mean over a cube's map: so the logits of a cube anywhere are the mean
of *logits of cells* over the cube. One pass over whole frames gives these for every place (`CellLogits`).

Shape suffixes: N clips, B clips of a batch, K cubes, T frames, D features, C classes, h and w cells, 3 = (t, y, x).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.needle_clips import CHUNK, CLASSES, HEIGHT_PX, NUM_FRAMES, WIDTH_PX, NeedleClips, Needles, needle_chunk
from benchmarks.needle_stages import Stages
from models.adafocus.classifier import AverageClassifier
from models.adafocus.config import DESCRIBED_LAYERS, AdaFocusConfig
from models.adafocus.cubes import cut, place_cubes
from models.adafocus.encoders import FocusEncoder, GlanceEncoder
from models.adafocus.heat_map import HeatMapPolicy
from models.adafocus.network import AdaFocusV3, build_network
from models.adafocus.placed import PlacedAdaFocus
from models.backbones.config import STRIDE, BackboneConfig
from models.backbones.mobilenet_v2 import MobileNetV2
from models.bundle import Bundle
from models.catalogue import available_models
from models.checkpoints import load_backbone
from models.loading import load_network
from models.runtime.base import Runtime
from training.fit.heads import LOGIT_SCALE, RIDGE, ridge_regression

START = "adafocus-v3-compact"  # whose encoders are taken, frozen, unless others are given
CUBE_PX = 96
IMAGENET = BackboneConfig("mobilenet_v2")
_MIDDLE, _ = DESCRIBED_LAYERS
MIDDLE_CELL_PX = 16  # of the glance, in the map of layer 13; half of the last map's
_EDGE = 1e-3  # of a position in [0, 1]: on the very edge an interpolation has no neighbour, hence no gradient


def needle_config(backbone: BackboneConfig = IMAGENET) -> AdaFocusConfig:
    """Frames twice the glance, cubes a ninth of a frame and a quarter of the time."""
    return AdaFocusConfig(
        num_classes=len(CLASSES),
        num_frames=NUM_FRAMES,
        frame_size=(HEIGHT_PX, WIDTH_PX),
        glance_indices=tuple(range(0, NUM_FRAMES, 2)),
        glance_size=(HEIGHT_PX // 2, WIDTH_PX // 2),
        glance=backbone,
        focus=backbone,
        cube_size=(2, CUBE_PX, CUBE_PX),
        max_cubes=2,
        aggregation="average",
        policy_conv=32,
        policy_hidden=(256, 128),
        dropout=0.0,
    )


def needle_network(seed: int, weights: Path | None = None) -> AdaFocusV3:
    """With an ImageNet MobileNetV2 from a file of torchvision's names in glance and cubes (the card of decision 0036),
    or with the networks of the bundle that ships, which were trained on people."""
    if weights is not None:
        network = build_network(needle_config(), seed)
        for encoder in (network.glance, network.focus):
            load_backbone(encoder.backbone, load_file(weights), drop_head=True)
    else:
        shipped = load_network(Bundle.read(available_models()[START].resolve()))
        assert isinstance(shipped, PlacedAdaFocus)
        network = build_network(needle_config(shipped.config.glance), seed)
        for part in ("glance", "focus"):
            getattr(network, part).backbone.load_state_dict(getattr(shipped, part).backbone.state_dict())
    network.to(memory_format=torch.channels_last)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()


class _TwoMaps(nn.Module):
    """The glance's map of layer 13 and its last one, flattened, one behind the other: a runtime gives one tensor."""

    def __init__(self, glance: GlanceEncoder) -> None:
        super().__init__()
        self.glance = glance

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        images_NCHW: Tensor = self.glance.normalize(frames_NHWC)
        for size in self.glance.sizes:
            images_NCHW = F.interpolate(images_NCHW, size, mode="bilinear", align_corners=False)
        assert isinstance(self.glance.backbone, MobileNetV2)
        maps = self.glance.backbone.maps(images_NCHW, (_MIDDLE, len(self.glance.backbone.features) - 1))
        return torch.cat([one.float().flatten(1) for one in maps], dim=1)


class _WholeFrames(nn.Module):
    def __init__(self, focus: FocusEncoder) -> None:
        super().__init__()
        self.focus = focus

    def forward(self, frames_NHWC: Tensor) -> Tensor:
        return self.focus.maps(frames_NHWC, NUM_FRAMES)


class Encoders:
    """The network's two encoders, executed by a runtime."""

    def __init__(self, network: AdaFocusV3, runtime: Runtime) -> None:
        self.config = network.config
        frames_THWC = torch.zeros(NUM_FRAMES, HEIGHT_PX, WIDTH_PX, 3, dtype=torch.uint8)
        cube_THWC = frames_THWC[: self.config.cube_size[0], :CUBE_PX, :CUBE_PX].contiguous()
        assert isinstance(network.glance.backbone, MobileNetV2)
        cells = [(side // MIDDLE_CELL_PX, side // STRIDE) for side in self.config.glance_size]
        channels = (network.glance.backbone.channels[_MIDDLE], network.glance.num_features)
        self._shapes = [(one, *sides) for one, sides in zip(channels, zip(*cells, strict=True), strict=True)]
        self._glance = runtime.compile(_TwoMaps(network.glance), frames_THWC[::2].contiguous(), key="needle-glance")
        self._focus = runtime.compile(network.focus, cube_THWC, key="needle-focus")
        self._frames = runtime.compile(_WholeFrames(network.focus), frames_THWC, key="needle-frames")

    def glance(self, clip_THWC: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """The maps_TDhw of layer 13 and the last ones."""
        both_TF = self._glance(torch.from_numpy(clip_THWC[list(self.config.glance_indices)]))
        middle_TF, last_TF = both_TF.split([math.prod(shape) for shape in self._shapes], dim=1)
        return middle_TF.unflatten(1, self._shapes[0]), last_TF.unflatten(1, self._shapes[1])

    def channels_of(self, cell_px: int) -> int:
        """Of the glance's map whose cells are so wide."""
        return self._shapes[0 if cell_px == MIDDLE_CELL_PX else 1][0]

    def cubes(self, clip_THWC: NDArray[np.uint8], positions_K3: Tensor) -> Tensor:
        """features_KD as inference cuts cubes: the mean over frames."""
        places = place_cubes(positions_K3.numpy(), self.config)
        crops = np.concatenate([cut(clip_THWC, cube) for cube in places])
        return self._focus(torch.from_numpy(crops)).view(len(places), self.config.cube_size[0], -1).mean(dim=1)

    def frames(self, clip_THWC: NDArray[np.uint8]) -> Tensor:
        """maps_TDhw of whole frames at full size by the network that looks at cubes."""
        return self._frames(torch.from_numpy(clip_THWC))


@dataclass(slots=True, eq=False)
class Part:
    """A set of clips, what the glance sees of them, and labels."""

    clips: Sequence[NDArray[np.uint8]]
    maps_NTDhw: Tensor
    middle_NTDhw: Tensor
    """Of layer 13: cells half as wide."""
    labels_N: Tensor
    easy_N: Tensor
    centres_N3: Tensor

    @classmethod
    def made(cls, encoders: Encoders, count: int, seed: int, stages: Stages, name: str) -> "Part":
        """`count` is a multiple of the clips that are made at a time."""
        assert count % CHUNK == 0, (count, CHUNK)
        clips = NeedleClips(seed, range(count))

        def looked() -> dict[str, Tensor]:
            return _joined([_looked_at(encoders, needle_chunk(seed, number)) for number in range(count // CHUNK)])

        seen = stages.tensors(f"glance {name}", looked)
        return cls(clips, seen["last"], seen["middle"], seen["labels"], seen["easy"], seen["centres"])

    def __len__(self) -> int:
        return len(self.labels_N)

    def rows(self, which: slice) -> "Part":
        """These clips of it."""
        return Part(
            self.clips[which],
            self.maps_NTDhw[which],
            self.middle_NTDhw[which],
            self.labels_N[which],
            self.easy_N[which],
            self.centres_N3[which],
        )

    def seen_by(self, policy: nn.Module) -> Tensor:
        """The maps_NTDhw, in fp16, that this policy looks at: a heat map of finer cells sees those of layer 13."""
        finer = isinstance(policy, HeatMapPolicy) and policy.cell_px == MIDDLE_CELL_PX
        return self.middle_NTDhw if finer else self.maps_NTDhw

    @property
    def glance_ND(self) -> Tensor:
        return self.maps_NTDhw.float().mean(dim=(1, 3, 4))

    def cubes(self, encoders: Encoders, positions_NK3: Tensor) -> Tensor:
        """cubes_NKD."""
        pairs = zip(self.clips, positions_NK3, strict=True)
        return torch.stack([encoders.cubes(clip, positions_K3) for clip, positions_K3 in pairs])


def _looked_at(encoders: Encoders, needles: Needles) -> dict[str, Tensor]:
    middle, last = zip(*(encoders.glance(clip) for clip in needles.clips_NTHWC), strict=True)
    return {
        "middle": torch.stack(middle).half(),
        "last": torch.stack(last).half(),
        "labels": torch.from_numpy(needles.labels_N),
        "easy": torch.from_numpy(needles.easy_N),
        "centres": torch.from_numpy(needles.centres_N3).float(),
    }


def _joined(chunks: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([chunk[name] for chunk in chunks]) for name in chunks[0]}


@torch.no_grad()
def fit(network: AdaFocusV3, part: Part, cubes_NKD: Tensor) -> None:
    """Heads as `training.fit.heads` fits them: of the glance alone, and of single cubes."""
    classifier = _average(network)
    rows = cubes_NKD.shape[1]
    for head, features_RD, labels_R, num in (
        (classifier.glance_head, part.glance_ND, part.labels_N, 1),
        (classifier.focus_head, cubes_NKD.flatten(0, 1), part.labels_N.repeat_interleave(rows), rows),
    ):
        weight, bias = ridge_regression(features_RD, labels_R, len(CLASSES), RIDGE * num * features_RD.shape[1])
        head.weight.copy_(LOGIT_SCALE * weight)
        head.bias.copy_(LOGIT_SCALE * bias)


@torch.no_grad()
def exit_logits(network: AdaFocusV3, part: Part, cubes_NKD: Tensor) -> Tensor:
    """logits_NEC after no cube, one, and so on."""
    classifier = _average(network)
    glance_NC = classifier.glance_head(part.glance_ND)
    return torch.cat((glance_NC[:, None], glance_NC[:, None] + _running_mean(classifier.focus_head(cubes_NKD))), dim=1)


@dataclass(slots=True, eq=False)
class CellLogits:
    """Of each clip of a part: what the heads say of the glance, and of a cube at any place (Eq. 5).

    `box_NCthw` holds the logits of the cubes that begin at whole frames and cells; between them they are interpolated.
    The slope half-way between two is the difference of the outermost cells of a cube enlarged by one: that of Eq. 5-6.
    """

    part: Part
    glance_NC: Tensor
    box_NCthw: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, network: AdaFocusV3, encoders: Encoders, part: Part, stages: Stages, name: str) -> "CellLogits":
        classifier = _average(network)
        frames, *sides = network.config.cube_size
        cells = [side // STRIDE for side in sides]

        @torch.no_grad()
        def box(clip: NDArray[np.uint8]) -> Tensor:
            logits_ThwC = classifier.focus_head(encoders.frames(clip).permute(0, 2, 3, 1))
            return F.avg_pool3d(logits_ThwC.permute(3, 0, 1, 2), (frames, *cells), stride=1)

        boxes = stages.tensor(f"cells {name}", lambda: torch.stack([box(clip) for clip in part.clips]))
        return cls(part, classifier.glance_head(part.glance_ND), boxes)

    def rows(self, which: slice) -> "CellLogits":
        """Those of these clips."""
        return CellLogits(self.part.rows(which), self.glance_NC[which], self.box_NCthw[which])

    def losses(self, rows: slice | Tensor, positions_BK3: Tensor, *, smoothing: float = 0.1) -> Tensor:
        """The cross-entropy of each cube alone beside the glance; shape (B, K). Differentiable in the positions."""
        logits_BKC = self.glance_NC[rows][:, None] + self._cubes(rows, positions_BK3)
        return self._cross_entropy(rows, logits_BKC, smoothing)

    def running_losses(self, rows: slice | Tensor, positions_BK3: Tensor, *, smoothing: float = 0.1) -> Tensor:
        """The cross-entropy after each further cube; shape (B, K)."""
        logits_BKC = self.glance_NC[rows][:, None] + _running_mean(self._cubes(rows, positions_BK3))
        return self._cross_entropy(rows, logits_BKC, smoothing)

    def _cubes(self, rows: slice | Tensor, positions_BK3: Tensor) -> Tensor:
        inside_BK3 = _EDGE + (1 - 2 * _EDGE) * positions_BK3
        grid_BK113 = (2 * inside_BK3 - 1).flip(2)[:, :, None, None]  # torch wants (x, y, t)
        logits_BCK = F.grid_sample(self.box_NCthw[rows], grid_BK113, align_corners=True)[..., 0, 0]
        return logits_BCK.transpose(1, 2)

    def _cross_entropy(self, rows: slice | Tensor, logits_BKC: Tensor, smoothing: float) -> Tensor:
        num = logits_BKC.shape[1]
        labels = self.part.labels_N[rows].repeat_interleave(num)
        found = F.cross_entropy(logits_BKC.flatten(0, 1), labels, reduction="none", label_smoothing=smoothing)
        return found.view(-1, num)


def _running_mean(logits_BKC: Tensor) -> Tensor:
    counts_K1 = torch.arange(1, logits_BKC.shape[1] + 1)[:, None]
    return logits_BKC.cumsum(dim=1) / counts_K1


def _average(network: AdaFocusV3) -> AverageClassifier:
    assert isinstance(network.classifier, AverageClassifier)
    return network.classifier
