"""f_C: from features of the glance and of the cubes so far to logits, one prediction per exit; p_0 needs no cube.

Knows no pixels, and no order of computation: `merge` folds one cube more into the memory of those before it.

Three forms share one shape. `MaxPoolClassifier`: FrameExit's and AdaFocusV2's accumulated max-pooling, split into two
branches as in Uni-AdaFocus, so that the glance alone has a prediction. `AverageClassifier`: TSM's averaging of frame
logits, for clips of few cubes. `JointClassifier`: how features change over time counts, and what the cubes show is
read together with what the glance showed.

Shape suffixes: B clips, T frames (of the glance or of a cube), D features, G what is remembered of a glance, M what is
remembered of cubes, K steps, C classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.adafocus.config import AdaFocusConfig, Aggregation

_LEAST_VARIANCE = 1e-4  # keeps the root's gradient finite where nothing changes
_LEAST_FEATURE = 1e-4  # the same where there is nothing


class MaxPoolClassifier(nn.Module):
    def __init__(self, config: AdaFocusConfig, glance_features: int, focus_features: int) -> None:
        super().__init__()
        hidden = config.classifier_hidden
        self.memory_size = hidden
        self.glance_features = config.glance_features
        self.glance_mlp = _mlp(glance_features, hidden)
        self.focus_mlp = _mlp(focus_features, hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.glance_head = nn.Linear(hidden, config.num_classes)
        width = hidden * (2 if config.glance_features else 1)
        self.step_heads = StepHeads(config.max_cubes, width, config.num_classes)

    def remember_glance(self, features_BTD: Tensor) -> Tensor:
        """memory_BG: the maximum over the glance's frames."""
        return _over_frames(self.glance_mlp, features_BTD)

    def embed_cubes(self, features_BTD: Tensor) -> Tensor:
        """embedding_BM of one cube per row: the maximum over its frames."""
        return _over_frames(self.focus_mlp, features_BTD)

    def merge(self, memory_BM: Tensor, embedding_BM: Tensor) -> Tensor:
        """The running maximum. It starts at zeros, below which no embedding lies (ReLU)."""
        return torch.maximum(memory_BM, embedding_BM)

    def glance_logits(self, glance_BG: Tensor) -> Tensor:
        logits_BC: Tensor = self.glance_head(self.dropout(glance_BG))
        return logits_BC

    def step_logits(self, glance_BG: Tensor, memory_BM: Tensor, steps: Sequence[int]) -> Tensor:
        """logits_BC after `steps[row]` >= 1 cubes; rows may stand at different steps."""
        features_BD = torch.cat((memory_BM, glance_BG), dim=1) if self.glance_features else memory_BM
        logits_BC: Tensor = self.step_heads(self.dropout(features_BD), steps)
        return logits_BC

    def logits_at(self, glance_BG: Tensor, memory_BM: Tensor, step: Tensor) -> Tensor:
        """`step_logits` for inference, of rows that all stand at `step`, whole, of shape (1,)."""
        features_BD = torch.cat((memory_BM, glance_BG), dim=1) if self.glance_features else memory_BM
        return self.step_heads.at(features_BD, step)


class FramePool(nn.Module):
    """features_BTD to pooled_BF, F = `width` * D: the mean over frames; for a linear head the same as that of logits.

    `joint_statistics`: of the features' square roots (they are >= 0; power normalisation, Perronnin et al., ECCV 2010)
    the mean, the standard deviation (x-vectors' statistics pooling, Snyder et al., ICASSP 2018), and the mean distance
    between neighbouring frames, which tells quick changes from slow ones.
    """

    def __init__(self, aggregation: Aggregation) -> None:
        super().__init__()
        self.deviates = aggregation == "joint_statistics"
        self.width = 3 if self.deviates else 1

    def forward(self, features_BTD: Tensor) -> Tensor:
        if not self.deviates:
            return features_BTD.mean(dim=1)
        features_BTD = (features_BTD + _LEAST_FEATURE).sqrt()
        mean_BD = features_BTD.mean(dim=1)
        deviation_BD = (features_BTD.var(dim=1, correction=0) + _LEAST_VARIANCE).sqrt()
        # Written out: OpenVINO converts no `diff`.
        distance_BD = (features_BTD[:, 1:] - features_BTD[:, :-1]).abs().mean(dim=1)
        return torch.cat((mean_BD, deviation_BD, distance_BD), dim=1)


class AverageClassifier(nn.Module):
    def __init__(self, config: AdaFocusConfig, glance_features: int, focus_features: int) -> None:
        super().__init__()
        self.memory_size = config.num_classes
        self.glance_features = config.glance_features
        self.dropout = nn.Dropout(config.dropout)
        self.pool = FramePool(config.aggregation)
        self.glance_head = nn.Linear(self.pool.width * glance_features, config.num_classes)
        self.focus_head = nn.Linear(self.pool.width * focus_features, config.num_classes)

    def remember_glance(self, features_BTD: Tensor) -> Tensor:
        """The glance's logits."""
        logits_BC: Tensor = self.glance_head(self.dropout(self.pool(features_BTD)))
        return logits_BC

    def embed_cubes(self, features_BTD: Tensor) -> Tensor:
        """A cube's logits."""
        logits_BC: Tensor = self.focus_head(self.dropout(self.pool(features_BTD)))
        return logits_BC

    def merge(self, memory_BM: Tensor, embedding_BM: Tensor) -> Tensor:
        """The sum over cubes; it starts at zeros."""
        return memory_BM + embedding_BM

    def glance_logits(self, glance_BG: Tensor) -> Tensor:
        return glance_BG

    def step_logits(self, glance_BG: Tensor, memory_BM: Tensor, steps: Sequence[int]) -> Tensor:
        """Glance logits + the mean of the logits of all cubes so far."""
        cubes_BC = memory_BM / memory_BM.new_tensor(steps)[:, None]
        return glance_BG + cubes_BC if self.glance_features else cubes_BC

    def logits_at(self, glance_BG: Tensor, memory_BM: Tensor, step: Tensor) -> Tensor:
        """`step_logits` for inference, of rows that all stand at `step`, whole, of shape (1,)."""
        # glance_BG stays an argument of what is converted, also where it says nothing.
        return glance_BG * float(self.glance_features) + memory_BM / step


class JointClassifier(nn.Module):
    """Linear heads, one per exit, on the pooled features of the glance beside the mean of those of the cubes so far."""

    def __init__(self, config: AdaFocusConfig, glance_features: int, focus_features: int) -> None:
        super().__init__()
        self.pool = FramePool(config.aggregation)
        self.memory_size = self.pool.width * focus_features
        self.glance_features = config.glance_features
        self.dropout = nn.Dropout(config.dropout)
        remembered = self.pool.width * glance_features
        self.glance_head = nn.Linear(remembered, config.num_classes)
        width = self.memory_size + (remembered if config.glance_features else 0)
        self.step_heads = StepHeads(config.max_cubes, width, config.num_classes)

    def remember_glance(self, features_BTD: Tensor) -> Tensor:
        pooled_BG: Tensor = self.pool(features_BTD)
        return pooled_BG

    def embed_cubes(self, features_BTD: Tensor) -> Tensor:
        pooled_BM: Tensor = self.pool(features_BTD)
        return pooled_BM

    def merge(self, memory_BM: Tensor, embedding_BM: Tensor) -> Tensor:
        """The sum over cubes; it starts at zeros."""
        return memory_BM + embedding_BM

    def glance_logits(self, glance_BG: Tensor) -> Tensor:
        logits_BC: Tensor = self.glance_head(self.dropout(glance_BG))
        return logits_BC

    def step_logits(self, glance_BG: Tensor, memory_BM: Tensor, steps: Sequence[int]) -> Tensor:
        logits_BC: Tensor = self.step_heads(self.dropout(self.step_features(glance_BG, memory_BM, steps)), steps)
        return logits_BC

    def step_features(self, glance_BG: Tensor, memory_BM: Tensor, steps: Sequence[int]) -> Tensor:
        """What the head of `steps[row]` is given."""
        cubes_BM = memory_BM / memory_BM.new_tensor(steps)[:, None]
        return torch.cat((cubes_BM, glance_BG), dim=1) if self.glance_features else cubes_BM

    def logits_at(self, glance_BG: Tensor, memory_BM: Tensor, step: Tensor) -> Tensor:
        """`step_logits` for inference, of rows that all stand at `step`, whole, of shape (1,)."""
        cubes_BM = memory_BM / step
        return self.step_heads.at(torch.cat((cubes_BM, glance_BG), dim=1) if self.glance_features else cubes_BM, step)


Classifier = MaxPoolClassifier | AverageClassifier | JointClassifier


class StepHeads(nn.Module):
    """One linear head per step 1..K, stacked."""

    def __init__(self, num_steps: int, num_features: int, num_classes: int) -> None:
        super().__init__()
        heads = [nn.Linear(num_features, num_classes) for _ in range(num_steps)]
        self.weight_KCD = nn.Parameter(torch.stack([head.weight.detach() for head in heads]))
        self.bias_KC = nn.Parameter(torch.stack([head.bias.detach() for head in heads]))

    def forward(self, features_BD: Tensor, steps: Sequence[int]) -> Tensor:
        """logits_BC; row b by the head of `steps[b]`. A product per step present: gathering would copy a head a row."""
        logits_BC = features_BD.new_empty(features_BD.shape[0], self.bias_KC.shape[1])
        for step in sorted(set(steps)):
            rows = torch.tensor([row for row, at in enumerate(steps) if at == step], device=features_BD.device)
            logits = F.linear(features_BD[rows], self.weight_KCD[step - 1], self.bias_KC[step - 1])
            logits_BC = logits_BC.index_copy(0, rows, logits)
        return logits_BC

    def at(self, features_BD: Tensor, step: Tensor) -> Tensor:
        """logits_BC by the head of `step`, of shape (1,): no Python depends on data, so that it can be converted."""
        weight_CD = self.weight_KCD.index_select(0, step - 1).squeeze(0)
        return F.linear(features_BD, weight_CD, self.bias_KC.index_select(0, step - 1).squeeze(0))


def build_classifier(config: AdaFocusConfig, glance_features: int, focus_features: int) -> Classifier:
    forms: dict[Aggregation, type[MaxPoolClassifier] | type[AverageClassifier] | type[JointClassifier]] = {
        "max_pool": MaxPoolClassifier,
        "average": AverageClassifier,
        "joint_statistics": JointClassifier,
    }
    return forms[config.aggregation](config, glance_features, focus_features)


def _mlp(inputs: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU())


def _over_frames(mlp: nn.Sequential, features_BTD: Tensor) -> Tensor:
    embedding: Tensor = mlp(features_BTD.flatten(0, 1))
    return embedding.view(*features_BTD.shape[:2], -1).amax(dim=1)
