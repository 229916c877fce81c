"""Does the policy learn where to look, and do exits pay, where the right answer is known? Synthetic clips, minutes.

`python -m benchmarks.needle --seeds 0 1`: needles in large frames (`benchmarks.needle_clips`), the frozen image
networks of the bundle that ships, heads in closed form as `fovea train` fits them; the policy alone learns by gradient.
Rows: cubes at random, in the centre, where most moves, learned by the paper's head, and by a heat map. Heads are fitted
to one set of clips. The policy learns on others, or, to compare, on the same.

Shape suffixes: N clips, B clips of a batch, K cubes, T frames, D and F features, C classes, 3 = (t, y, x).
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.needle_clips import CLASSES, HEIGHT_PX, NUM_FRAMES, WIDTH_PX, Needles, make_needles
from models.adafocus.classifier import JointClassifier
from models.adafocus.config import AdaFocusConfig
from models.adafocus.costs import step_flops
from models.adafocus.heat_map import HeatMapPolicy
from models.adafocus.network import AdaFocusV3, build_network
from models.adafocus.policy import Policy
from models.backbones.config import BackboneConfig
from models.bundle import Bundle
from models.catalogue import available_models
from models.loading import load_network
from training.fit.heads import LOGIT_SCALE, RIDGE, ridge_regression
from training.judge.exit_comparison import ExitComparison, on_other_videos
from training.judge.observations import Observations
from training.judge.statistics import Interval, mean_interval, resample

START = "adafocus-v3-compact"  # whose encoders are ImageNet's, frozen
BATCH = 16
SMOOTHING = 0.1
ROOM = torch.tensor([NUM_FRAMES - 2.0, HEIGHT_PX - 64.0, WIDTH_PX - 64.0])  # of a cube, in frames and pixels
LEAST_FEATURE = 1e-4
WEIGHT_DECAY, EPOCHS = 3.0, 12  # of the heat map
CLIP = 3.0  # of a position's gradient, times its mean size along that axis: a few wild ones drown the rest
Taught = Literal["other clips", "the heads' clips"]


@dataclass(frozen=True, slots=True)
class Sizes:
    """`heads`: clips that heads are fitted to; `policy`: that it learns on and exits are calibrated on; `val`."""

    heads: int = 300
    policy: int = 400
    val: int = 300
    draws: int = 5
    """Sets of random cubes that heads are fitted to, and that the random row is the mean of."""
    steps: int = 100
    """Of the paper's head, 16 clips each."""
    rounds: tuple[int, ...] = (110, 70)
    """Of the heat map: batches of 16 places whose gradient is taken, first at random, then where the map is hot."""


@dataclass(frozen=True, slots=True)
class Row:
    """Top-1 on val after no, one and two cubes, with heads fitted to this row's cubes and random ones."""

    seed: int
    cubes: str
    top1_E: tuple[float, ...]
    found: float
    """Of the hard clips, how often the first cube holds the needle's centre while it shows."""


@dataclass(frozen=True, slots=True)
class Direction:
    """Of cubes at random within a cell of the needle: how often the gradient moves them towards it, along y and x."""

    seed: int
    gradient: Literal["deep", "pixel"]
    clips: Taught
    cubes: int
    towards: float


def needle_config() -> AdaFocusConfig:
    """Frames twice the glance, cubes a twelfth of a frame."""
    return AdaFocusConfig(
        num_classes=len(CLASSES),
        num_frames=NUM_FRAMES,
        frame_size=(HEIGHT_PX, WIDTH_PX),
        glance_indices=tuple(range(0, NUM_FRAMES, 2)),
        glance_size=(HEIGHT_PX // 2, WIDTH_PX // 2),
        glance=BackboneConfig("mobilenet_v2"),
        focus=BackboneConfig("mobilenet_v2"),
        cube_size=(2, 64, 64),
        max_cubes=2,
        aggregation="joint_statistics",
        policy_conv=32,
        policy_hidden=(256, 128),
        dropout=0.0,
    )


def needle_network(seed: int) -> AdaFocusV3:
    network = build_network(needle_config(), seed)
    shipped = load_network(Bundle.read(available_models()[START].resolve()))
    assert isinstance(shipped, AdaFocusV3)
    for part in ("glance", "focus"):
        getattr(network, part).load_state_dict(getattr(shipped, part).state_dict(), strict=False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()


@dataclass(slots=True, eq=False)
class Part:
    """A set of clips with what does not change: the glance's maps, pooled, and labels."""

    needles: Needles
    maps_NTChw: Tensor
    glance_NF: Tensor
    labels_N: Tensor

    @classmethod
    def made(cls, network: AdaFocusV3, count: int, seed: int) -> "Part":
        needles = make_needles(count, seed)
        maps = torch.cat([_glance(network, needles, slice(i, i + BATCH)) for i in range(0, count, BATCH)])
        assert isinstance(network.classifier, JointClassifier)
        glance_NF = torch.cat([network.classifier.pool(part.float().mean(dim=(3, 4))) for part in maps.split(64)])
        return cls(needles, maps, glance_NF, torch.from_numpy(needles.labels_N))

    def __len__(self) -> int:
        return len(self.labels_N)

    def clips(self, rows: slice | NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self.needles.clips_NTHWC[rows])


@torch.no_grad()
def _glance(network: AdaFocusV3, needles: Needles, rows: slice) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return network.glance_maps(torch.from_numpy(needles.clips_NTHWC[rows])).half()


@torch.no_grad()
def pooled_cubes(network: AdaFocusV3, part: Part, positions_NK3: Tensor) -> Tensor:
    """cubes_NKF as inference cuts them."""
    assert isinstance(network.classifier, JointClassifier)
    found = []
    for i in range(0, len(part), 2 * BATCH):
        rows = slice(i, i + 2 * BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            features_BKTD = network.cube_features(part.clips(rows), positions_NK3[rows], cubes="plain")
        found.append(torch.stack([network.classifier.pool(one.float()) for one in features_BKTD.unbind(1)], dim=1))
    return torch.cat(found)


@torch.no_grad()
def fit(network: AdaFocusV3, part: Part, cubes: list[Tensor]) -> None:
    """Heads as `training.fit.heads` fits them, from pooled features: every run of k of each set of cubes is a row."""
    classifier = network.classifier
    assert isinstance(classifier, JointClassifier)
    weight, bias = ridge_regression(part.glance_NF, part.labels_N, len(CLASSES), RIDGE * part.glance_NF.shape[1])
    classifier.glance_head.weight.copy_(LOGIT_SCALE * weight)
    classifier.glance_head.bias.copy_(LOGIT_SCALE * bias)
    for step in range(1, network.config.max_cubes + 1):
        firsts = range(network.config.max_cubes if step < network.config.max_cubes else 1)
        rows_NRF = torch.stack(
            [
                classifier.step_features(part.glance_NF, one.roll(-first, 1)[:, :step].sum(1), [step] * len(part))
                for one in cubes
                for first in firsts
            ],
            dim=1,
        )
        num, width = rows_NRF.shape[1:]
        weight, bias = ridge_regression(
            rows_NRF.flatten(0, 1), part.labels_N.repeat_interleave(num), len(CLASSES), RIDGE * num * width
        )
        classifier.step_heads.weight_KCD[step - 1].copy_(LOGIT_SCALE * weight)
        classifier.step_heads.bias_KC[step - 1].copy_(LOGIT_SCALE * bias)


@torch.no_grad()
def logits(network: AdaFocusV3, part: Part, cubes_NKF: Tensor) -> Tensor:
    """logits_NEC of all exits."""
    classifier = network.classifier
    found, memory = [classifier.glance_logits(part.glance_NF)], torch.zeros_like(cubes_NKF[:, 0])
    for step in range(1, cubes_NKF.shape[1] + 1):
        memory = memory + cubes_NKF[:, step - 1]
        found.append(classifier.step_logits(part.glance_NF, memory, [step] * len(part)))
    return torch.stack(found, dim=1)


def learn(network: AdaFocusV3, policy: nn.Module, part: Part, steps: int, *, seed: int) -> None:
    """The paper's head by Eq. 5-6, on its own cubes: the encoders and the heads of the classifier stand still."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3, weight_decay=0.05)
    policy.train()
    for parameter in policy.parameters():
        parameter.requires_grad_(True)
    for _ in range(steps):
        rows = rng.choice(len(part), BATCH, replace=False)
        positions_BK3 = policy(part.maps_NTChw[rows].float())[:, :1]
        positions_BK3.register_hook(lambda slope: _clipped(slope, slope.abs().mean(dim=(0, 1))))
        loss = _losses(network, part, rows, positions_BK3, "deep").sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    policy.eval()


def learn_heat_map(network: AdaFocusV3, policy: HeatMapPolicy, part: Part, rounds: tuple[int, ...], seed: int) -> None:
    """Gradients of Eq. 5-6 are collected at places, and the map is fitted to all of them: the gradient at a place does
    not change while encoders and heads stand still, so each serves many times. The first round is at random places,
    later ones are drawn where the map is hot."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    _standardise(policy, part)
    rows_N = torch.empty(0, dtype=torch.int64)
    places_N3, slopes_N3 = torch.empty(0, 3), torch.empty(0, 3)
    for number, batches in enumerate(rounds):
        for _ in range(batches):
            rows = rng.choice(len(part), BATCH, replace=False)
            places = torch.rand(BATCH, 1, 3) if number == 0 else _drawn(policy, part, rows)
            places = places.requires_grad_(True)
            (slope,) = torch.autograd.grad(_losses(network, part, rows, places, "deep").sum(), places)
            rows_N = torch.cat([rows_N, torch.from_numpy(rows)])
            places_N3 = torch.cat([places_N3, places.detach()[:, 0]])
            slopes_N3 = torch.cat([slopes_N3, -slope[:, 0]])
        _fit_map(policy, part, rows_N, places_N3, _clipped(slopes_N3, slopes_N3.abs().mean(dim=0)))


@torch.no_grad()
def _standardise(policy: HeatMapPolicy, part: Part) -> None:
    """Each channel's mean and deviation over all cells of the part."""
    policy.standardise.momentum = None
    policy.train()
    policy.standardise((part.maps_NTChw.float().flatten(0, 1) + LEAST_FEATURE).sqrt())
    policy.eval()


@torch.no_grad()
def _drawn(policy: HeatMapPolicy, part: Part, rows: NDArray[np.int64]) -> Tensor:
    """places_B13 near cells drawn by their heat, at a deviation of two nats, and up to half a cell beside them."""
    heat_BP = policy.heat_map(part.maps_NTChw[rows].float()).flatten(1)
    noise_BP = -torch.empty_like(heat_BP).exponential_().log()
    cells = (2 * heat_BP / heat_BP.std(dim=1, keepdim=True) + noise_BP).argmax(dim=1)
    beside = (torch.rand(len(rows), 3) - 0.5) * torch.tensor([2.0, 48.0, 48.0]) / ROOM
    return (policy.places_P3[cells] + beside).clamp(0, 1)[:, None]


def _fit_map(policy: HeatMapPolicy, part: Part, rows_N: Tensor, places_N3: Tensor, towards_N3: Tensor) -> None:
    """From nothing: move the local soft-argmax around each place along its gradient, by as little as AdamW does."""
    nn.init.zeros_(policy.heat.weight)
    policy.heat.requires_grad_(True)
    optimizer = torch.optim.AdamW(policy.heat.parameters(), lr=3e-3, weight_decay=WEIGHT_DECAY)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(rows_N)).split(32):
            heat_BP = policy.heat_map(part.maps_NTChw[rows_N[chosen]].float()).flatten(1)
            apart_BP3 = ((policy.places_P3 - places_N3[chosen][:, None]) * ROOM).abs()
            near_BP = (apart_BP3 <= torch.tensor([2.1, 64.0, 64.0])).all(dim=2)
            position_B3 = heat_BP.masked_fill(~near_BP, -torch.inf).softmax(dim=1) @ policy.places_P3
            loss = -(towards_N3[chosen] * position_B3).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    policy.heat.requires_grad_(False)


def _clipped(slopes: Tensor, size_3: Tensor) -> Tensor:
    return (slopes / (size_3 + 1e-12)).clamp(-CLIP, CLIP)


def _losses(
    network: AdaFocusV3, part: Part, rows: NDArray[np.int64], positions_BK3: Tensor, gradient: Literal["deep", "pixel"]
) -> Tensor:
    """The cross-entropy after each cube, summed over cubes; shape B."""
    with torch.autocast("cpu", torch.bfloat16):
        features_BKTD = network.cube_features(part.clips(rows), positions_BK3, cubes=gradient).float()
    glance_BTD = part.maps_NTChw[rows].float().mean(dim=(3, 4))
    exits_BEC = network._classify(glance_BTD, features_BKTD)[:, 1:]
    targets = part.labels_N[rows].repeat_interleave(exits_BEC.shape[1])
    return F.cross_entropy(exits_BEC.flatten(0, 1), targets, reduction="none", label_smoothing=SMOOTHING).view(
        len(rows), -1
    ).sum(dim=1)  # fmt: skip


def direction(
    network: AdaFocusV3, part: Part, gradient: Literal["deep", "pixel"], clips: Taught, *, batches: int, seed: int
) -> Direction:
    """Cubes at random; those of hard clips that lie within a cell of the needle, along all axes, are judged."""
    rng, towards = np.random.default_rng(seed), []
    config = network.config
    size, cube = torch.tensor((config.num_frames, *config.frame_size)), torch.tensor(config.cube_size)
    for _ in range(batches):
        rows = rng.choice(len(part), BATCH, replace=False)
        positions = torch.from_numpy(rng.random((BATCH, 1, 3), dtype=np.float32)).requires_grad_(True)
        (slope,) = torch.autograd.grad(_losses(network, part, rows, positions, gradient).sum(), positions)
        place = positions.detach()[:, 0] * (size - cube) + cube / 2
        apart = torch.from_numpy(part.needles.centres_N3[rows]).float() - place
        near = (apart.abs() <= torch.tensor([2.0, 64.0, 64.0])).all(dim=1)
        near &= torch.from_numpy(~part.needles.easy_N[rows])
        for axis in (1, 2):
            judged = near & (apart[:, axis].abs() > 8)  # nearer, there is nothing to gain
            towards += (torch.sign(-slope[judged, 0, axis]) == torch.sign(apart[judged, axis])).tolist()
    return Direction(int(seed), gradient, clips, len(towards), float(np.mean(towards)))


def motion_places(part: Part, config: AdaFocusConfig) -> Tensor:
    """positions_NK3 of the cubes that hold most pixel differences; a second one does not overlap the first."""
    frames, height, width = config.cube_size
    found = []
    for clip in part.needles.clips_NTHWC:
        moved = np.abs(np.diff(clip.astype(np.int16), axis=0)).sum(axis=3)
        block = moved.reshape(len(moved), HEIGHT_PX // 16, 16, WIDTH_PX // 16, 16).sum(axis=(2, 4)).astype(np.float64)
        window = np.lib.stride_tricks.sliding_window_view(block, (frames - 1, height // 16, width // 16)).sum((3, 4, 5))
        places = []
        for _ in range(config.max_cubes):
            t, y, x = np.unravel_index(int(window.argmax()), window.shape)
            places.append((t / (len(window) - 1), y / (window.shape[1] - 1), x / (window.shape[2] - 1)))
            window[
                max(t - frames + 1, 0) : t + frames,
                max(y - height // 16 + 1, 0) : y + height // 16,
                max(x - width // 16 + 1, 0) : x + width // 16,
            ] = -1
        found.append(places)
    return torch.tensor(found, dtype=torch.float32)


@torch.no_grad()
def places_of(policy: nn.Module, part: Part) -> Tensor:
    return torch.cat([policy(maps.float()) for maps in part.maps_NTChw.split(64)])


def found_share(part: Part, positions_NK3: Tensor, config: AdaFocusConfig) -> float:
    size, cube = torch.tensor((config.num_frames, *config.frame_size)), torch.tensor(config.cube_size)
    place = positions_NK3[:, 0] * (size - cube) + cube / 2
    apart = (torch.from_numpy(part.needles.centres_N3).float() - place).abs()
    held = (apart <= torch.tensor([2.0, 32.0, 32.0])).all(dim=1)
    return float(held[torch.from_numpy(~part.needles.easy_N)].float().mean())


def observations(network: AdaFocusV3, part: Part, cubes_NKF: Tensor, split: str) -> Observations:
    log_probs = logits(network, part, cubes_NKF).double().log_softmax(dim=2).numpy().astype(np.float32)
    names = tuple(f"{split}/{i:04d}" for i in range(len(part)))
    return Observations(
        model="needle", digest="", split=split, classes_C=CLASSES, paths_N=names, labels_N=part.labels_N.numpy(),
        groups_N=names, sources_N=("",) * len(part), log_probs_NKC=log_probs, step_flops_K=step_flops(network.config),
        seconds_K=(float("nan"),) * log_probs.shape[1], executor="torch bf16",
    )  # fmt: skip


@dataclass(slots=True, eq=False)
class Card:
    rows: list[Row]
    gains: list[tuple[int, str, int, Interval]]
    """Of learned cubes by a heat map over others: (seed, over which, cubes, difference in top-1)."""
    directions: list[Direction]
    exits: list[ExitComparison]


def run(seed: int, sizes: Sizes, card: Card, say: Callable[[str], None]) -> None:
    """One seed: clips, heads, policies and rows, added to the card as they are found."""
    network = needle_network(seed)
    config = network.config
    heads = Part.made(network, sizes.heads, 3 * seed + 1000)
    teach = Part.made(network, sizes.policy, 3 * seed + 1001)
    val = Part.made(network, sizes.val, 3 * seed + 1002)
    say("clips made and glanced at")
    torch.manual_seed(seed)
    drawn = [torch.rand(len(heads), config.max_cubes, 3) for _ in range(sizes.draws)]
    random_heads = [pooled_cubes(network, heads, positions) for positions in drawn]
    fit(network, heads, random_heads)
    for gradient, clips, part in (
        ("deep", "other clips", teach), ("deep", "the heads' clips", heads), ("pixel", "other clips", teach),
    ):  # fmt: skip
        few = 40 if gradient == "deep" else 25
        card.directions.append(direction(network, part, gradient, clips, batches=few, seed=seed))  # type: ignore[arg-type]
        say(str(card.directions[-1]))
    policies: dict[str, nn.Module] = {}
    for name, kind, part in (
        ("learned, heat map", HeatMapPolicy, teach),
        ("learned, the paper's head", Policy, teach),
        ("learned, heat map, on the heads' clips", HeatMapPolicy, heads),
    ):
        torch.manual_seed(seed)
        policy: nn.Module = kind(config, network.glance.num_features)
        if isinstance(policy, HeatMapPolicy):
            learn_heat_map(network, policy, part, sizes.rounds, seed)
        else:
            learn(network, policy, part, sizes.steps, seed=seed)
        policies[name] = policy.eval()
        say(f"{name}: found {found_share(val, places_of(policy, val), config):.2f}")

    def centre(part: Part) -> Tensor:
        return torch.tensor([[[0.5, 0.5, 0.5]] * config.max_cubes]).repeat(len(part), 1, 1)

    def motion(part: Part) -> Tensor:
        return motion_places(part, config)

    def by(policy: nn.Module) -> Callable[[Part], Tensor]:
        return lambda part: places_of(policy, part)

    ways = {"centre": centre, "motion": motion} | {name: by(policy) for name, policy in policies.items()}
    right: dict[str, Tensor] = {}
    random_val = [torch.rand(len(val), config.max_cubes, 3) for _ in range(sizes.draws)]
    fit(network, heads, random_heads)
    said = torch.stack([logits(network, val, pooled_cubes(network, val, one)).argmax(2) for one in random_val])
    right["random"] = (said == val.labels_N[:, None]).float().mean(dim=0)
    found = float(np.mean([found_share(val, one, config) for one in random_val]))
    card.rows.append(Row(seed, "random", tuple(right["random"].mean(dim=0).tolist()), found))
    say(str(card.rows[-1]))
    for name, place in ways.items():
        fit(network, heads, [*random_heads, pooled_cubes(network, heads, place(heads))])
        said = logits(network, val, pooled_cubes(network, val, place(val)))
        right[name] = (said.argmax(2) == val.labels_N[:, None]).float()
        card.rows.append(Row(seed, name, tuple(right[name].mean(dim=0).tolist()), found_share(val, place(val), config)))
        say(str(card.rows[-1]))
        if name == "learned, heat map":
            calibration = observations(network, teach, pooled_cubes(network, teach, place(teach)), "calibration")
            judged = observations(network, val, pooled_cubes(network, val, place(val)), "val")
            card.exits.append(on_other_videos(calibration, judged, name=f"needle, seed {seed}"))
    names = tuple(map(str, range(len(val))))
    resamples = resample(names, ("",) * len(val))
    best = right["learned, heat map"]
    for name in ("random", "centre", "motion", "learned, the paper's head", "learned, heat map, on the heads' clips"):
        for cubes in range(1, config.max_cubes + 1):
            gain = mean_interval((best[:, cubes] - right[name][:, cubes]).numpy(), resamples)
            card.gains.append((seed, name, cubes, gain))


def render(card: Card) -> str:
    """The card as Markdown."""
    lines = ["| seed | cubes | found by the first | glance | 1 cube | 2 cubes |", "| --- " * 6 + "|"]
    for row in card.rows:
        cells = " | ".join(f"{100 * value:.1f}" for value in row.top1_E)
        lines.append(f"| {row.seed} | {row.cubes} | {100 * row.found:.0f} % | {cells} |")
    lines += ["", "| seed | heat map minus | cubes | points |", "| --- " * 4 + "|"]
    for seed, name, cubes, gain in card.gains:
        lines.append(f"| {seed} | {name} | {cubes} | {_points(gain)} |")
    lines += ["", "| seed | gradient | on | cubes near a needle | towards it |", "| --- " * 5 + "|"]
    for one in card.directions:
        lines.append(f"| {one.seed} | {one.gradient} | {one.clips} | {one.cubes} | {100 * one.towards:.0f} % |")
    lines += ["", "| seed | rule | B | realised | top-1 | minus random exit |", "| --- " * 6 + "|"]
    for comparison in card.exits:
        for point in comparison.points:
            lines.append(
                f"| {comparison.name[-1]} | {point.rule} | {point.asked_gflops:.3f} | {point.mean_gflops:.3f} | "
                f"{_points(point.top1)} | {_points(point.minus_random)} |"
            )
    return "\n".join(lines) + "\n"


def _points(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.needle", description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=Sizes().steps, help="of the policy, 16 clips each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    card, began = Card([], [], [], []), time.monotonic()
    for seed in arguments.seeds:
        run(
            seed,
            Sizes(steps=arguments.steps),
            card,
            lambda text, seed=seed: print(f"{time.monotonic() - began:5.0f} s, seed {seed}: {text}", flush=True),  # type: ignore[misc]
        )
        if arguments.json:
            arguments.json.write_text(json.dumps(asdict(card), indent=1) + "\n")
    print(render(card))


if __name__ == "__main__":
    main()
