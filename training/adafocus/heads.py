"""AdaFocusV3's linear heads as regressions: which there are, and what each is given. Knows no solver.

Shape suffixes: B clips of a batch, N of all batches, R rows a clip, K cubes, T frames, D and F features, C classes.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import itemgetter

import torch
from torch import Tensor, nn

from models.adafocus.classifier import AverageClassifier, JointClassifier
from models.adafocus.network import AdaFocusV3
from models.adafocus.placed import PlacedAdaFocus
from models.adafocus.tube_classifier import TubeClassifier
from training.adafocus.losses import random_positions
from training.family import Regression


def features(
    network: AdaFocusV3 | PlacedAdaFocus, clips_BTHWC: Tensor, generator: torch.Generator, *, learned: bool
) -> dict[str, Tensor]:
    """`glance` (B, F) and `cubes` (B, R, F), pooled over frames, and the auxiliary heads' frame by frame; where a rule
    places the cubes, `glance`, the same of its `first` part if it comes in two, and what is remembered after each cube,
    `memory` (B, K, M)."""
    if isinstance(network, PlacedAdaFocus):
        seen = network.remember(clips_BTHWC)
        glances = dict(zip(("glance", "first"), reversed(seen.glances), strict=False))
        return glances | {"memory": torch.stack(seen.memories, dim=1)}
    classifier = network.classifier
    assert isinstance(classifier, AverageClassifier | JointClassifier)
    maps_BTChw = network.glance_maps(clips_BTHWC)
    places = [random_positions(len(clips_BTHWC), network.config.max_cubes, generator).to(clips_BTHWC.device)]
    if learned:
        places.append(network.policy(maps_BTChw))
    glance_BTD = maps_BTChw.mean(dim=(3, 4))
    cubes_BRTD = network.cube_features(clips_BTHWC, torch.cat(places, dim=1), cubes="plain")
    return {
        "glance": classifier.pool(glance_BTD),
        "cubes": torch.stack([classifier.pool(cube_BTD) for cube_BTD in cubes_BRTD.unbind(dim=1)], dim=1),
        "auxiliary_glance": glance_BTD,
        "auxiliary_focus": cubes_BRTD.flatten(1, 2),
    }


def regressions(network: AdaFocusV3 | PlacedAdaFocus) -> list[Regression]:
    """Raises ValueError for a classifier whose heads are not linear layers on fixed features."""
    if isinstance(network, PlacedAdaFocus):
        return _of_tubes(network.classifier)
    classifier = network.classifier
    if not isinstance(classifier, AverageClassifier | JointClassifier):
        raise ValueError(
            "the heads of a max_pool classifier rest on layers that must be learnt, with no closed form: take "
            "aggregation average or joint_statistics, or fitted_heads false"
        )
    heads = [
        _of(classifier.glance_head, lambda given: given["glance"][:, None]),
        _of(network.auxiliary_glance, itemgetter("auxiliary_glance")),
        _of(network.auxiliary_focus, itemgetter("auxiliary_focus")),
    ]
    if isinstance(classifier, AverageClassifier):
        return [*heads, _of(classifier.focus_head, itemgetter("cubes"))]
    steps = zip(classifier.step_heads.weight_KCD, classifier.step_heads.bias_KC, strict=True)
    return heads + [
        Regression((weight_CD,), (bias_C,), partial(_step_rows, classifier, step))
        for step, (weight_CD, bias_C) in enumerate(steps, 1)
    ]


def _of_tubes(classifier: TubeClassifier) -> list[Regression]:
    part, glance = classifier.first_head, classifier.glance_head
    motion, heads = classifier.motion_head, classifier.step_heads

    def of_part(given: Mapping[str, Tensor]) -> Tensor:
        return given["first"][:, None]

    def of_glance(given: Mapping[str, Tensor]) -> Tensor:
        return given["glance"][:, None]

    def of_motion(given: Mapping[str, Tensor]) -> Tensor:
        return classifier.motion_features(given["glance"], given["memory"][:, 0])[:, None]

    def of_cubes(cubes: int, given: Mapping[str, Tensor]) -> Tensor:
        at = torch.tensor([cubes], device=given["glance"].device)
        memory_NM = given["memory"][:, cubes if motion is not None else cubes - 1]
        return classifier.step_features(given["glance"], memory_NM, at)[:, None]

    blocks, local = classifier.glance_blocks, classifier.glance_local
    found = [Regression((glance.weight,), (glance.bias,), of_glance, blocks, local)]
    if part is not None:
        found.insert(0, Regression((part.weight,), (part.bias,), of_part, classifier.first_blocks, local))
    if motion is not None:
        found.append(Regression((motion.weight,), (motion.bias,), of_motion, blocks + classifier.motion_blocks, local))
    return found + [
        Regression((weight_CD,), (bias_C,), partial(of_cubes, cubes), classifier.step_blocks, classifier.step_local)
        for cubes, (weight_CD, bias_C) in enumerate(zip(heads.weight_KCD, heads.bias_KC, strict=True), 1)
    ]


def _of(head: nn.Linear, rows: Callable[[Mapping[str, Tensor]], Tensor]) -> Regression:
    return Regression((head.weight,), (head.bias,), rows)


def _step_rows(classifier: JointClassifier, step: int, given: Mapping[str, Tensor]) -> Tensor:
    """rows_NRF of the head after `step` cubes: of random and of learned cubes every run of so many."""
    glance_NF, cubes_NRF = given["glance"], given["cubes"]
    num_cubes = len(classifier.step_heads.bias_KC)
    rows = [
        classifier.step_features(glance_NF, memory_NF, [step] * len(glance_NF))
        for cubes_NKF in torch.split(cubes_NRF, num_cubes, dim=1)
        for memory_NF in _sums_of(step, cubes_NKF)
    ]
    return torch.stack(rows, dim=1)


def _sums_of(count: int, pooled_BKF: Tensor) -> Iterator[Tensor]:
    """Of every run of so many cubes, the last beside the first: each cube is in as many."""
    num_cubes = pooled_BKF.shape[1]
    for first in range(num_cubes if count < num_cubes else 1):
        yield pooled_BKF.roll(-first, dims=1)[:, :count].sum(dim=1)
