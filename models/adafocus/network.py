"""AdaFocusV3's parts together, and the forward pass that trains them: all exits of a batch of clips at once.

Knows no early exit, loss or optimiser; adaptive inference is `recognizer`'s.

Shape suffixes: B clips, T frames (of the clip, the glance or a cube) or what a cube shows of them, H rows, W columns,
K cubes, E = K + 1 exits, N = B * K, D features, h and w cells, C classes (logits) or channels (pixels, maps),
3 = (t, y, x).
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from models.adafocus.classifier import build_classifier
from models.adafocus.config import AdaFocusConfig
from models.adafocus.cubes import place_cubes
from models.adafocus.encoders import FocusEncoder, GlanceEncoder
from models.adafocus.enlarged import centres, crop_enlarged, enlarged_axes, enlarged_size, interpolate, shifts_in_cells
from models.adafocus.heat_map import HeatMapPolicy
from models.adafocus.pixels import crop_between_pixels
from models.adafocus.policy import Policy
from models.seeded import seeded

Cubes: TypeAlias = Literal["deep", "pixel", "plain"]
"""How cubes are cut: enlarged, their features interpolated (Eq. 5-6); between pixels (AdaFocusV2); or as inference cuts
them, whole frames and pixels, which give the policy no gradient."""


@dataclass(frozen=True, slots=True)
class Exits:
    """What `AdaFocusV3.forward` knows of a batch. The auxiliary logits train each encoder on its own (V2's loss)."""

    logits_BEC: Tensor
    auxiliary_glance_BTC: Tensor
    auxiliary_focus_BKTC: Tensor
    positions_BK3: Tensor


class AdaFocusV3(nn.Module):
    def __init__(self, config: AdaFocusConfig) -> None:
        super().__init__()
        self.config = config
        self.glance = GlanceEncoder(config)
        head = HeatMapPolicy if config.policy == "heat_map" else Policy
        self.policy: Policy | HeatMapPolicy = head(config, self.glance.num_features)
        self.focus = FocusEncoder(config)
        self.classifier = build_classifier(config, self.glance.num_features, self.focus.num_features)
        self.auxiliary_dropout = nn.Dropout(config.dropout)
        self.auxiliary_glance = nn.Linear(self.glance.num_features, config.num_classes)
        self.auxiliary_focus = nn.Linear(self.focus.num_features, config.num_classes)

    def forward(self, clips_BTHWC: Tensor, positions_BK3: Tensor | None = None) -> Exits:
        """Every exit of every clip (uint8). `positions_BK3` in [0, 1] replace the policy's, e.g. random ones (Eq. 1).

        In train mode cubes are enlarged and their features interpolated (Eq. 5-6), and frames may repeat between
        cubes; in eval mode the result is what the recognizer answers. Gradients: the policy's input is detached, and
        pixels carry none, so the policy learns through Eq. 5-6 alone and teaches the glance encoder nothing.
        """
        maps_BTChw = self.glance_maps(clips_BTHWC)
        if positions_BK3 is None:
            positions_BK3 = self.policy(maps_BTChw.detach())
        return self.exits(clips_BTHWC, maps_BTChw, positions_BK3, cubes="deep" if self.training else "plain")

    def exits(self, clips_BTHWC: Tensor, maps_BTChw: Tensor, positions_BK3: Tensor, *, cubes: Cubes) -> Exits:
        """The exits of clips that were glanced at: one glance serves several sets of cubes.

        There may be fewer than K cubes; then there are fewer exits.
        """
        glance_BTD = maps_BTChw.mean(dim=(3, 4))
        cubes_BKTD = self.cube_features(clips_BTHWC, positions_BK3, cubes=cubes)
        return Exits(
            logits_BEC=self._classify(glance_BTD, cubes_BKTD),
            auxiliary_glance_BTC=self.auxiliary_glance(self.auxiliary_dropout(glance_BTD)),
            auxiliary_focus_BKTC=self.auxiliary_focus(self.auxiliary_dropout(cubes_BKTD)),
            positions_BK3=positions_BK3,
        )

    def glance_maps(self, clips_BTHWC: Tensor) -> Tensor:
        """maps_BTChw of the frames at `glance_indices`. Raises ValueError for clips of another shape."""
        check_clips(clips_BTHWC, self.config)
        frames_BTHWC = clips_BTHWC[:, list(self.config.glance_indices)]
        return split_rows(self.glance(frames_BTHWC.flatten(0, 1)), self.config.num_glance_frames)

    def cube_features(self, clips_BTHWC: Tensor, positions_BK3: Tensor, *, cubes: Cubes) -> Tensor:
        """features_BKTD of any number of cubes."""
        features = {"deep": self._deep_features, "pixel": self._pixel_features, "plain": self._plain_features}[cubes]
        return split_rows(features(clips_BTHWC, positions_BK3), positions_BK3.shape[1])

    def _deep_features(self, clips_BTHWC: Tensor, positions_BK3: Tensor) -> Tensor:
        config = self.config
        centres_BK3 = centres(positions_BK3, config)
        crops_NTHWC = crop_enlarged(clips_BTHWC, centres_BK3, config)
        num_frames = enlarged_size(config)[0]
        maps_NTChw = split_rows(
            self.focus.maps(crops_NTHWC.flatten(0, 1), num_frames), config.num_focus_images(num_frames)
        )
        shifts_N3 = shifts_in_cells(centres_BK3.flatten(0, 1))
        return interpolate(maps_NTChw, shifts_N3, enlarged_axes(config)).mean(dim=(3, 4))

    def _pixel_features(self, clips_BTHWC: Tensor, positions_BK3: Tensor) -> Tensor:
        crops_NTHWC = crop_between_pixels(clips_BTHWC, positions_BK3, self.config)
        return self._of_cubes(crops_NTHWC)

    def _plain_features(self, clips_BTHWC: Tensor, positions_BK3: Tensor) -> Tensor:
        crops_NTHWC = torch.stack(
            [
                clip_THWC[cube.t :, cube.y :, cube.x :][: cube.num_frames, : cube.height_px, : cube.width_px]
                for clip_THWC, positions_K3 in zip(clips_BTHWC, positions_BK3, strict=True)
                for cube in place_cubes(positions_K3.detach().cpu().numpy().astype(np.float32), self.config)
            ]
        )
        return self._of_cubes(crops_NTHWC)

    def _of_cubes(self, crops_NTHWC: Tensor) -> Tensor:
        return split_rows(self.focus(crops_NTHWC.flatten(0, 1)), self.config.num_focus_images(crops_NTHWC.shape[1]))

    def _classify(self, glance_BTD: Tensor, cubes_BKTD: Tensor) -> Tensor:
        batch, num_cubes = cubes_BKTD.shape[:2]
        glance_BG = self.classifier.remember_glance(glance_BTD)
        embeddings_BKM = split_rows(self.classifier.embed_cubes(cubes_BKTD.flatten(0, 1)), num_cubes)
        logits = [self.classifier.glance_logits(glance_BG)]
        memory_BM = torch.zeros_like(embeddings_BKM[:, 0])
        for step in range(1, num_cubes + 1):
            memory_BM = self.classifier.merge(memory_BM, embeddings_BKM[:, step - 1])
            logits.append(self.classifier.step_logits(glance_BG, memory_BM, [step] * batch))
        return torch.stack(logits, dim=1)


def build_network(config: AdaFocusConfig, seed: int) -> AdaFocusV3:
    """A network whose initial weights follow from (config, seed) alone. In eval mode, on the CPU.

    The caller's random state is left as it was. Checkpoints replace the backbones' start.
    """
    return seeded(lambda: AdaFocusV3(config), seed)


def split_rows(rows: Tensor, length: int) -> Tensor:
    """(N * length, ...) to (N, length, ...)."""
    return rows.view(-1, length, *rows.shape[1:])


def check_clips(clips_BTHWC: Tensor, config: AdaFocusConfig) -> None:
    """Raises ValueError, naming what is wanted and what was given."""
    wanted = (config.num_frames, *config.frame_size, 3)
    if clips_BTHWC.ndim != 5 or clips_BTHWC.shape[1:] != wanted or clips_BTHWC.dtype != torch.uint8:
        raise ValueError(
            f"clips are {clips_BTHWC.dtype} {tuple(clips_BTHWC.shape)}, but must be torch.uint8 (batch, "
            f"{', '.join(map(str, wanted))}); sample and resize the video as the model's clip rule says"
        )
