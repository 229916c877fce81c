"""Starting weights of the classifier's heads in closed form: ridge regression on what the heads are given.

Knows no optimiser. On hundreds of clips a head found so generalises better than one that gradient descent begins at
random, and fine-tuning from it does not distort the networks' features at first (Kumar et al., ICLR 2022).

Shape suffixes: B clips of a batch, N of all batches, R rows (what a head is given: one or more a clip, in order),
F features, C classes.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from models.adafocus.network import AdaFocusV3
from models.mobile_former.network import VideoMobileFormer
from training.baselines import FullFrame
from training.losses import random_positions
from training.networks import Network
from training.precision import part_of

RIDGE = 0.5  # times features and rows a clip; from 0.3 to 3 it made no difference across held-out groups
LOGIT_SCALE = 8.0  # regression says 0 or 1; softmax needs more to be sure


@torch.no_grad()
def fit_heads(network: Network, batches: Iterable[tuple[Tensor, Tensor]], generator: torch.Generator) -> None:
    """Set every linear head from all (clips_BTHWC, labels_B), on random cubes; the network is left in eval mode.

    The clips are those of inference: augmented ones differ in what the heads are given. Half-way between videos and
    classes counting alike: a class of n videos weighs as sqrt(n).

    Raises ValueError for a classifier whose heads are not linear layers on fixed features.
    """
    heads = [
        module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and part_of(name) == "classifier"
    ]
    if isinstance(network, VideoMobileFormer) or (
        isinstance(network, AdaFocusV3) and network.config.aggregation == "max_pool"
    ):
        raise ValueError(
            "the heads of a max_pool classifier and of a Video Mobile-Former rest on layers that must be learnt, with "
            "no closed form: take aggregation average or statistics, or fitted_heads 0"
        )
    device = next(network.parameters()).device
    given: dict[nn.Linear, list[Tensor]] = {head: [] for head in heads}
    hooks = [
        head.register_forward_pre_hook(lambda head, inputs: given[head].append(inputs[0].flatten(0, -2)))
        for head in heads
    ]
    labels: list[Tensor] = []
    network.eval()
    for clips_BTHWC, labels_B in batches:
        if isinstance(network, FullFrame):
            network(clips_BTHWC.to(device))
        else:
            positions_BK3 = random_positions(len(clips_BTHWC), network.config.max_cubes, generator)
            network(clips_BTHWC.to(device), positions_BK3.to(device))
        labels.append(labels_B.to(device))
    for hook in hooks:
        hook.remove()
    labels_N = torch.cat(labels)
    for head, features in given.items():
        features_RF = torch.cat(features)
        rows_a_clip = len(features_RF) // len(labels_N)
        labels_R = labels_N.repeat_interleave(rows_a_clip)
        weight_CF, bias_C = ridge_regression(
            features_RF, labels_R, head.out_features, RIDGE * rows_a_clip * head.in_features
        )
        head.weight.copy_(LOGIT_SCALE * weight_CF)
        head.bias.copy_(LOGIT_SCALE * bias_C)


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
