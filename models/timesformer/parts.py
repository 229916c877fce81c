"""TimeSformer taken apart: what a runtime executes, the one layer that gives logits. Knows no runtime and no order."""

from collections.abc import Mapping, Sequence

import torch

from models.executing import execute
from models.family import Head
from models.runtime.base import Runtime
from models.runtime.parts import Part
from models.timesformer.folding import fold
from models.timesformer.network import TimeSformer
from models.timesformer.recognizer import TimeSformerRecognizer, check_fit
from video.clip import ClipRule


def parts(network: TimeSformer) -> Mapping[str, Part]:
    """The encoder, folded, one view after the other; and the classifier."""
    config = network.config
    view_NHWC = torch.zeros(config.num_frames, *config.view_size, 3, dtype=torch.uint8)
    features_BD = torch.zeros(1, config.dim)
    return {
        # Folded before it is named: another way to fold must not find the conversion of the last one.
        "encoder": Part(fold(network.encoder), (view_NHWC,), heavy=True, one_by_one=True),
        "classifier": Part(network.classifier, (features_BD,)),
    }


def make_recognizer(
    network: TimeSformer, clip_rule: ClipRule, temperatures: Sequence[float], runtime: Runtime
) -> TimeSformerRecognizer:
    """The network is copied: later changes are not seen.

    Raises ValueError when the clip rule or the temperatures (one a view) do not fit the network.
    """
    config = network.config
    check_fit(config, clip_rule, temperatures)
    return TimeSformerRecognizer(config, clip_rule, temperatures, execute(parts(network), config, runtime))


def heads(network: TimeSformer) -> Sequence[Head]:
    """One for all views."""
    classifier = network.classifier
    return (Head(classifier, classifier.weight, classifier.bias),)
