"""Full-frame baselines to compare with: the same backbones on whole frames, every frame, no choice, one prediction.

Know no cube and no policy. TSN (Wang et al., ECCV 2016): the focus backbone on each frame, logits averaged. TSM: with
temporal shift. TSM+ (AdaFocusV3, section 4.2): the glance backbone beside it, logits of both added. What the focus
backbone is given and how its features are pooled is as in the model they are compared with.

Shape suffixes: B clips, T frames, H rows, W columns, C classes or colour channels, D features.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.adafocus.classifier import FramePool
from models.adafocus.config import AdaFocusConfig
from models.adafocus.encoders import FocusEncoder, GlanceEncoder
from models.adafocus.network import Exits, check_clips, split_rows
from models.flops import count_call_flops
from models.seeded import seeded
from training.full_frame.config import BaselineConfig

TITLE = "full-frame baseline"
NAMES = ("tsn", "tsm", "tsn+", "tsm+")


@dataclass(frozen=True, slots=True)
class FullFrameConfig(BaselineConfig):
    """The baseline of one AdaFocus model: its frames (those of its glance), sizes, backbones and normalisation."""

    family: ClassVar[str] = "full_frame"
    title: ClassVar[str] = TITLE
    temporal_shift: bool
    with_glance: bool

    @classmethod
    def named(cls, model: AdaFocusConfig, name: str) -> "FullFrameConfig":
        """The baseline `name` of `model`; ValueError for a name that is none."""
        if name not in NAMES:
            raise ValueError(f"baseline is {name!r}, but must be one of {', '.join(NAMES)}")
        assert model.placement == "learned", "the baselines of models whose cubes a rule places are of whole frames"
        return cls(model, temporal_shift=name.startswith("tsm"), with_glance=name.endswith("+"))


class FullFrame(nn.Module):
    """Answers as AdaFocusV3 does, with one exit and no cubes, so that the same code trains and measures both."""

    def __init__(self, config: FullFrameConfig) -> None:
        super().__init__()
        model = config.model
        self.config = config
        self.num_frames = model.num_glance_frames
        self.glance = GlanceEncoder(model) if config.with_glance else None
        self.focus = FocusEncoder(model)
        self.focus.shifts = config.temporal_shift
        self.dropout = nn.Dropout(model.dropout)
        self.pool = FramePool(model.aggregation)
        heads = {"focus": nn.Linear(self.pool.width * self.focus.num_features, model.num_classes)}
        if self.glance is not None:
            self.glance.num_frames = self.num_frames if config.temporal_shift else None
            heads["glance"] = nn.Linear(self.pool.width * self.glance.num_features, model.num_classes)
        self.classifier = nn.ModuleDict(heads)

    def heads(self) -> dict[str, nn.Linear]:
        """By the name of the network whose features they are given."""
        return {name: head for name, head in self.classifier.items() if isinstance(head, nn.Linear)}

    def forward(self, clips_BTHWC: Tensor) -> Exits:
        """`logits_BEC` with E = 1; the auxiliary logits are those of each network alone."""
        logits = {
            name: self.classifier[name](self.dropout(pooled_BF)) for name, pooled_BF in self.pooled(clips_BTHWC).items()
        }
        focus_BC = logits["focus"]
        glance_BTC = logits["glance"][:, None] if "glance" in logits else focus_BC[:, None][:, :0]
        logits_BC = torch.stack(list(logits.values())).sum(dim=0)
        return Exits(
            logits_BEC=logits_BC[:, None],
            auxiliary_glance_BTC=glance_BTC,
            auxiliary_focus_BKTC=focus_BC[:, None, None],
            positions_BK3=logits_BC.new_empty(len(clips_BTHWC), 0, 3),
        )

    def pooled(self, clips_BTHWC: Tensor) -> dict[str, Tensor]:
        """By the name of its head, what that is given. Raises ValueError for clips of another shape."""
        model = self.config.model
        check_clips(clips_BTHWC, model)
        frames_NHWC = clips_BTHWC[:, list(model.glance_indices)].flatten(0, 1)
        images = model.num_focus_images(self.num_frames)
        pooled = {"focus": self._pool(self.focus.maps(frames_NHWC, self.num_frames), images)}
        if self.glance is not None:
            pooled["glance"] = self._pool(self.glance(frames_NHWC), self.num_frames)
        return pooled

    def _pool(self, maps_NChw: Tensor, images: int) -> Tensor:
        pooled_BF: Tensor = self.pool(split_rows(maps_NChw.mean(dim=(2, 3)), images))
        return pooled_BF


def build_network(config: FullFrameConfig, seed: int) -> FullFrame:
    """As `seeded` says; the weights follow from (config, seed)."""
    return seeded(lambda: FullFrame(config), seed)


def step_flops(config: FullFrameConfig) -> tuple[int]:
    """Multiply-adds a clip, in the one step that there is."""
    with torch.device("meta"):
        network = FullFrame(config).eval()
        frames_NHWC = torch.empty(network.num_frames, *config.model.frame_size, 3, dtype=torch.uint8)
        flops = count_call_flops(network.focus.maps, frames_NHWC, network.num_frames)
        head = network.pool.width * config.model.num_classes
        flops += head * network.focus.num_features
        if network.glance is not None:
            flops += count_call_flops(network.glance, frames_NHWC)
            flops += head * network.glance.num_features
    return (flops,)
