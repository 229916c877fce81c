"""From a network's parts to an executable one, by a runtime. Needs torch; knows no family."""

from collections.abc import Mapping

from models.answers import cache_key
from models.executed import Executed
from models.family import ModelConfig
from models.prices import count_prices
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
