"""Shapes that have a name: the paper's two, one for a machine of two cores, one for tests. Knows no layer."""

from models.adafocus.config import AdaFocusConfig
from models.backbones.config import BackboneConfig


def frame_cubes(num_classes: int, *, cube: int = 128) -> AdaFocusConfig:
    """The paper's ActivityNet / FCVID / Mini-Kinetics model (section 4.1): 18 frames, 18 single-frame cubes.

    `cube` is 96 or 128 (pixels per side).
    """
    return AdaFocusConfig(
        num_classes=num_classes,
        num_frames=18,
        frame_size=(224, 224),
        glance_indices=tuple(range(18)),
        glance_size=(224, 224),
        glance=BackboneConfig("mobilenet_v2"),
        focus=BackboneConfig("resnet50"),
        cube_size=(1, cube, cube),
        max_cubes=18,
    )


def clip_cubes(num_classes: int, *, cube_frames: int = 12) -> AdaFocusConfig:
    """The paper's Something-Something / Diving48 model (section 4.2): TSM, two cubes of 128 x 128 x 12 out of 16.

    `cube_frames` is 8, 12 or 16 in Table 4.
    """
    return AdaFocusConfig(
        num_classes=num_classes,
        num_frames=16,
        frame_size=(224, 224),
        glance_indices=tuple(range(0, 16, 2)),
        glance_size=(224, 224),
        glance=BackboneConfig("mobilenet_v2"),
        focus=BackboneConfig("resnet50"),
        cube_size=(cube_frames, 128, 128),
        max_cubes=2,
        temporal_shift=True,
        aggregation="average",
        dropout=0.5,
    )


def compact(num_classes: int) -> AdaFocusConfig:
    """For a machine of two cores: 16 frames of 160 x 160, 0.42 GMAC to glance, 0.06 GMAC a cube, six cubes."""
    return AdaFocusConfig(
        num_classes=num_classes,
        num_frames=16,
        frame_size=(160, 160),
        glance_indices=tuple(range(16)),
        glance_size=(112, 112),
        glance=BackboneConfig("mobilenet_v2", width_mult=0.5),
        focus=BackboneConfig("mobilenet_v2"),
        cube_size=(1, 96, 96),
        max_cubes=6,
        classifier_hidden=512,
        policy_conv=32,
        policy_hidden=(256, 128),
    )


def tiny(num_classes: int = 5) -> AdaFocusConfig:
    """For tests: milliseconds a clip."""
    return AdaFocusConfig(
        num_classes=num_classes,
        num_frames=6,
        frame_size=(64, 64),
        glance_indices=(0, 2, 4),
        glance_size=(48, 48),
        glance=BackboneConfig("mobilenet_v2", width_mult=0.1),
        focus=BackboneConfig("mobilenet_v2", width_mult=0.1),
        cube_size=(1, 32, 32),
        max_cubes=3,
        classifier_hidden=16,
        policy_conv=8,
        policy_hidden=(16,),
    )
