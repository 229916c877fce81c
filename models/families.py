"""The families of models that there are: a table of where each lives, imported when it is named.

Knows no family. A new one is a folder with a `family.py`, whose FAMILY is the value, and a line here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a family is needs torch; which there are does not
    from models.family import Family

FAMILIES: dict[str, str] = {
    "adafocus_v3": "models.adafocus.family",
    "video_mobile_former": "models.mobile_former.family",
    "timesformer": "models.timesformer.family",
    "tsm": "models.tsm.family",
}
"""By the name that bundles have of it, the module that holds FAMILY."""


def find_family(name: str) -> "Family[Any, Any]":
    """Raises ValueError for a name that is not in the table."""
    if name not in FAMILIES:
        raise ValueError(f"family is {name!r}, but must be one of {', '.join(FAMILIES)}")
    family: Family[Any, Any] = import_module(FAMILIES[name]).FAMILY
    assert family.name == name, f"{FAMILIES[name]} calls itself {family.name}"
    return family
