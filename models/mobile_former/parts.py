"""Video Mobile-Former taken apart: what a runtime executes, and the one layer that gives logits. Knows no runtime."""

from collections.abc import Mapping, Sequence

import torch

from models.answers import check_rule
from models.executing import execute
from models.family import Head
from models.mobile_former.config import MobileFormerConfig
from models.mobile_former.folding import fold
from models.mobile_former.network import VideoMobileFormer
from models.mobile_former.recognizer import make_light_recognizer
from models.runtime.base import Runtime
from models.runtime.parts import Part
from models.single_pass import SinglePassRecognizer
from video.clip import ClipRule


def parts(network: VideoMobileFormer) -> Mapping[str, Part]:
    """The encoder, folded, and the classifier."""
    config = network.config
    clip_NHWC = torch.zeros(config.num_frames, *config.frame_size, 3, dtype=torch.uint8)
    features_BD = torch.zeros(1, network.encoder.num_features)
    return {
        # Folded before it is named: another way to fold must not find the conversion of the last one.
        "encoder": Part(fold(network.encoder), (clip_NHWC,), heavy=True, one_by_one=True),
        "classifier": Part(network.classifier, (features_BD,)),
    }


def make_recognizer(
    network: VideoMobileFormer, clip_rule: ClipRule, temperatures: Sequence[float], runtime: Runtime
) -> SinglePassRecognizer:
    """The network is copied: later changes are not seen.

    Raises ValueError when the clip rule or the one temperature does not fit the network.
    """
    config: MobileFormerConfig = network.config
    check_rule(clip_rule, (config.num_frames, *config.frame_size), temperatures, exits=1)
    return make_light_recognizer(config, clip_rule, temperatures, execute(parts(network), config, runtime))


def heads(network: VideoMobileFormer) -> Sequence[Head]:
    out = network.classifier.out
    return (Head(out, out.weight, out.bias),)
