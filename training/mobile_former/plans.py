"""How a Video Mobile-Former is trained, by name: on two cores and hundreds of clips, and as its paper says.

Knows no data.
"""

from collections.abc import Callable, Mapping
from functools import partial

from models.mobile_former.config import MobileFormerConfig, compact, former_1g, former_2g, former_5g, former_560m
from training.fit.plans import TrainPlan, cropped
from training.mobile_former import recipes


def _vmf_compact(num_classes: int) -> TrainPlan:
    """Two cores, hundreds of clips, some twenty minutes."""
    model = compact(num_classes)
    return TrainPlan(model, cropped(model), recipes.small_set(), recipes.SMALL)


def _paper_vmf(variant: Callable[[int], MobileFormerConfig], num_classes: int) -> TrainPlan:
    """A variant of the paper as it was trained, as far as the paper says. Needs GPUs."""
    model = variant(num_classes)
    clip = cropped(model, source_short_side_px=256)
    return TrainPlan(model, clip, recipes.paper(model), recipes.KINETICS)


PLANS: Mapping[str, Callable[[int], TrainPlan]] = {
    "vmf-compact": _vmf_compact,
    "paper-vmf-560m": partial(_paper_vmf, former_560m),
    "paper-vmf-1g": partial(_paper_vmf, former_1g),
    "paper-vmf-2g": partial(_paper_vmf, former_2g),
    "paper-vmf-5g": partial(_paper_vmf, former_5g),
}
