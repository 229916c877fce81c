"""Video Mobile-Former as one of the families. Knows no other."""

from collections.abc import Sequence

from models.family import Family, Head
from models.mobile_former.config import VARIANTS, MobileFormerConfig
from models.mobile_former.costs import paper_flops, step_flops
from models.mobile_former.network import VideoMobileFormer, build_network
from models.mobile_former.recognizer import make_recognizer


def _heads(network: VideoMobileFormer) -> Sequence[Head]:
    out = network.classifier.out
    return (Head(out, out.weight, out.bias),)


FAMILY = Family(
    name=MobileFormerConfig.family,
    title="Video Mobile-Former",
    read_config=MobileFormerConfig.from_dict,
    build_network=build_network,
    step_flops=step_flops,
    make_recognizer=make_recognizer,
    heads=_heads,
    variants=VARIANTS,
    paper_flops=paper_flops,
)
