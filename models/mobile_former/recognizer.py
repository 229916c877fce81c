"""Video Mobile-Former behind the recognizer protocol: the encoder, then the classifier in fp32.

Knows what is computed in which order, not what executes it nor who asks. Loads no torch.

Shape suffixes: B clips, C classes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.executed import Executed
from models.mobile_former.config import MobileFormerConfig
from models.recognizer import Frames
from models.runtime.base import Array
from models.single_pass import SinglePassRecognizer
from video.clip import ClipRule


def make_light_recognizer(
    config: MobileFormerConfig, clip_rule: ClipRule, temperatures: Sequence[float], executed: Executed
) -> SinglePassRecognizer:
    """Of the parts of `models.mobile_former.parts`. ValueError when the clip rule or the one temperature do not fit."""
    encoder, classifier = executed.functions["encoder"], executed.functions["classifier"]

    def logits(clips_THWC: Sequence[Frames]) -> tuple[NDArray[np.float32], Array]:
        features_BD: Array = encoder(np.concatenate(clips_THWC))
        return executed.arrays.to_numpy(features_BD), classifier(features_BD)

    return SinglePassRecognizer(
        lambda: logits,
        title="Video Mobile-Former",
        clip_size=(config.num_frames, *config.frame_size),
        clip_rule=clip_rule,
        temperatures=temperatures,
        step_flops=executed.prices.step_flops,
    )
