"""What a network with fitted heads says of clips whose features are kept: encoders run once a clip, however many
networks share them, such as those of the folds.

Knows no run and no bundle.

Shape suffixes: B clips of a batch, N of all batches, K steps (step 0: the glance or a part of it), C classes, F
features.
"""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.recognizer import Frames
from training.families import training_of
from training.family import Regression
from training.fit.feature_cache import FeatureCache


def observe_kept(
    network: nn.Module, cache: Path, clips_THWC: Iterable[Frames], *, batch_size: int = 8
) -> NDArray[np.float64]:
    """Log-probabilities of shape (N, K, C), as `training.judge.calibrate.observe` gives, in fp32.

    Of a network in eval mode whose features are repeatable (`FamilyTraining.repeatable`).
    """
    training, kept = training_of(network), FeatureCache(cache, network, "fp32")
    heads = training.regressions(network)
    remaining, batches = iter(clips_THWC), []
    while clips := list(itertools.islice(remaining, batch_size)):
        clips_BTHWC = torch.from_numpy(np.stack(clips))
        with torch.inference_mode():
            given = kept.features(network, clips_BTHWC, torch.Generator(), learned=False)
            own = [_logits(head, head.rows(given).flatten(1)) for head in heads]
            logits_BKC = torch.stack(list(training.answered(network, own)), dim=1)
            batches.append(logits_BKC.double().log_softmax(dim=2).numpy())
    return np.concatenate(batches)


def _logits(head: Regression, rows_BF: Tensor) -> Tensor:
    logits_BC = rows_BF @ torch.cat(head.weights, dim=1).T
    return logits_BC + torch.stack(head.biases).sum(dim=0)
