"""From a network's parts to an executable one, by a runtime; and its prices, counted. Needs torch; knows no family."""

from collections.abc import Mapping

from models.answers import cache_key
from models.executed import Executed
from models.families import find_family
from models.family import ModelConfig
from models.prices import Prices
from models.runtime.base import Runtime
from models.runtime.parts import Part


def execute(parts: Mapping[str, Part], config: ModelConfig, runtime: Runtime) -> Executed:
    """The parts are copied: later changes are not seen."""
    shape = config.to_dict()
    functions = {
        name: runtime.execute(part, key=cache_key(f"{config.family}-{name}", part.module, shape))
        for name, part in parts.items()
    }
    return Executed(functions, runtime.arrays, count_prices(config))


def count_prices(config: ModelConfig) -> Prices:
    """By running every part on tensors without data."""
    family = find_family(config.family)
    return Prices(
        step_flops=family.step_flops(config),
        frame_flops=None if family.frame_flops is None else family.frame_flops(config),
        paper_flops=None if family.paper_flops is None else family.paper_flops(config),
    )
