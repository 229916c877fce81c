"""Video Mobile-Former as one of the families. Knows no other, and loads no torch before a network is wanted."""

from models.family import Family, Light, later
from models.mobile_former.config import VARIANTS, MobileFormerConfig
from models.mobile_former.recognizer import make_light_recognizer

_COSTS, _NETWORK, _PARTS = (f"models.mobile_former.{name}" for name in ("costs", "network", "parts"))

FAMILY = Family(
    name=MobileFormerConfig.family,
    title="Video Mobile-Former",
    read_config=MobileFormerConfig.from_dict,
    build_network=later(_NETWORK, "build_network"),
    step_flops=later(_COSTS, "step_flops"),
    make_recognizer=later(_PARTS, "make_recognizer"),
    heads=later(_PARTS, "heads"),
    variants=VARIANTS,
    paper_flops=later(_COSTS, "paper_flops"),
    light=Light(later(_PARTS, "parts"), make_light_recognizer),
)
