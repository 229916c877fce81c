"""AdaFocusV3 as one of the families. Knows no other, and loads no torch before a network is wanted."""

from collections.abc import Callable, Mapping
from functools import partial

from models.adafocus.config import AdaFocusConfig
from models.adafocus.recognizer import AdaFocusRecognizer
from models.adafocus.shapes import clip_cubes, compact, frame_cubes
from models.family import Family, Light, later

_COSTS, _PLACED, _PARTS = (f"models.adafocus.{name}" for name in ("costs", "placed", "parts"))

VARIANTS: Mapping[str, Callable[[int], AdaFocusConfig]] = {
    "adafocus-v3-frame-cubes": compact,
    "adafocus-v3-paper-frame-cubes": frame_cubes,
    "adafocus-v3-paper-clip-cubes": clip_cubes,
}
"""By the name that their untrained bundles begin with."""


FAMILY = Family(
    name=AdaFocusConfig.family,
    title="AdaFocusV3",
    read_config=AdaFocusConfig.from_dict,
    build_network=later(_PLACED, "build_any"),
    step_flops=later(_COSTS, "step_flops"),
    make_recognizer=later(_PARTS, "make_recognizer"),
    heads=later(_PARTS, "heads"),
    variants=VARIANTS,
    loaders={
        **{part: partial(later(_PARTS, "load_part"), part) for part in ("glance", "focus", "motion")},
        "pose": later(_PARTS, "load_pose"),
    },
    frame_flops=later(_COSTS, "frame_flops"),
    light=Light(later(_PARTS, "parts"), AdaFocusRecognizer),
)
