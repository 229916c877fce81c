"""The kinds of model that there are, side by side: whoever holds a configuration finds its network, price and
recognizer here, and need not know which kind it is.

Shape suffixes: K steps.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from models.adafocus.config import AdaFocusConfig
from models.adafocus.costs import step_flops as adafocus_step_flops
from models.adafocus.network import AdaFocusV3
from models.adafocus.network import build_network as build_adafocus
from models.adafocus.recognizer import AdaFocusRecognizer
from models.mobile_former.config import MobileFormerConfig
from models.mobile_former.costs import paper_flops
from models.mobile_former.costs import step_flops as former_step_flops
from models.mobile_former.network import VideoMobileFormer
from models.mobile_former.network import build_network as build_mobile_former
from models.mobile_former.recognizer import MobileFormerRecognizer
from models.recognizer import Recognizer
from models.runtime.base import Runtime
from video.clip import ClipRule

Family: TypeAlias = Literal["adafocus_v3", "video_mobile_former"]
ModelConfig: TypeAlias = AdaFocusConfig | MobileFormerConfig
ModelNetwork: TypeAlias = AdaFocusV3 | VideoMobileFormer


def read_config(family: Family, values: Mapping[str, Any]) -> ModelConfig:
    """From plain values, strictly: ValueError for what is not a configuration of the family."""
    return (AdaFocusConfig if family == "adafocus_v3" else MobileFormerConfig).from_dict(values)


def family_of(config: ModelConfig) -> Family:
    return "adafocus_v3" if isinstance(config, AdaFocusConfig) else "video_mobile_former"


def build_network(config: ModelConfig, seed: int) -> ModelNetwork:
    """On the CPU, in eval mode; the weights follow from (config, seed)."""
    return build_adafocus(config, seed) if isinstance(config, AdaFocusConfig) else build_mobile_former(config, seed)


def step_flops(config: ModelConfig) -> tuple[int, ...]:
    """step_flops_K: multiply-adds of each step; a model of fixed cost has one."""
    return adafocus_step_flops(config) if isinstance(config, AdaFocusConfig) else (former_step_flops(config),)


def own_paper_flops(config: ModelConfig) -> int | None:
    """What the model's own paper would print for a whole pass, where it counts otherwise than our prices do."""
    return paper_flops(config) if isinstance(config, MobileFormerConfig) else None


def make_recognizer(
    network: ModelNetwork, clip_rule: ClipRule, temperatures_K: Sequence[float], runtime: Runtime
) -> Recognizer[Any]:
    """Raises ValueError where the clip rule or the temperatures do not fit the network."""
    if isinstance(network, AdaFocusV3):
        return AdaFocusRecognizer(network, clip_rule, temperatures_K, runtime)
    return MobileFormerRecognizer(network, clip_rule, temperatures_K, runtime)
