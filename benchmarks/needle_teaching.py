"""What teaches a policy on needles: the gradient of Eq. 5-6, on policy or at all places, or the loss itself (ours).

Knows no pixels and no clips: it sees the glance's maps, and the heads' answers for a cube at any place (`CellLogits`).

Shape suffixes: N clips, B clips of a batch, K cubes, P cells of the glance's map (t, y, x), D features, 3 = (t, y, x).
"""

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.needle_parts import CellLogits, Part
from models.adafocus.heat_map import HeatMapPolicy

LEAST_FEATURE = 1e-4
CLIP = 3.0  # of a position's gradient, times its mean size along that axis: a few wild ones drown the rest
EPOCHS, BATCH, RATE, WEIGHT_DECAY = 8, 16, 5e-3, 3.0  # of a heat map that follows gradients
PENALTY = 0.1  # of the regression on losses, per row, on standardised features
_DRAWN = 200  # places a clip at which the gradient's direction is judged
SCALES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


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
        positions_BK3 = policy(taught.part.maps_NTDhw[rows].float())
        positions_BK3.register_hook(lambda slope: _clipped(slope, slope.abs().mean(dim=(0, 1))))
        loss = taught.running_losses(rows, positions_BK3).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    policy.eval()


def follow_everywhere(policy: HeatMapPolicy, taught: CellLogits, seed: int) -> None:
    """The gradient of Eq. 5-6 at every cell's place. Around each, the local soft-argmax is moved along it.

    Places and networks stand still, so the gradients do, too: they are computed once and serve in every epoch.
    """
    torch.manual_seed(seed)
    cells_NPD = _standardised_cells(policy, taught.part)
    places_NP3 = policy.places_P3.expand(len(cells_NPD), -1, -1).clone().requires_grad_(True)
    (slope_NP3,) = torch.autograd.grad(taught.losses(slice(None), places_NP3).sum(), places_NP3)
    towards_NP3 = -_clipped(slope_NP3, slope_NP3.abs().mean(dim=(0, 1)))
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
    _set(policy, weight_D.detach())


@torch.no_grad()
def regress_losses(policy: HeatMapPolicy, taught: CellLogits) -> None:
    """Ours, not the paper's: how much less than elsewhere in its clip a cube at a cell's place costs, by ridge
    regression on what the glance sees there. The heat's scale is the one whose cubes cost least."""
    cells_NPD = _standardised_cells(policy, taught.part)
    losses_NP = taught.losses(slice(None), policy.places_P3.expand(len(cells_NPD), -1, -1))
    gain_R = (losses_NP.mean(dim=1, keepdim=True) - losses_NP).flatten()
    cells_RD = cells_NPD.flatten(0, 1)
    gram = cells_RD.T @ cells_RD
    gram.diagonal().add_(PENALTY * len(cells_RD))
    weight_D = torch.linalg.solve(gram, cells_RD.T @ gain_R)
    costs = []
    for scale in SCALES:
        _set(policy, scale * weight_D)
        costs.append(float(taught.running_losses(slice(None), places_of(policy, taught.part)).mean()))
    _set(policy, SCALES[int(np.argmin(costs))] * weight_D)


def towards_needle(taught: CellLogits, size_3: Tensor, cube_3: Tensor, seed: int) -> tuple[int, float]:
    """(places, how often the gradient of Eq. 5-6 points to the needle) where that is 64 to 112 px off along y or x.

    Nearer, the cube still holds it and there is nothing to gain; further, a cell more shows nothing of it.
    """
    part = taught.part
    places_NR3 = torch.rand(len(part), _DRAWN, 3, generator=torch.Generator().manual_seed(seed)).requires_grad_(True)
    (slope_NR3,) = torch.autograd.grad(taught.losses(slice(None), places_NR3).sum(), places_NR3)
    apart_NR3 = part.centres_N3[:, None] - (places_NR3.detach() * (size_3 - cube_3) + cube_3 / 2)
    right: list[bool] = []
    for axis in (1, 2):
        reach = torch.tensor([1.0, 24.0, 24.0])
        reach[axis] = 112.0
        judged_NR = (apart_NR3.abs() <= reach).all(dim=2) & (apart_NR3[..., axis].abs() >= 64) & ~part.easy_N[:, None]
        right += (torch.sign(-slope_NR3[judged_NR][:, axis]) == torch.sign(apart_NR3[judged_NR][:, axis])).tolist()
    return len(right), float(np.mean(right))


@torch.no_grad()
def places_of(policy: nn.Module, part: Part) -> Tensor:
    """positions_NK3."""
    return torch.cat([policy(maps.float()) for maps in part.maps_NTDhw.split(64)])


@torch.no_grad()
def _standardised_cells(policy: HeatMapPolicy, part: Part) -> Tensor:
    """cells_NPD, and each channel's mean and deviation into the policy."""
    roots_NTDhw = (part.maps_NTDhw.float() + LEAST_FEATURE).sqrt()
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
