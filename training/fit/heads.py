"""The classifier's linear heads in closed form: ridge regression on what the heads are given.

Knows no optimiser and no family. On hundreds of clips a head found so generalises better than one that gradient descent
begins at random, and fine-tuning from it does not distort the networks' features at first (Kumar et al., ICLR 2022).

Shape suffixes: B clips of a batch, N of all batches, R rows a clip, F features, C classes.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from training.families import training_of
from training.family import Regression
from training.fit.feature_cache import FeatureCache
from training.fit.head_fit import HeadFit

RIDGE = 0.5  # times features and rows a clip; across held-out groups 0.1 to 0.5 are level, 1 is two points worse
LOGIT_SCALE = 8.0  # regression says 0 or 1; softmax needs more to be sure
_PLAIN = HeadFit()


@torch.no_grad()
def fit_heads(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    generator: torch.Generator,
    *,
    learned: bool = False,
    cache: FeatureCache | None = None,
    fit: HeadFit = _PLAIN,
    num_forms: int = 1,
) -> None:
    """Set every linear head from all (clips_BTHWC, labels_B); the network is left in eval mode.

    On random cubes, and with `learned` on those of the policy, too: Eq. 1's average. The clips are those of inference,
    also as copies of lower quality (a copy counts as a clip): augmented ones differ in what the heads are given.
    `cache`: of the network as it is, for features that are asked for again. `num_forms`: in how many each clip is
    among them.

    Raises ValueError for a classifier whose heads are not linear layers on fixed features.
    """
    training = training_of(network)
    heads = training.regressions(network)
    device = next(network.parameters()).device
    network.eval()
    features_of = training.features if cache is None else cache.features
    gathered: dict[str, list[Tensor]] = {}
    labels: list[Tensor] = []
    for clips_BTHWC, labels_B in batches:
        for name, features in features_of(network, clips_BTHWC.to(device), generator, learned=learned).items():
            gathered.setdefault(name, []).append(features)
        labels.append(labels_B.to(device))
    features_by_name = {name: torch.cat(parts) for name, parts in gathered.items()}
    labels_N = torch.cat(labels)
    for head in heads:
        weight_CF, bias_C = regressed(head, head.rows(features_by_name), labels_N, fit, num_forms)
        parts = torch.split(weight_CF, [weight.shape[1] for weight in head.weights], dim=1)
        for weight, part in zip(head.weights, parts, strict=True):
            weight.copy_(LOGIT_SCALE * part)
        for bias in head.biases:
            bias.copy_(LOGIT_SCALE * bias_C / len(head.biases))


def regressed(
    head: Regression, rows_NRF: Tensor, labels_N: Tensor, fit: HeadFit = _PLAIN, num_forms: int = 1
) -> tuple[Tensor, Tensor]:
    """(weight_CF, bias_C) of one head on its rows, each clip in `num_forms` of them; `head` itself stays as it is."""
    rows_a_clip, width = rows_NRF.shape[1:]
    return ridge_regression(
        rows_NRF.flatten(0, 1),
        labels_N.repeat_interleave(rows_a_clip),
        len(head.biases[0]),
        (fit.block_ridge * num_forms if head.blocks else RIDGE) * rows_a_clip * width,
        _scale(head, rows_NRF, fit.local_weight) if head.blocks else None,
        class_power=fit.class_power,
    )


def _scale(head: Regression, rows_NRF: Tensor, local_weight: float) -> Tensor:
    """scale_F by which the blocks' sums of squares are as their weights, and all together what they were."""
    width = rows_NRF.shape[2]
    assert sum(head.blocks) == width, (head.blocks, width)
    weights = [local_weight if block in head.local_blocks else 1.0 for block in range(len(head.blocks))]
    return torch.cat(
        [
            rows_NRF.new_full((columns,), (weight * width / (sum(weights) * columns)) ** 0.5)
            for weight, columns in zip(weights, head.blocks, strict=True)
        ]
    )


def ridge_regression(
    features_RF: Tensor,
    labels_R: Tensor,
    num_classes: int,
    penalty: float,
    scale_F: Tensor | None = None,
    *,
    class_power: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """(weight_CF, bias_C) on features as they come, in fp32, of one-hot targets; the penalty is on standardised ones,
    times `scale_F`. A class of n rows weighs as n to the power of 1 - `class_power`.

    Solved among rows or among features, whichever are fewer.
    """
    x_RF, y_RC = features_RF.double(), torch.nn.functional.one_hot(labels_R, num_classes).double()
    weight_R = y_RC.sum(dim=0)[labels_R] ** -class_power
    mean_F = weight_R @ x_RF / weight_R.sum()  # weighted as the rows are: the bias is then the best one, too
    deviation_F = x_RF.std(dim=0, correction=0) + 1e-3
    if scale_F is not None:
        deviation_F = deviation_F / scale_F.double()
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
