"""Video Mobile-Former behind the recognizer protocol: one step. Loads no torch."""

from collections.abc import Sequence

from models.executed import Executed
from models.mobile_former.config import MobileFormerConfig
from models.single_pass import SinglePassRecognizer, encoder_and_classifier
from video.clip import ClipRule


def make_light_recognizer(
    config: MobileFormerConfig, clip_rule: ClipRule, temperatures: Sequence[float], executed: Executed
) -> SinglePassRecognizer:
    """Of the parts of `models.mobile_former.parts`. ValueError when the clip rule or the one temperature do not fit."""
    return encoder_and_classifier("Video Mobile-Former", config, clip_rule, temperatures, executed)
