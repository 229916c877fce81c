"""How a Video Mobile-Former is trained: always from scratch, as its paper does.

Knows no data. A clip's training frames may be fewer than those it is answered with (section 4).
"""

from dataclasses import replace

from models.mobile_former.config import MobileFormerConfig
from training.data.augment import SMALL_SET, Augmentation
from training.fit.recipe import Rates, Recipe, Stage

SMALL = replace(SMALL_SET, least_span=0.5)
"""Over half to all of a video, so that 16 frames pass as fast as the 32 of inference do, or up to twice as fast."""

KINETICS = Augmentation(scales=(1.0, 0.875, 0.75, 0.66), flip=("*",), random_frames=True)
"""For hundreds of thousands of clips of classes that a mirror does not swap."""


def small_set() -> Recipe:
    """For hundreds of clips on two cores. fp32: bf16's backward pass of 3D convolutions is the slower one on CPUs."""
    return Recipe(
        stages=(Stage(30, trains=("classifier",), lr=1e-3),),
        batch_size=16,
        rates=Rates(classifier=1.0),
        optimizer="adamw",
        weight_decay=0.05,
        warmup_epochs=2.0,
        max_gradient_norm=5.0,
        auxiliary_weight=0.0,
        label_smoothing=0.1,
        precision="fp32",
        evaluate_every_epochs=2,
        training_frames=16,
    )


def paper(model: MobileFormerConfig) -> Recipe:
    """32 frames, or all 64 where the stem strides by 8, and a cosine. The paper says no more: the rest is X3D's for
    Kinetics (256 epochs, 0.1 for batches of 64, warm-up of 8000 batches of 1024). Needs GPUs."""
    return Recipe(
        stages=(Stage(256, trains=("classifier",), lr=0.1),),
        batch_size=64,
        rates=Rates(classifier=1.0),
        weight_decay=5e-5,
        warmup_epochs=35.0,
        max_gradient_norm=None,
        auxiliary_weight=0.0,
        training_frames=None if model.stem_temporal_stride == 8 else 32,
    )
