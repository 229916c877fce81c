"""How each family is trained: a table of those that differ from the plain way, imported when they are named.

Knows no family. One that is not listed is trained plainly (`training.plain`).
"""

from importlib import import_module
from typing import Any

from torch import nn

from models.families import FAMILIES, find_family
from models.family import config_of
from training.family import FamilyTraining
from training.plain import plainly

TRAININGS: dict[str, str] = {
    "adafocus_v3": "training.adafocus.family",
    "full_frame": "training.full_frame.family",
    "timesformer": "training.timesformer.family",
    "video_mobile_former": "training.mobile_former.family",
    "whole_frames": "training.full_frame.whole_family",
}
"""By the name that runs have of it, the module that holds TRAINING. Full-frame baselines become no bundle: they are a
family of training alone."""


def find_training(name: str) -> FamilyTraining[Any, Any]:
    """Raises ValueError for a family that is neither here nor in `models.families`."""
    if name not in TRAININGS:
        if name not in FAMILIES:
            known = ", ".join(dict.fromkeys((*FAMILIES, *TRAININGS)))
            raise ValueError(f"family is {name!r}, but must be one of {known}")
        return plainly(find_family(name))
    training: FamilyTraining[Any, Any] = import_module(TRAININGS[name]).TRAINING
    assert training.family.name == name, f"{TRAININGS[name]} calls itself {training.family.name}"
    return training


def training_of(network: nn.Module) -> FamilyTraining[Any, Any]:
    return find_training(config_of(network).family)
