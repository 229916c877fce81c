"""Builds bundles that nobody trained and that say so, to measure their speed and to test with: `fovea build`.

Knows no service.

Random weights alone are no use even for trying the service: in eval mode their activations shrink from layer to layer
until every video gives the same answer. So, on seeded synthetic clips and without any label: batch norms take their
statistics from one pass, and each head looks at the two directions in which its features differ most between videos,
the labels around them like the points of a compass, turned from exit to exit. Entropies then spread over videos by
0.2 nats (bf16 moves them by 0.02), thresholds send some further than others, and answers stay meaningless.
Temperatures stay 1: where nothing is learnt the best temperature is "infinite", which would flatten all that again.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.bundle import Bundle, write_bundle
from models.bundle_format import MANIFEST, Architecture, BundleError, Card, Description, Framing, Measured, Provenance
from models.calibration import Calibration, not_calibrated
from models.families import FAMILIES, find_family
from models.family import Head, ModelConfig, config_of
from models.runtime import RuntimeConfig, make_runtime
from training.data.synthetic import LABELS, TASK, synthetic_clips
from training.judge.calibrate import calibrate, measure, observe
from video.clip import ClipRule

RECIPE = "untrained, recipe 2: seeded weights; batch norms and heads set on synthetic clips, no labels seen"
LOGIT_SPREAD = 1.5  # standard deviation of each logit over videos: entropies over 4 labels then spread widely
GOLDEN_ANGLE = 2.39996  # radians from exit to exit: no two agree, so that Eq. 7 finds a use for every step
NUM_INITIAL_CLIPS = 16
NUM_CLIPS = 96  # each to calibrate and to measure
NUM_TO_MEASURE = 8  # the same where only speed is asked about
MOST_TO_OBSERVE_FLOPS = 100 * 10**9
"""Of all steps of a clip. What costs more stays as it was drawn, and is not calibrated: that would take minutes to
hours, for thresholds that mean nothing."""
_INITIAL, _CALIBRATION, _MEASURED = range(3)  # independent streams of clips


def variants() -> dict[str, Callable[[int], ModelConfig]]:
    """What can be built by name: the configuration for a number of labels. Of all families."""
    return {name: variant for family in FAMILIES for name, variant in find_family(family).variants.items()}


def build_variant(name: str, parent: Path, *, seed: int = 0) -> tuple[Bundle, bool]:
    """`parent`/NAME-untrained with the four synthetic labels; as `build_untrained`, from a few clips.

    Raises ValueError for a name that is not among `variants`.
    """
    known = variants()
    if name not in known:
        raise ValueError(f"no model is called {name!r} that could be built; there are: {', '.join(known)}")
    config = known[name](len(LABELS))
    num_clips = max(NUM_TO_MEASURE, len(find_family(config.family).step_flops(config)))  # calibration's least
    return build_untrained(parent / f"{name}-untrained", seed=seed, config=config, num_clips=num_clips)


def build_untrained(
    folder: Path, *, config: ModelConfig, seed: int = 0, num_clips: int = NUM_CLIPS
) -> tuple[Bundle, bool]:
    """The bundle in `folder`, and whether it was built now: an intact one of the same recipe, seed and shape is kept.

    The same arguments give the same digest on one machine. Raises ValueError where a trained bundle stands.
    """
    if standing := _standing(folder, seed, config):
        return standing, False
    with _one_thread():
        return _build(folder, seed, config, num_clips), True


def _build(folder: Path, seed: int, config: ModelConfig, num_clips: int) -> Bundle:
    family = find_family(config.family)
    clip = Framing(sampling="uniform", resize=family.resize, source_short_side_px=None)
    clip_rule = ClipRule(config.num_frames, *config.frame_size, clip.resize)
    network = family.build_network(config, seed)
    step_flops = family.step_flops(config)
    measured = None
    if sum(step_flops) > MOST_TO_OBSERVE_FLOPS:
        calibration = not_calibrated(step_flops, [1.0] * len(step_flops))
        default_flops = float(sum(step_flops))
    else:
        heads = family.heads(network)
        _spread_out(network, heads, _clips(clip_rule, min(num_clips, NUM_INITIAL_CLIPS), seed, _INITIAL))
        calibration, measured = _observed(network, clip_rule, num_clips, seed)
        default_flops = (step_flops[0] + sum(step_flops)) / 2
    description = Description(
        name=folder.name,
        task=TASK,
        labels=LABELS,
        trained=False,
        architecture=Architecture(family=family.name, config=config.to_dict()),
        clip=clip,
        default_budget_gflops=default_flops / 1e9,
        licence="Apache-2.0",
        provenance=Provenance(data="none", recipe=RECIPE, seed=seed, commit=None),
        card=Card(
            intended_use="To try the service before trained weights are at hand, and to measure its speed.",
            limits="Nothing was trained: labels and scores mean nothing, accuracy is chance on any video.",
        ),
        calibration="none" if measured is None else "solved",
        measured=measured,
    )
    return write_bundle(folder.parent, description, network.state_dict(), calibration, replace=True)


def _observed(network: nn.Module, clip_rule: ClipRule, num_clips: int, seed: int) -> tuple[Calibration, Measured]:
    """Thresholds, and what they give, on synthetic clips."""
    family = find_family(config_of(network).family)
    ones = [1.0] * len(family.step_flops(config_of(network)))
    runtime = make_runtime(RuntimeConfig(name="torch", precision="fp32", num_threads=1))
    recognizer = family.make_recognizer(network, clip_rule, ones, runtime)

    def seen(stream: int) -> tuple[NDArray[np.float64], list[int], str]:
        pairs = list(synthetic_clips(clip_rule, num_clips, _stream_seed(seed, stream)))
        data = f"{num_clips} seeded synthetic clips (stream {stream}): a square moves left, right, up or down"
        return observe(recognizer, (frames for frames, _ in pairs)), [label for _, label in pairs], data

    log_probs_NKC, labels_N, data = seen(_CALIBRATION)
    calibration = calibrate(log_probs_NKC, labels_N, recognizer.step_flops, data=data, temperatures_K=ones)
    log_probs_NKC, labels_N, data = seen(_MEASURED)
    return calibration, measure(log_probs_NKC, labels_N, calibration, data=data)


def _standing(folder: Path, seed: int, config: ModelConfig) -> Bundle | None:
    """The bundle in `folder` if it is the one asked for; None where it may be replaced."""
    try:
        bundle = Bundle.read(folder)
    except BundleError:
        if _says_trained(folder):
            raise
        return None
    if bundle.trained:
        raise ValueError(f"a trained bundle stands in {folder}; it is not replaced by an untrained one: choose another")
    origin = bundle.manifest.provenance
    same = (origin.recipe, origin.seed, bundle.config) == (RECIPE, seed, config)
    return bundle if same else None


def _says_trained(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / MANIFEST).read_bytes())["trained"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _stream_seed(seed: int, stream: int) -> int:
    return seed * 3 + stream


def _clips(clip_rule: ClipRule, num_clips: int, seed: int, stream: int) -> Tensor:
    pairs = synthetic_clips(clip_rule, num_clips, _stream_seed(seed, stream))
    return torch.from_numpy(np.stack([frames_THWC for frames_THWC, _ in pairs]))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The same sums in the same order whatever the number of cores; and on a busy machine, sooner."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def _spread_out(network: nn.Module, heads: Sequence[Head], clips_BTHWC: Tensor) -> None:
    """Batch norms from one pass over the clips; then every head from the features that it meets."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.momentum = None  # the plain average over passes, here one
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # dropout
        network.train()(clips_BTHWC)
    met: list[Tensor] = []  # what the heads are given, in their order

    def note(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        met.append(inputs[0])

    hooks = [module.register_forward_pre_hook(note) for module in dict.fromkeys(head.module for head in heads)]
    network.eval()(clips_BTHWC)
    for hook in hooks:
        hook.remove()
    num_classes = config_of(network).num_classes
    for number, (head, features_BF) in enumerate(zip(heads, met, strict=True)):
        weight_CF, bias_C = _compass(features_BF, num_classes, number * GOLDEN_ANGLE)
        head.weight_CF.copy_(weight_CF)
        head.bias_C.copy_(bias_C)


def _compass(features_BD: Tensor, num_classes: int, turn: float) -> tuple[Tensor, Tensor]:
    """(weight_CD, bias_C) of logits with mean 0 and spread LOGIT_SPREAD, in the plane of the two main components."""
    centred_BD = features_BD.double() - features_BD.double().mean(dim=0)
    _, sizes, components = torch.linalg.svd(centred_BD, full_matrices=False)
    unit_2D = components[:2] * (len(features_BD) ** 0.5 / sizes[:2, None])
    angles_C = torch.arange(num_classes, dtype=torch.float64) * (2 * torch.pi / num_classes) + turn
    weight_CD = LOGIT_SPREAD * torch.stack((angles_C.cos(), angles_C.sin()), dim=1) @ unit_2D
    return weight_CD.float(), -(weight_CD @ features_BD.double().mean(dim=0)).float()
