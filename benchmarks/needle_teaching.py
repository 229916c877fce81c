"""What teaches a policy on needles: the gradient of Eq. 5-6, on policy or at all places, or the loss itself (ours).

Knows no pixels and no clips: it sees the glance's maps, and the heads' answers for a cube at any place (`CellLogits`),
or slopes that somebody else took (`needle_slopes`).

Shape suffixes: N clips, B clips of a batch, K cubes, P cells of the glance's map (t, y, x), L of them, R = N * P,
D features, 3 = (t, y, x).
"""

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.needle_parts import CellLogits, Part
from models.adafocus.heat_map import HeatMapPolicy, roots

CLIP = 3.0  # of a position's gradient, times its mean size along that axis: a few wild ones drown the rest
EPOCHS, BATCH, RATE, WEIGHT_DECAY = 8, 16, 5e-3, 3.0  # of a heat map that follows gradients
PENALTY = 0.1  # of the regression on losses, per row, on standardised features
PENALTIES = (0.01, 0.1, 1.0)  # among which clips set aside choose
SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # of the heat


def follow_on_policy(policy: nn.Module, taught: CellLogits, steps: int, seed: int) -> None:
    """Eq. 5-6 as the paper trains: at the policy's own cubes, step by step."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    for parameter in policy.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3, weight_decay=0.05)
    policy.train()
    for _ in range(steps):
        rows = torch.from_numpy(rng.choice(len(taught.part), 2 * BATCH, replace=False))
        positions_BK3 = policy(taught.part.seen_by(policy)[rows].float())
        positions_BK3.register_hook(lambda slope: _clipped(slope, slope.abs().mean(dim=(0, 1))))
        loss = taught.running_losses(rows, positions_BK3).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    policy.eval()


def follow_everywhere(policy: HeatMapPolicy, taught: CellLogits, seed: int) -> None:
    """The gradient of Eq. 5-6 at every cell's place. Around each, the local soft-argmax is moved along it."""
    cells_NPD = _standardised_cells(policy, taught.part)
    _set(policy, _followed(policy, cells_NPD, _slopes(policy, taught), seed))


def follow_at(policy: HeatMapPolicy, part: Part, cells_NL: Tensor, slopes_NL3: Tensor, seed: int) -> None:
    """The same for slopes of the loss at the places of some cells of each clip."""
    cells_NPD = _standardised_cells(policy, part)
    towards_NL3 = -_clipped(slopes_NL3, slopes_NL3.abs().mean(dim=(0, 1)))
    towards_NP3 = torch.zeros(*cells_NPD.shape[:2], 3)
    towards_NP3.scatter_(1, cells_NL[..., None].expand(-1, -1, 3), towards_NL3)
    _set(policy, _followed(policy, cells_NPD, towards_NP3, seed))


@torch.no_grad()
def regress_losses(policy: HeatMapPolicy, taught: CellLogits) -> None:
    """Ours, not the paper's: how much less than elsewhere in its clip a cube at a cell's place costs, by ridge
    regression on what the glance sees there. The heat's scale is the one whose cubes cost least."""
    cells_NPD = _standardised_cells(policy, taught.part)
    _scaled(policy, _regressed(cells_NPD, _gains(policy, taught), PENALTY), taught)


def teach_and_choose(policy: HeatMapPolicy, taught: CellLogits, aside: CellLogits, seed: int) -> str:
    """Ours: regressions on losses of several penalties, the gradients of Eq. 5-6, and both in one map.

    Of these the one, and its scale, whose cubes cost least on clips set aside. Returns its name.
    """
    cells_NPD = _standardised_cells(policy, taught.part)
    gains_NP = _gains(policy, taught)
    by_losses = {f"losses, penalty {one}": _unit(cells_NPD, _regressed(cells_NPD, gains_NP, one)) for one in PENALTIES}
    costs = {name: _scaled(policy, weight_D, aside) for name, weight_D in by_losses.items()}
    best_D = by_losses[min(costs, key=lambda name: costs[name])]
    slopes_D = _unit(cells_NPD, _followed(policy, cells_NPD, _slopes(policy, taught), seed))
    weights = by_losses | {"Eq. 5-6": slopes_D, "losses and Eq. 5-6": _unit(cells_NPD, best_D + slopes_D)}
    costs |= {name: _scaled(policy, weights[name], aside) for name in ("Eq. 5-6", "losses and Eq. 5-6")}
    chosen = min(costs, key=lambda name: costs[name])
    _scaled(policy, weights[chosen], aside)
    return chosen


@torch.no_grad()
def places_of(policy: nn.Module, part: Part) -> Tensor:
    """positions_NK3."""
    return torch.cat([policy(maps.float()) for maps in part.seen_by(policy).split(64)])


def _slopes(policy: HeatMapPolicy, taught: CellLogits) -> Tensor:
    """towards_NP3: down the loss at every cell's place, clipped."""
    places_NP3 = policy.places_P3.expand(len(taught.part), -1, -1).clone().requires_grad_(True)
    (slope_NP3,) = torch.autograd.grad(taught.losses(slice(None), places_NP3).sum(), places_NP3)
    return -_clipped(slope_NP3, slope_NP3.abs().mean(dim=(0, 1)))


def _followed(policy: HeatMapPolicy, cells_NPD: Tensor, towards_NP3: Tensor, seed: int) -> Tensor:
    """weight_D. Places and networks stand still, so the gradients do, too: they serve in every epoch."""
    torch.manual_seed(seed)
    near_PP = (policy.cells_P3[:, None] - policy.cells_P3).abs().amax(dim=2).le(1).float()
    near_P3P = (near_PP[..., None] * policy.places_P3).permute(1, 0, 2).flatten(1)  # rows: cells that weigh in
    weight_D = torch.zeros(cells_NPD.shape[2], requires_grad=True)
    optimizer = torch.optim.AdamW([weight_D], lr=RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(cells_NPD)).split(BATCH):
            heat_BP = cells_NPD[rows] @ weight_D
            warm_BP = (heat_BP - heat_BP.amax(dim=1, keepdim=True)).exp()
            position_BP3 = (warm_BP @ near_P3P).unflatten(1, (-1, 3)) / (warm_BP @ near_PP)[..., None]
            loss = -(towards_NP3[rows] * position_BP3).sum(dim=2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return weight_D.detach()


@torch.no_grad()
def _gains(policy: HeatMapPolicy, taught: CellLogits) -> Tensor:
    """gains_NP: how much less than the mean of its clip a cube at each cell's place costs."""
    losses_NP = taught.losses(slice(None), policy.places_P3.expand(len(taught.part), -1, -1))
    return losses_NP.mean(dim=1, keepdim=True) - losses_NP


@torch.no_grad()
def _regressed(cells_NPD: Tensor, gains_NP: Tensor, penalty: float) -> Tensor:
    cells_RD = cells_NPD.flatten(0, 1)
    gram = cells_RD.T @ cells_RD
    gram.diagonal().add_(penalty * len(cells_RD))
    weight_D: Tensor = torch.linalg.solve(gram, cells_RD.T @ gains_NP.flatten())
    return weight_D


def _unit(cells_NPD: Tensor, weight_D: Tensor) -> Tensor:
    """The same with a heat of deviation 1."""
    return weight_D / ((cells_NPD @ weight_D).std() + 1e-12)


@torch.no_grad()
def _scaled(policy: HeatMapPolicy, weight_D: Tensor, judge: CellLogits) -> float:
    """The policy gets these weights at the scale whose cubes cost least; what they cost."""
    costs = []
    for scale in SCALES:
        _set(policy, scale * weight_D)
        costs.append(float(judge.running_losses(slice(None), places_of(policy, judge.part)).mean()))
    _set(policy, SCALES[int(np.argmin(costs))] * weight_D)
    return min(costs)


@torch.no_grad()
def _standardised_cells(policy: HeatMapPolicy, part: Part) -> Tensor:
    """cells_NPD, and each channel's mean and deviation into the policy, which is left in eval mode."""
    roots_NTDhw = roots(part.seen_by(policy).float())
    policy.standardise.momentum = None
    policy.standardise.reset_running_stats()
    policy.train()
    policy.standardise(roots_NTDhw.flatten(0, 1))
    policy.eval()
    cells = policy.standardise(roots_NTDhw.flatten(0, 1)).view_as(roots_NTDhw)
    return cells.permute(0, 1, 3, 4, 2).flatten(1, 3).contiguous()


@torch.no_grad()
def _set(policy: HeatMapPolicy, weight_D: Tensor) -> None:
    policy.heat.weight.copy_(weight_D[None, :, None, None])


def _clipped(slopes: Tensor, size_3: Tensor) -> Tensor:
    return (slopes / (size_3 + 1e-12)).clamp(-CLIP, CLIP)
