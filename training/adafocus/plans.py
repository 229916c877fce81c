"""How AdaFocusV3 is trained, by name: on two cores and hundreds of clips, and as its paper says. Knows no data."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from models.adafocus.config import AdaFocusConfig, Placement
from models.adafocus.shapes import clip_cubes, compact, frame_cubes
from models.backbones.config import BackboneConfig
from training.data.augment import MILD, SMALL_SET, Augmentation
from training.fit.head_fit import HeadFit
from training.fit.plans import TrainPlan, cropped
from training.fit.recipe import Rates, Recipe, Stage

PAPER = Augmentation(scales=(1.0, 0.875, 0.75, 0.66), random_frames=True)
"""AdaFocusV2's, which V3 takes over: multi-scale crops and a random frame of each segment, and no more."""


def _compact(num_classes: int, placement: Placement = "person") -> TrainPlan:
    """What `adafocus-v3-compact` was made with: half a thousand clips on two cores (decision 0034).

    A network that was trained on people glances at eight frames, an eighth of their pixels: at four in the first step,
    at four in the second (decision 0090). It finds a person's key points in them. The third step sees how pixels change
    in three pairs of frames, where most does, with ImageNet's network (decision 0087). Two more follow the person: each
    looks at windows of two frames, brought to 192 px, whatever the person's size was. A quarter of each answer after
    the first is what the step before it answered (decision 0088).

    The networks stay as they came. Heads are ridge regressions: on how features change, on the key points, on how limbs
    are held (decision 0086), and on what the networks' maps hold there (decision 0072). They are fitted on clips as
    they are and compressed once more, with exact frames and with keyframes in place of some (decision 0066), and begun
    a frame earlier and later. All classes count alike, and what maps hold at key points weighs twice as much as the
    rest. It starts from MoveNet's weights and ImageNet's, or from the bundle that ships.
    """
    backbone = BackboneConfig("mobilenet_v2", padding="same")
    model = replace(
        compact(num_classes),
        frame_size=(240, 320),
        glance_indices=tuple(range(1, 16, 2)),
        glance_size=(96, 128),
        glance=backbone,
        focus=backbone,
        cube_size=(2, 192, 192),
        max_cubes=2,
        step_frames=((7, 13), (3, 9)),
        motion_frames=(3, 5, 7, 9, 11, 13),
        motion_window=(160, 160),
        motion_size=(96, 96),
        first_glance_indices=(1, 5, 9, 13),
        aggregation="pooled_roots",
        placement=placement,
        middle_features=True,
        key_points=True,
        local_features=True,
        body_directions=True,
        recycled_share=0.25,
        dropout=0.5,
    )
    recipe = Recipe(stages=(), fitted_heads=True, recompress_crf=28, keyframe_tolerance=0.6, moved_frames=1, folds=5)
    recipe = replace(
        recipe,
        fold_deals=5,  # one may be off by a point, and by eight for one source (decision 0085)
        head_fit=HeadFit(class_power=1.0, local_weight=2.0),
        precision="fp32",  # heads are judged in it, and not every machine multiplies bf16
    )
    clip = replace(cropped(model, source_short_side_px=240), resize="stretch")
    return TrainPlan(model, clip, recipe, MILD)


def _light(num_classes: int) -> TrainPlan:
    """What `adafocus-v3-light` was made with: `compact` for the lowest prices (decision 0045).

    It glances at three frames: after a fifth, three fifths and more than four fifths of the clip. Each cube is the
    person's window in one of them, the latest first. It reads no maps at key points, was not taught on moved clips,
    bears frames without the loop filter (decision 0082), and weighs classes and blocks as before decision 0086. The
    heads that ship were fitted before the closed form was mended (there, too).
    """
    plan = _compact(num_classes)
    assert isinstance(plan.model, AdaFocusConfig)
    model = replace(
        plan.model,
        glance_indices=(3, 9, 13),
        cube_size=(1, 192, 192),
        max_cubes=3,
        step_frames=((13,), (3,), (9,)),
        motion_frames=(),
        first_glance_indices=(),
        local_features=False,
        body_directions=False,
        recycled_share=0.0,
    )
    recipe = replace(
        plan.recipe,
        moved_frames=0,
        skip_loop_filter=True,
        head_fit=HeadFit(block_ridge=0.025),
        precision="bf16",
    )
    return replace(plan, model=model, recipe=recipe)


def _compact_learned(num_classes: int, glance_indices: tuple[int, ...] = tuple(range(1, 16, 2))) -> TrainPlan:
    """What `adafocus-v3-compact` was made with until decision 0034: cubes that a policy places.

    Every other one of sixteen whole frames to glance at, at half of the pixels; cubes of eight differences of
    neighbouring frames at all of them. The networks see each image alone and stay as ImageNet left them; the classifier
    sees what changes over time, its heads by ridge regression on clips as they are and compressed once more. The policy
    alone is learnt by gradient (decisions 0007, 0012 and 0014 to 0016).
    """
    model = replace(
        compact(num_classes),
        frame_size=(128, 176),
        glance_indices=glance_indices,
        glance_size=(96, 128),
        glance=BackboneConfig("mobilenet_v2"),
        cube_size=(9, 128, 128),
        max_cubes=3,
        aggregation="joint_statistics",
        focus_input="differences",
        dropout=0.5,
    )
    recipe = Recipe(
        stages=(Stage(1, "learned", ("policy",), lr=1e-3),),
        rates=Rates(policy=1.0),
        optimizer="adamw",
        weight_decay=0.05,
        label_smoothing=0.1,
        max_gradient_norm=5.0,
        warmup_epochs=0.5,
        random_depth=True,
        fitted_heads=True,
        heads_apart=True,
        recompress_crf=28,
        average_decay=0.99,
        folds=5,
    )
    clip = replace(cropped(model), resize="stretch")  # whole frames: across held-out groups four points above a crop
    return TrainPlan(model, clip, recipe, MILD)


def _frame_cubes(num_classes: int) -> TrainPlan:
    """Two MobileNetV2s over 16 whole frames: random plain cubes first, then the policy alone."""
    model = replace(
        compact(num_classes),
        frame_size=(160, 208),
        glance_size=(160, 208),
        glance=BackboneConfig("mobilenet_v2"),
        max_cubes=4,
        dropout=0.5,
    )
    return TrainPlan(model, cropped(model), _small_set_stages(20, 4), SMALL_SET)


def _clip_cubes(num_classes: int) -> TrainPlan:
    """The same with temporal shift: 8 glance frames, cubes of 8 frames out of 16."""
    model = replace(
        compact(num_classes),
        frame_size=(160, 208),
        glance_indices=tuple(range(0, 16, 2)),
        glance_size=(160, 208),
        glance=BackboneConfig("mobilenet_v2"),
        cube_size=(8, 96, 96),
        max_cubes=2,
        temporal_shift=True,
        aggregation="average",
        dropout=0.5,
    )
    return TrainPlan(model, cropped(model), _small_set_stages(20, 4), SMALL_SET)


def _paper_frame_cubes(num_classes: int) -> TrainPlan:
    """The paper's model; V2's schedule, mirror images and plain cross-entropy for ActivityNet. Needs a GPU."""
    model = frame_cubes(num_classes)
    recipe = Recipe((Stage(50, "both", lr=0.002),), batch_size=32, warmup_epochs=0, max_gradient_norm=None)
    return TrainPlan(model, cropped(model, source_short_side_px=256), recipe, replace(PAPER, flip=("*",)))


def _paper_clip_cubes(num_classes: int) -> TrainPlan:
    """The paper's model with temporal shift, in its two stages; V2's rates and plain cross-entropy for
    Something-Something, whose labels tell left from right: nothing is mirrored. Needs a GPU."""
    model = clip_cubes(num_classes)
    recipe = replace(
        _two_stages(50, 10),
        batch_size=32,
        rates=Rates(policy=0.01),
        weight_decay=5e-4,
        warmup_epochs=0.0,
        label_smoothing=0.0,
    )
    return TrainPlan(model, cropped(model, source_short_side_px=256), recipe, PAPER)


def _two_stages(epochs: int, policy_epochs: int) -> Recipe:
    """Section 4.2: encoders and classifier on random cubes, then the policy alone. Plain random cubes cost least."""
    return Recipe(
        stages=_stages(epochs, policy_epochs, lr=0.01, policy_lr=0.01),
        rates=Rates(policy=1.0),
        weight_decay=5e-4,
        label_smoothing=0.1,
        interpolate_random=False,
    )


def _small_set_stages(epochs: int, policy_epochs: int) -> Recipe:
    """The same for hundreds of clips in batches of 8, where SGD at V2's rates diverged (decision 0006)."""
    return replace(
        _two_stages(epochs, policy_epochs),
        stages=_stages(epochs, policy_epochs, lr=3e-4, policy_lr=1e-3),
        rates=Rates(glance=1.0, policy=1.0),
        optimizer="adamw",
        weight_decay=0.02,
    )


def _stages(epochs: int, policy_epochs: int, *, lr: float, policy_lr: float) -> tuple[Stage, Stage]:
    return (
        Stage(epochs, "random", ("glance", "focus", "classifier"), lr=lr),
        Stage(policy_epochs, "learned", ("policy",), lr=policy_lr),
    )


def describe_stage(stage: Stage) -> str:
    """As a bundle's provenance tells it."""
    return f"{stage.epochs} epochs of {'+'.join(stage.trains)}, {stage.crops} cubes, rate {stage.lr:g}"


PLANS: Mapping[str, Callable[[int], TrainPlan]] = {
    "compact": _compact,
    "light": _light,
    "compact-16-frames": partial(
        _compact_learned, glance_indices=tuple(range(16))
    ),  # whose baseline looks at every frame
    "frame-cubes": _frame_cubes,
    "clip-cubes": _clip_cubes,
    "paper-frame-cubes": _paper_frame_cubes,
    "paper-clip-cubes": _paper_clip_cubes,
    # the same with its cubes of a person elsewhere; the cube of motion stays
    "compact-centre": partial(_compact, placement="centre"),
    "compact-motion": partial(_compact, placement="motion"),
    "compact-random": partial(_compact, placement="random"),
    "compact-learned": _compact_learned,
}
