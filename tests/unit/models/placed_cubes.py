"""Tiny configurations whose cubes a rule places: what their tests share."""

from dataclasses import replace

import torch

from models.adafocus.placed import PlacedAdaFocus
from models.adafocus.shapes import tiny
from models.backbones.config import BackboneConfig

_BACKBONE = BackboneConfig("mobilenet_v2", width_mult=0.1, padding="same")
PERSON = replace(
    tiny(),
    frame_size=(56, 72),
    glance_indices=(0, 1, 3, 5),
    glance_size=(32, 64),
    glance=_BACKBONE,
    focus=_BACKBONE,
    cube_size=(2, 32, 32),
    max_cubes=2,
    step_frames=((1, 3), (0, 5)),
    aggregation="pooled_roots",
    placement="person",
    middle_features=True,
    key_points=True,
    local_features=True,
    body_directions=True,
)
CENTRE = replace(PERSON, placement="centre")
WITHOUT_LOCAL = replace(PERSON, local_features=False, body_directions=False)
WITHOUT_POINTS = replace(WITHOUT_LOCAL, placement="motion", key_points=False, middle_features=False)
MOTION = replace(
    PERSON,
    motion_frames=(0, 1, 3, 5),
    motion=replace(_BACKBONE, padding="symmetric"),
    motion_window=(48, 40),
    motion_size=(32, 32),
)
RECYCLED = replace(MOTION, recycled_share=0.3)
IN_PARTS = replace(RECYCLED, first_glance_indices=(0, 3))


def lively_placed(config=PERSON, seed: int = 0) -> PlacedAdaFocus:  # type: ignore[no-untyped-def]
    """Seeded; surer of its answers than it is by right, so that they differ from clip to clip."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PlacedAdaFocus(config).eval()
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name in {"pose.centre.output.weight", "pose.heat.output.weight"}:
                    parameter.mul_(30)  # one cell is clearly the hottest
                if name.startswith("classifier."):
                    parameter.mul_(5)
    return network
