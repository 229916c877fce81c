"""How good a network is on the held-out videos: what early stopping goes by.

Knows no optimiser, and never sees the validation split.

Shape suffixes: B clips, T frames, H rows, W columns, C classes or colour channels, E exits.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.families import training_of
from training.fit.recipe import Crops
from training.fit.team import ALONE, Team


@dataclass(frozen=True, slots=True)
class Score:
    """Means over videos: accuracy per exit, and over all exits accuracy and cross-entropy in nats."""

    accuracy_E: tuple[float, ...]
    accuracy: float
    loss: float

    def better_than(self, other: "Score") -> bool:
        """By accuracy, all exits counting alike; on a tie by the lower loss."""
        return (self.accuracy, -self.loss) > (other.accuracy, -other.loss)

    def columns(self) -> dict[str, float]:
        each = {f"held_out_accuracy_exit_{e}": accuracy for e, accuracy in enumerate(self.accuracy_E)}
        return {"held_out_loss": self.loss, "held_out_accuracy": self.accuracy, **each}


@torch.no_grad()
def score(
    network: nn.Module,
    held_out: Iterable[tuple[Tensor, Tensor]],
    crops: Crops,
    seed: int,
    device: torch.device,
    team: Team = ALONE,
) -> Score:
    """In eval mode, in which it leaves the network. Where a stage trains on random cubes alone the policy knows nothing
    yet, so random cubes are scored, the same every time. All of a team get the first one's score, so that they decide
    alike. ValueError where nothing is held out.
    """
    network.eval()
    training = training_of(network)
    generator = torch.Generator().manual_seed(seed)
    correct: list[Tensor] = []
    nats: list[Tensor] = []
    for clips_BTHWC, labels_B in held_out:
        clips, labels = clips_BTHWC.to(device), labels_B.to(device)
        logits_BEC = training.exits(network, clips, crops, generator)
        correct.append((logits_BEC.argmax(dim=2) == labels[:, None]).double().cpu())
        repeated_BE = labels[:, None].expand(logits_BEC.shape[:2])
        nats.append(F.cross_entropy(logits_BEC.transpose(1, 2), repeated_BE, reduction="none").double().cpu())
    if not correct:
        raise ValueError("no video is held out, so no score can say when to stop; raise held_out_share")
    accuracy_E = torch.cat(correct).mean(dim=0)
    found = Score(tuple(accuracy_E.tolist()), accuracy_E.mean().item(), torch.cat(nats).mean().item())
    decided: Score = team.decided(found)
    return decided
