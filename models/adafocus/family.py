"""AdaFocusV3 as one of the families. Knows no other."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

from torch import Tensor

from models.adafocus.classifier import AverageClassifier
from models.adafocus.config import AdaFocusConfig, clip_cubes, compact, frame_cubes
from models.adafocus.costs import step_flops
from models.adafocus.network import AdaFocusV3, build_network
from models.adafocus.recognizer import AdaFocusRecognizer
from models.checkpoints import load_backbone
from models.family import Family, Head

VARIANTS: Mapping[str, Callable[[int], AdaFocusConfig]] = {
    "adafocus-v3-frame-cubes": compact,
    "adafocus-v3-paper-frame-cubes": frame_cubes,
    "adafocus-v3-paper-clip-cubes": clip_cubes,
}
"""By the name that their untrained bundles begin with."""


def _heads(network: AdaFocusV3) -> Sequence[Head]:
    classifier = network.classifier
    glance = classifier.glance_head
    first = Head(glance, glance.weight, glance.bias)
    if isinstance(classifier, AverageClassifier):
        focus = classifier.focus_head
        return (first, Head(focus, focus.weight, focus.bias))
    steps = classifier.step_heads
    stacked = zip(steps.weight_KCD, steps.bias_KC, strict=True)
    return (first, *(Head(steps, weight_CD, bias_C) for weight_CD, bias_C in stacked))


def _load(part: Literal["glance", "focus"], network: AdaFocusV3, tensors: Mapping[str, Tensor]) -> None:
    """An ImageNet checkpoint of the part's backbone, without its 1000-way head."""
    load_backbone(getattr(network, part).backbone, tensors, drop_head=True)


FAMILY = Family(
    name=AdaFocusConfig.family,
    title="AdaFocusV3",
    read_config=AdaFocusConfig.from_dict,
    build_network=build_network,
    step_flops=step_flops,
    make_recognizer=AdaFocusRecognizer,
    heads=_heads,
    variants=VARIANTS,
    loaders={"glance": partial(_load, "glance"), "focus": partial(_load, "focus")},
)
