"""TimeSformer as one of the families. Knows no other, and loads no torch before a network is wanted."""

from models.family import Family, Light, later
from models.timesformer.config import VARIANTS, TimeSformerConfig
from models.timesformer.recognizer import TimeSformerRecognizer

_COSTS, _IMAGE_VIT, _NETWORK, _PARTS = (
    f"models.timesformer.{name}" for name in ("costs", "image_vit", "network", "parts")
)

FAMILY = Family(
    name=TimeSformerConfig.family,
    title="TimeSformer",
    read_config=TimeSformerConfig.from_dict,
    build_network=later(_NETWORK, "build_network"),
    step_flops=later(_COSTS, "step_flops"),
    make_recognizer=later(_PARTS, "make_recognizer"),
    heads=later(_PARTS, "heads"),
    variants=VARIANTS,
    resize="three_crops",
    loaders={"glance": later(_IMAGE_VIT, "start_from_image_vit")},
    light=Light(later(_PARTS, "parts"), TimeSformerRecognizer),
)
