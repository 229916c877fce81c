"""TSM taken apart: what a runtime executes, and the one layer that gives logits. Knows no runtime."""

from collections.abc import Mapping, Sequence

import torch

from models.answers import check_rule
from models.executing import execute
from models.family import Head
from models.runtime.base import Runtime
from models.runtime.parts import Part
from models.single_pass import SinglePassRecognizer
from models.tsm.network import Tsm
from models.tsm.recognizer import make_light_recognizer
from video.clip import ClipRule


def parts(network: Tsm) -> Mapping[str, Part]:
    """The encoder and the classifier."""
    config = network.config
    clip_NHWC = torch.zeros(config.num_frames, *config.frame_size, 3, dtype=torch.uint8)
    features_BD = torch.zeros(1, network.encoder.num_features)
    return {
        "encoder": Part(network.encoder, (clip_NHWC,), heavy=True, one_by_one=True),
        "classifier": Part(network.classifier, (features_BD,)),
    }


def make_recognizer(
    network: Tsm, clip_rule: ClipRule, temperatures: Sequence[float], runtime: Runtime
) -> SinglePassRecognizer:
    """The network is copied: later changes are not seen.

    Raises ValueError when the clip rule or the one temperature does not fit the network.
    """
    config = network.config
    check_rule(clip_rule, (config.num_frames, *config.frame_size), temperatures, exits=1)
    return make_light_recognizer(config, clip_rule, temperatures, execute(parts(network), config, runtime))


def heads(network: Tsm) -> Sequence[Head]:
    classifier = network.classifier
    return (Head(classifier, classifier.weight, classifier.bias),)
