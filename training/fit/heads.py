"""The classifier's linear heads in closed form: ridge regression on what the heads are given.

Knows no optimiser. On hundreds of clips a head found so generalises better than one that gradient descent begins at
random, and fine-tuning from it does not distort the networks' features at first (Kumar et al., ICLR 2022).

Shape suffixes: B clips of a batch, N of all batches, R rows a clip, K cubes, T frames, D and F features, C classes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import torch
from torch import Tensor, nn

from models.adafocus.classifier import AverageClassifier, JointClassifier
from models.adafocus.network import AdaFocusV3
from models.mobile_former.network import VideoMobileFormer
from training.fit.baselines import FullFrame
from training.fit.losses import random_positions
from training.fit.networks import Network

RIDGE = 0.5  # times features and rows a clip; across held-out groups 0.1 to 0.5 are level, 1 is two points worse
LOGIT_SCALE = 8.0  # regression says 0 or 1; softmax needs more to be sure


@dataclass(frozen=True, slots=True)
class _Head:
    """One regression. `rows` makes, of what `_features` gathered, rows_NRF; the columns of `weights`, side by side, are
    for theirs, and the biases add up."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    rows: Callable[[Mapping[str, Tensor]], Tensor]


@torch.no_grad()
def fit_heads(
    network: Network,
    batches: Iterable[tuple[Tensor, Tensor]],
    generator: torch.Generator,
    *,
    learned: bool = False,
) -> None:
    """Set every linear head from all (clips_BTHWC, labels_B); the network is left in eval mode.

    On random cubes, and with `learned` on those of the policy, too: Eq. 1's average. The clips are those of inference,
    also as copies of lower quality (a copy counts as a clip): augmented ones differ in what the heads are given.
    Half-way between videos and classes counting alike: a class of n videos weighs as sqrt(n).

    Raises ValueError for a classifier whose heads are not linear layers on fixed features.
    """
    heads = _heads(network)
    device = next(network.parameters()).device
    network.eval()
    gathered: dict[str, list[Tensor]] = {}
    labels: list[Tensor] = []
    for clips_BTHWC, labels_B in batches:
        for name, features in _features(network, clips_BTHWC.to(device), generator, learned=learned).items():
            gathered.setdefault(name, []).append(features)
        labels.append(labels_B.to(device))
    features_by_name = {name: torch.cat(parts) for name, parts in gathered.items()}
    labels_N = torch.cat(labels)
    for head in heads:
        rows_NRF = head.rows(features_by_name)
        rows_a_clip, width = rows_NRF.shape[1:]
        weight_CF, bias_C = ridge_regression(
            rows_NRF.flatten(0, 1),
            labels_N.repeat_interleave(rows_a_clip),
            len(head.biases[0]),
            RIDGE * rows_a_clip * width,
        )
        parts = torch.split(weight_CF, [weight.shape[1] for weight in head.weights], dim=1)
        for weight, part in zip(head.weights, parts, strict=True):
            weight.copy_(LOGIT_SCALE * part)
        for bias in head.biases:
            bias.copy_(LOGIT_SCALE * bias_C / len(head.biases))


def _features(network: Network, clips_BTHWC: Tensor, generator: torch.Generator, *, learned: bool) -> dict[str, Tensor]:
    """What heads are given, by name: a baseline's by that of its head; otherwise `glance` (B, F) and `cubes` (B, R, F),
    pooled over frames, and the auxiliary heads' frame by frame."""
    if isinstance(network, FullFrame):
        return network.pooled(clips_BTHWC)
    assert isinstance(network, AdaFocusV3)
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


def _heads(network: Network) -> list[_Head]:
    if isinstance(network, FullFrame):
        # Their logits are added: they are one head on both networks' features.
        both = {name: head for name, head in network.classifier.items() if isinstance(head, nn.Linear)}
        return [
            _Head(
                tuple(head.weight for head in both.values()),
                tuple(head.bias for head in both.values()),
                lambda given: torch.cat([given[name] for name in both], dim=1)[:, None],
            )
        ]
    if isinstance(network, VideoMobileFormer) or not isinstance(
        network.classifier, AverageClassifier | JointClassifier
    ):
        raise ValueError(
            "the heads of a max_pool classifier and of a Video Mobile-Former rest on layers that must be learnt, with "
            "no closed form: take aggregation average or joint_statistics, or fitted_heads false"
        )
    classifier = network.classifier
    heads = [
        _of(classifier.glance_head, lambda given: given["glance"][:, None]),
        _of(network.auxiliary_glance, itemgetter("auxiliary_glance")),
        _of(network.auxiliary_focus, itemgetter("auxiliary_focus")),
    ]
    if isinstance(classifier, AverageClassifier):
        return [*heads, _of(classifier.focus_head, itemgetter("cubes"))]
    steps = zip(classifier.step_heads.weight_KCD, classifier.step_heads.bias_KC, strict=True)
    return heads + [
        _Head((weight_CD,), (bias_C,), partial(_step_rows, classifier, step))
        for step, (weight_CD, bias_C) in enumerate(steps, 1)
    ]


def _of(head: nn.Linear, rows: Callable[[Mapping[str, Tensor]], Tensor]) -> _Head:
    return _Head((head.weight,), (head.bias,), rows)


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


def ridge_regression(features_RF: Tensor, labels_R: Tensor, num_classes: int, penalty: float) -> tuple[Tensor, Tensor]:
    """(weight_CF, bias_C) on features as they come, in fp32, of one-hot targets; the penalty is on standardised ones.

    Solved among rows or among features, whichever are fewer.
    """
    x_RF, y_RC = features_RF.double(), torch.nn.functional.one_hot(labels_R, num_classes).double()
    weight_R = y_RC.sum(dim=0)[labels_R].rsqrt()
    mean_F, deviation_F = x_RF.mean(dim=0), x_RF.std(dim=0, correction=0) + 1e-3
    mean_C = (weight_R[:, None] * y_RC).sum(dim=0) / weight_R.sum()
    root_R1 = (weight_R / weight_R.mean()).sqrt()[:, None]
    z_RF, centred_RC = root_R1 * (x_RF - mean_F) / deviation_F, root_R1 * (y_RC - mean_C)
    if len(z_RF) < z_RF.shape[1]:
        weight_FC = z_RF.T @ torch.linalg.solve(_penalised(z_RF @ z_RF.T, penalty), centred_RC)
    else:
        weight_FC = torch.linalg.solve(_penalised(z_RF.T @ z_RF, penalty), z_RF.T @ centred_RC)
    weight_CF = (weight_FC / deviation_F[:, None]).T
    return weight_CF.float(), (mean_C - weight_CF @ mean_F).float()


def _penalised(gram: Tensor, penalty: float) -> Tensor:
    gram.diagonal().add_(penalty)
    return gram
