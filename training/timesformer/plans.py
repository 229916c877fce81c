"""How a TimeSformer is trained, by name: on two cores and hundreds of clips, and as its paper says.

Knows no data. A clip is trained on one view: `num_views` of 1, a random crop while it learns, the centre when scored.
The same weights serve three views: the configuration alone says how many.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from models.timesformer.config import TimeSformerConfig, base, compact, high_resolution, long_range, with_scheme
from training.data.augment import SMALL_SET, Augmentation
from training.fit.plans import TrainPlan, cropped
from training.fit.recipe import Rates, Recipe, Stage

_ALL = ("glance", "classifier")  # the encoder is what glances
KINETICS = Augmentation(scales=(1.0, 0.875, 0.75), flip=("*",), random_frames=True)
"""The authors crop 224 pixels out of a short side of 256 to 320: three quarters to seven eighths of it, and all."""


def small_set() -> Recipe:
    """For hundreds of clips on two cores, from scratch or from a small ViT."""
    return Recipe(
        stages=(Stage(30, trains=_ALL, lr=5e-4),),
        batch_size=8,
        rates=Rates(classifier=1.0),
        optimizer="adamw",
        weight_decay=0.05,
        warmup_epochs=2.0,
        max_gradient_norm=1.0,
        auxiliary_weight=0.0,
        label_smoothing=0.1,
        precision="fp32",
        evaluate_every_epochs=2,
    )


def paper() -> Recipe:
    """Appendix A: 15 epochs of SGD in batches of 16, the rate of 0.005 divided by 10 at the 11th and the 14th.

    Here each of the three stretches falls along a cosine of its own. Start from an image ViT (`--glance-weights`).
    Needs GPUs.
    """
    stretches = ((11, 0.005), (3, 0.0005), (1, 0.00005))
    return Recipe(
        stages=tuple(Stage(epochs, trains=_ALL, lr=lr) for epochs, lr in stretches),
        batch_size=16,
        rates=Rates(classifier=1.0),
        optimizer="sgd",
        momentum=0.9,
        weight_decay=1e-4,
        warmup_epochs=0.0,
        max_gradient_norm=None,
        auxiliary_weight=0.0,
    )


def _compact(num_classes: int) -> TrainPlan:
    model = replace(compact(num_classes), num_views=1)
    return TrainPlan(model, cropped(model), small_set(), SMALL_SET)


def _paper(variant: Callable[[int], TimeSformerConfig], num_classes: int) -> TrainPlan:
    model = replace(variant(num_classes), num_views=1)
    return TrainPlan(model, cropped(model, source_short_side_px=max(256, model.view_size[0])), paper(), KINETICS)


PLANS: Mapping[str, Callable[[int], TrainPlan]] = {
    "timesformer-compact": _compact,
    "paper-timesformer-base": partial(_paper, base),
    "paper-timesformer-hr": partial(_paper, high_resolution),
    "paper-timesformer-l": partial(_paper, long_range),
    "paper-timesformer-base-space": partial(_paper, partial(with_scheme, scheme="space")),
    "paper-timesformer-base-joint": partial(_paper, partial(with_scheme, scheme="joint")),
    "paper-timesformer-base-local-global": partial(_paper, partial(with_scheme, scheme="local_global")),
    "paper-timesformer-base-axial": partial(_paper, partial(with_scheme, scheme="axial")),
}
