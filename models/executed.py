"""A network made executable, with its prices: all that a recognizer needs.

Knows no architecture, and loads no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from models.prices import Prices
from models.runtime.base import Arrays, Function


@dataclass(frozen=True, slots=True, eq=False)
class Executed:
    """`functions` go by the names that the family gives its parts; they take and give `arrays`."""

    functions: Mapping[str, Function]
    arrays: Arrays
    prices: Prices
