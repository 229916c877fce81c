"""TSM as one of the families. Knows no other, and loads no torch before a network is wanted."""

from models.family import Family, Light, later
from models.tsm.config import VARIANTS, TsmConfig
from models.tsm.recognizer import make_light_recognizer

_NETWORK, _PARTS = "models.tsm.network", "models.tsm.parts"

FAMILY = Family(
    name=TsmConfig.family,
    title="TSM",
    read_config=TsmConfig.from_dict,
    build_network=later(_NETWORK, "build_network"),
    step_flops=later(_NETWORK, "step_flops"),
    make_recognizer=later(_PARTS, "make_recognizer"),
    heads=later(_PARTS, "heads"),
    variants=VARIANTS,
    resize="center_crop",
    light=Light(later(_PARTS, "parts"), make_light_recognizer),
)
