"""TimeSformer as one of the families. Knows no other."""

from collections.abc import Sequence

from models.family import Family, Head
from models.timesformer.config import VARIANTS, TimeSformerConfig
from models.timesformer.costs import step_flops
from models.timesformer.image_vit import start_from_image_vit
from models.timesformer.network import TimeSformer, build_network
from models.timesformer.recognizer import TimeSformerRecognizer


def _heads(network: TimeSformer) -> Sequence[Head]:
    """One for all views."""
    classifier = network.classifier
    return (Head(classifier, classifier.weight, classifier.bias),)


FAMILY = Family(
    name=TimeSformerConfig.family,
    title="TimeSformer",
    read_config=TimeSformerConfig.from_dict,
    build_network=build_network,
    step_flops=step_flops,
    make_recognizer=TimeSformerRecognizer,
    heads=_heads,
    variants=VARIANTS,
    resize="three_crops",
    loaders={"glance": start_from_image_vit},
)
