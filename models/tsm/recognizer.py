"""TSM behind the recognizer protocol: one step. Loads no torch."""

from collections.abc import Sequence

from models.executed import Executed
from models.single_pass import SinglePassRecognizer, encoder_and_classifier
from models.tsm.config import TsmConfig
from video.clip import ClipRule


def make_light_recognizer(
    config: TsmConfig, clip_rule: ClipRule, temperatures: Sequence[float], executed: Executed
) -> SinglePassRecognizer:
    """Of the parts of `models.tsm.parts`. ValueError when the clip rule or the one temperature do not fit."""
    return encoder_and_classifier("TSM", config, clip_rule, temperatures, executed)
