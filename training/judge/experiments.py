"""Which experiments there are to be: what ships, its baselines, seeds and ablations. Knows no result and no page."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Planned:
    name: str
    what: str


MAIN = Planned("compact", "the default bundle, all steps: cubes that follow a person")
SHIPPED = (MAIN.name, "light", "video-mobile-former-compact")
"""Experiments on bundles that ship; all others are history."""
LEARNED = Planned("compact-learned", "the default bundle until decision 0034: learned cubes of differences, seed 0")
BASELINES = (
    Planned("compact-16-frames-tsn-plus", "the full-frame baseline of compact-learned (TSN+), same schedule"),
    Planned("compact-tsn-plus", "the same on the eight frames of its glance alone"),
)
SEEDS = (
    LEARNED,
    Planned("compact-seed-1", "compact-learned, seed 1"),
    Planned("compact-seed-2", "compact-learned, seed 2"),
)
"""Of what shipped before. Of the default bundle a seed deals the folds alone: `training.judge.seeds_result`."""
ABLATIONS = (
    Planned("compact-frames", "Cubes of frames instead of differences"),
    Planned("compact-no-glance-features", "Table 5: without glance features in the classifier"),
    Planned("compact-pixel-gradients", "Table 5: policy trained by pixel instead of deep-feature gradients"),
    Planned("compact-8-cubes", "Table 5: a policy of eight cubes, to compare at one, two, four and eight"),
)
PAPER_SIZE = (
    Planned("tsm", "the paper's size: MobileNetV2 and ResNet-50, cubes of 128 x 128 x 12"),
    Planned("tsm-tsm-plus", "its full-frame baseline (TSM+)"),
)
PLAN = (MAIN, *BASELINES, *SEEDS, *ABLATIONS, *PAPER_SIZE)
