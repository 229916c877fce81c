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

RIDGE = 1.0  # times features over rows; from 0.3 to 3 it made no difference across held-out groups
LOGIT_SCALE = 8.0  # regression says 0 or 1; softmax needs more to be sure


@torch.no_grad()
def fit_heads(network: Network, batches: Iterable[tuple[Tensor, Tensor]], generator: torch.Generator) -> None:
    """Set every linear head from (clips_BTHWC, targets_BC), on random cubes; the network is left in eval mode.

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
    targets: list[Tensor] = []
    network.eval()
    for clips_BTHWC, targets_BC in batches:
        if isinstance(network, FullFrame):
            network(clips_BTHWC.to(device))
        else:
            positions_BK3 = random_positions(len(clips_BTHWC), network.config.max_cubes, generator)
            network(clips_BTHWC.to(device), positions_BK3.to(device))
        targets.append(targets_BC.to(device))
    for hook in hooks:
        hook.remove()
    targets_NC = torch.cat(targets)
    for head, features in given.items():
        features_RF = torch.cat(features)
        targets_RC = targets_NC.repeat_interleave(len(features_RF) // len(targets_NC), dim=0)
        weight_CF, bias_C = ridge_regression(features_RF, targets_RC)
        head.weight.copy_(LOGIT_SCALE * weight_CF)
        head.bias.copy_(LOGIT_SCALE * bias_C)


def ridge_regression(features_RF: Tensor, targets_RC: Tensor) -> tuple[Tensor, Tensor]:
    """(weight_CF, bias_C) on features as they come, in fp32; the penalty is on standardised ones.

    Solved among rows or among features, whichever are fewer.
    """
    x_RF, y_RC = features_RF.double(), targets_RC.double()
    num_rows, num_features = x_RF.shape
    mean_F, deviation_F = x_RF.mean(dim=0), x_RF.std(dim=0, correction=0) + 1e-3
    z_RF, centred_RC = (x_RF - mean_F) / deviation_F, y_RC - y_RC.mean(dim=0)
    if num_rows < num_features:
        weight_FC = z_RF.T @ torch.linalg.solve(_penalised(z_RF @ z_RF.T, num_features), centred_RC)
    else:
        weight_FC = torch.linalg.solve(_penalised(z_RF.T @ z_RF, num_features), z_RF.T @ centred_RC)
    weight_CF = (weight_FC / deviation_F[:, None]).T
    return weight_CF.float(), (y_RC.mean(dim=0) - weight_CF @ mean_F).float()


def _penalised(gram: Tensor, num_features: int) -> Tensor:
    gram.diagonal().add_(RIDGE * num_features)
    return gram
