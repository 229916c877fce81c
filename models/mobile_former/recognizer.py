"""Video Mobile-Former behind the recognizer protocol: the encoder by a runtime, the classifier in fp32.

Knows what is computed in which precision, not what executes the encoder nor who asks.

Shape suffixes: B clips, T frames, N = B * T, H rows, W columns, C classes or colour channels, D features.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.answers import cache_key
from models.mobile_former.costs import step_flops
from models.mobile_former.folding import fold
from models.mobile_former.network import VideoMobileFormer
from models.recognizer import Frames
from models.runtime.base import Runtime
from models.single_pass import Logits, SinglePassRecognizer
from video.clip import ClipRule


def make_recognizer(
    network: VideoMobileFormer, clip_rule: ClipRule, temperatures: Sequence[float], runtime: Runtime
) -> SinglePassRecognizer:
    """The network is copied: later changes are not seen.

    Raises ValueError when the clip rule or the one temperature does not fit the network.
    """
    config = network.config
    clip_size = (config.num_frames, *config.frame_size)

    def make_logits() -> Logits:
        folded = fold(network.encoder)
        # Of what is converted: another way to fold must not find the conversion of the last one.
        key = cache_key("video-mobile-former", folded, config.to_dict())
        run_encoder = runtime.compile(folded, torch.zeros(*clip_size, 3, dtype=torch.uint8), key=key, one_by_one=True)
        classifier = copy.deepcopy(network.classifier).float().eval().to(runtime.device)

        def logits(clips_THWC: Sequence[Frames]) -> Tensor:
            logits_BC: Tensor = classifier(run_encoder(torch.from_numpy(np.concatenate(clips_THWC))))
            return logits_BC

        return logits

    return SinglePassRecognizer(
        make_logits,
        title="Video Mobile-Former",
        clip_size=clip_size,
        clip_rule=clip_rule,
        temperatures=temperatures,
        step_flops=step_flops(config),
    )
