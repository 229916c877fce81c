"""Does the policy learn where to look, and do exits pay, where the right answer is known? Synthetic clips, minutes.

`python -m benchmarks.needle --seeds 0 1 2`: needles in large frames (`needle_clips`), the frozen image networks of the
bundle that ships, heads in closed form (`needle_parts`); the policy alone learns (`needle_teaching`). One classifier,
fitted to random cubes, judges all rows: cubes at random, in the centre, where most moves, and learned. The policy
learns on clips that the heads have not seen, or, to compare, on the heads' own.

Shape suffixes: N clips, K cubes, T frames, D features, C classes, E exits, 3 = (t, y, x).
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.needle_clips import CLASSES, HEIGHT_PX, NUM_FRAMES, WIDTH_PX
from benchmarks.needle_parts import CUBE_PX, CellLogits, Encoders, Part, exit_logits, fit, needle_network
from benchmarks.needle_teaching import follow_everywhere, follow_on_policy, places_of, regress_losses, towards_needle
from models.adafocus.config import AdaFocusConfig
from models.adafocus.costs import step_flops
from models.adafocus.heat_map import HeatMapPolicy
from models.adafocus.network import AdaFocusV3
from models.adafocus.policy import Policy
from models.runtime.choosing import make_runtime
from models.runtime.config import RuntimeConfig
from training.judge.exit_comparison import ExitComparison, on_other_videos
from training.judge.observations import Observations
from training.judge.statistics import Interval, mean_interval, resample

BEST = "heat map, losses (ours)"
_BLOCK_PX = 16  # of the motion row's grid
_JUDGED = 8  # cubes whose gradient is taken at once


@dataclass(frozen=True, slots=True)
class Sizes:
    """`heads`: clips that heads are fitted to; `policy`: that it learns on; `calibration`: of thresholds; `val`."""

    heads: int = 320
    policy: int = 320
    own: int = 80
    """Of the heads' clips, how many teach the policy where its own do not."""
    calibration: int = 160
    val: int = 240
    draws: int = 2
    """Pairs of random cubes a clip that heads are fitted to, and that the random row is the mean of."""
    steps: int = 150
    """Of the paper's head on policy, 32 clips each."""
    judged: int = 40
    """Cubes beside a needle whose gradient is judged, of each kind."""


@dataclass(frozen=True, slots=True)
class Row:
    """Top-1 on val after no, one and two cubes."""

    seed: int
    cubes: str
    top1_E: tuple[float, ...]
    found: float
    """Of the hard clips, how often the first cube holds the needle's centre while it shows."""


@dataclass(frozen=True, slots=True)
class Direction:
    """Of cubes beside a needle: how often the gradient moves them towards it."""

    seed: int
    gradient: Literal["deep", "pixel", "deep, whole frames"]
    """Of lone cubes cut with a cell to spare, as Eq. 5-6 is implemented; of pixels; of the map of whole frames."""
    clips: Literal["other clips", "the heads' clips"]
    cubes: int
    towards: float


@dataclass(slots=True, eq=False)
class Card:
    rows: list[Row]
    gains: list[tuple[int, str, int, Interval]]
    """Of `BEST` over others: (seed, over which, cubes, difference in top-1)."""
    directions: list[Direction]
    exits: list[ExitComparison]


def run(
    seed: int, weights: Path | None, encoders: Encoders, sizes: Sizes, card: Card, say: Callable[[str], None]
) -> None:
    """One seed: clips, heads, policies and rows, added to the card as they are found."""
    network = needle_network(seed, weights)
    counts = (sizes.heads, sizes.policy, sizes.calibration, sizes.val)
    heads, teach, calibration, val = (
        Part.made(encoders, count, 4 * seed + 1000 + number) for number, count in enumerate(counts)
    )
    say("clips made and glanced at")
    torch.manual_seed(seed)
    num_cubes = network.config.max_cubes
    fit(network, heads, heads.cubes(encoders, torch.rand(len(heads), num_cubes * sizes.draws, 3)))
    say("heads fitted")
    for gradient, clips, part in (
        ("deep", "other clips", teach), ("deep", "the heads' clips", heads), ("pixel", "other clips", teach),
    ):  # fmt: skip
        found = direction(network, part, gradient, sizes.judged, seed)
        card.directions.append(Direction(seed, gradient, clips, *found))
        say(str(card.directions[-1]))
    taught = {
        "other clips": CellLogits.of(network, encoders, teach),
        "the heads' clips": CellLogits.of(network, encoders, heads.first(sizes.own)),
    }
    shapes = (torch.tensor((NUM_FRAMES, HEIGHT_PX, WIDTH_PX)), torch.tensor(network.config.cube_size))
    for clips, cells in taught.items():
        found = towards_needle(cells, *shapes, seed)
        card.directions.append(Direction(seed, "deep, whole frames", clips, *found))
        say(str(card.directions[-1]))
    policies = learned_policies(network, *taught.values(), sizes, seed, say)
    ways: dict[str, Tensor] = {
        "centre": torch.full((len(val), num_cubes, 3), 0.5),
        "motion": motion_places(val, network.config),
        **{name: places_of(policy, val) for name, policy in policies.items()},
    }
    random_places = torch.rand(len(val), sizes.draws * num_cubes, 3)
    cubes_NKD = val.cubes(encoders, torch.cat((random_places, *ways.values()), dim=1))
    random_cubes, *learned_cubes = cubes_NKD.split((sizes.draws * num_cubes, *(num_cubes for _ in ways)), dim=1)
    draws = random_cubes.split(num_cubes, dim=1)
    right = {"random": torch.stack([_right(network, val, cubes) for cubes in draws]).mean(dim=0)}
    right |= {name: _right(network, val, cubes) for name, cubes in zip(ways, learned_cubes, strict=True)}
    found_by = {name: found_share(val, places, network.config) for name, places in ways.items()}
    drawn_places = random_places.split(num_cubes, dim=1)
    found_by["random"] = float(np.mean([found_share(val, places, network.config) for places in drawn_places]))
    for name, right_NE in right.items():
        card.rows.append(Row(seed, name, tuple(right_NE.mean(dim=0).tolist()), found_by[name]))
        say(str(card.rows[-1]))
    names = tuple(map(str, range(len(val))))
    resamples = resample(names, ("",) * len(val))
    for name, right_NE in right.items():
        for cubes in range(1, num_cubes + 1):
            gain = mean_interval((right[BEST][:, cubes] - right_NE[:, cubes]).numpy(), resamples)
            if name != BEST:
                card.gains.append((seed, name, cubes, gain))
    seen = [
        observations(network, part, part.cubes(encoders, places_of(policies[BEST], part)), split)
        for split, part in (("calibration", calibration), ("val", val))
    ]
    card.exits.append(on_other_videos(*seen, name=f"needle, seed {seed}"))


def learned_policies(
    network: AdaFocusV3,
    on_others: CellLogits,
    on_own: CellLogits,
    sizes: Sizes,
    seed: int,
    say: Callable[[str], None],
) -> dict[str, nn.Module]:
    policies: dict[str, nn.Module] = {}
    for name, kind, teaching in (
        ("paper's head, Eq. 5-6", Policy, lambda one: follow_on_policy(one, on_others, sizes.steps, seed)),
        ("heat map, Eq. 5-6", HeatMapPolicy, lambda one: follow_everywhere(one, on_others, seed)),
        ("heat map, Eq. 5-6, the heads' clips", HeatMapPolicy, lambda one: follow_everywhere(one, on_own, seed)),
        (BEST, HeatMapPolicy, lambda one: regress_losses(one, on_others)),
        ("heat map, losses, the heads' clips", HeatMapPolicy, lambda one: regress_losses(one, on_own)),
    ):
        torch.manual_seed(seed)
        policy: nn.Module = kind(network.config, network.glance.num_features)
        teaching(policy)
        policies[name] = policy.eval()
        say(f"{name}: taught")
    return policies


def _right(network: AdaFocusV3, part: Part, cubes_NKD: Tensor) -> Tensor:
    """right_NE, 1 or 0."""
    return (exit_logits(network, part, cubes_NKD).argmax(dim=2) == part.labels_N[:, None]).float()


def direction(
    network: AdaFocusV3, part: Part, gradient: Literal["deep", "pixel"], count: int, seed: int
) -> tuple[int, float]:
    """(cubes, how often towards): the needle is 48 to 88 px off a cube's centre along y or x, so mostly outside it."""
    rng = np.random.default_rng(seed)
    room_3 = np.array((NUM_FRAMES, HEIGHT_PX, WIDTH_PX)) - network.config.cube_size
    towards: list[bool] = []
    batch: list[tuple[Tensor, int, Tensor, int, bool]] = []
    for row, clip in enumerate(part.clips):
        centre_3 = part.centres_N3[row].numpy()
        for axis in (1, 2) if not part.easy_N[row] else ():
            side = rng.choice((-1, 1))
            off_3 = rng.uniform((-1, -24, -24), (1, 24, 24))
            off_3[axis] = side * rng.uniform(48, 88)
            corner_3 = centre_3 + off_3 - np.array(network.config.cube_size) / 2
            corner_3[0] = np.clip(corner_3[0], 0, room_3[0])
            if ((corner_3 >= 0) & (corner_3 <= room_3)).all():
                place = torch.from_numpy(corner_3 / room_3).float()
                batch.append((torch.from_numpy(clip), row, place, axis, side < 0))
        if len(batch) >= _JUDGED:
            towards += _judged(network, part, batch, gradient)
            batch = []
        if len(towards) >= count:
            break
    return len(towards), float(np.mean(towards))


def _judged(
    network: AdaFocusV3,
    part: Part,
    batch: list[tuple[Tensor, int, Tensor, int, bool]],
    gradient: Literal["deep", "pixel"],
) -> list[bool]:
    clips, rows, places, axes, forward = zip(*batch, strict=True)
    positions_B13 = torch.stack(places)[:, None].requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        features_BKTD = network.cube_features(torch.stack(clips), positions_B13, cubes=gradient).float()
    glance_BTD = part.maps_NTDhw[list(rows)].float().mean(dim=(3, 4))
    logits_BC = network._classify(glance_BTD, features_BKTD)[:, 1]
    loss = F.cross_entropy(logits_BC, part.labels_N[list(rows)], reduction="sum", label_smoothing=0.1)
    (slope_B13,) = torch.autograd.grad(loss, positions_B13)
    downhill = (-slope_B13[torch.arange(len(rows)), 0, torch.tensor(axes)]).tolist()
    return [(slope > 0) == wanted for slope, wanted in zip(downhill, forward, strict=True)]


def motion_places(part: Part, config: AdaFocusConfig) -> Tensor:
    """positions_NK3 of the cubes that hold most pixel differences; a second one does not overlap the first."""
    frames, height, width = config.cube_size
    rows, columns = height // _BLOCK_PX, width // _BLOCK_PX
    found = []
    for clip in part.clips:
        moved = np.abs(np.diff(clip.astype(np.int16), axis=0)).sum(axis=3)
        block = moved.reshape(len(moved), HEIGHT_PX // _BLOCK_PX, _BLOCK_PX, WIDTH_PX // _BLOCK_PX, _BLOCK_PX)
        block = block.sum(axis=(2, 4)).astype(np.float64)
        window = np.lib.stride_tricks.sliding_window_view(block, (frames - 1, rows, columns)).sum((3, 4, 5))
        places = []
        for _ in range(config.max_cubes):
            t, y, x = np.unravel_index(int(window.argmax()), window.shape)
            places.append((t / (len(window) - 1), y / (window.shape[1] - 1), x / (window.shape[2] - 1)))
            window[
                max(t - frames + 1, 0) : t + frames,
                max(y - rows + 1, 0) : y + rows,
                max(x - columns + 1, 0) : x + columns,
            ] = -1
        found.append(places)
    return torch.tensor(found, dtype=torch.float32)


def found_share(part: Part, positions_NK3: Tensor, config: AdaFocusConfig) -> float:
    size, cube = torch.tensor((config.num_frames, *config.frame_size)), torch.tensor(config.cube_size)
    place = positions_NK3[:, 0] * (size - cube) + cube / 2
    held = ((part.centres_N3 - place).abs() <= torch.tensor([2.0, CUBE_PX / 2, CUBE_PX / 2])).all(dim=1)
    return float(held[~part.easy_N].float().mean())


def observations(network: AdaFocusV3, part: Part, cubes_NKD: Tensor, split: str) -> Observations:
    log_probs = exit_logits(network, part, cubes_NKD).double().log_softmax(dim=2).numpy().astype(np.float32)
    names = tuple(f"{split}/{i:04d}" for i in range(len(part)))
    return Observations(
        model="needle", digest="", split=split, classes_C=CLASSES, paths_N=names, labels_N=part.labels_N.numpy(),
        groups_N=names, sources_N=("",) * len(part), log_probs_NKC=log_probs, step_flops_K=step_flops(network.config),
        seconds_K=(float("nan"),) * log_probs.shape[1], executor="openvino",
    )  # fmt: skip


def render(card: Card) -> str:
    """The card as Markdown."""
    lines = ["| seed | cubes | found by the first | glance | 1 cube | 2 cubes |", "| --- " * 6 + "|"]
    for row in card.rows:
        cells = " | ".join(f"{100 * value:.1f}" for value in row.top1_E)
        lines.append(f"| {row.seed} | {row.cubes} | {100 * row.found:.0f} % | {cells} |")
    lines += ["", f"| seed | {BEST}, minus | cubes | points |", "| --- " * 4 + "|"]
    for seed, name, cubes, gain in card.gains:
        lines.append(f"| {seed} | {name} | {cubes} | {_points(gain)} |")
    lines += ["", "| seed | gradient | on | cubes beside a needle | towards it |", "| --- " * 5 + "|"]
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


def _say(began_s: float, seed: int, text: str) -> None:
    print(f"{time.monotonic() - began_s:5.0f} s, seed {seed}: {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.needle", description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--weights",
        type=Path,
        help="an ImageNet MobileNetV2 by torchvision's names (.safetensors), as decision 0036 took",
    )
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    card, began_s = Card([], [], [], []), time.monotonic()
    weights = arguments.weights
    encoders = Encoders(needle_network(0, weights), make_runtime(RuntimeConfig(num_threads=arguments.threads)))
    torch.set_num_threads(arguments.threads)
    for seed in arguments.seeds:
        run(seed, weights, encoders, Sizes(), card, partial(_say, began_s, seed))
        if arguments.json:
            arguments.json.write_text(json.dumps(asdict(card), indent=1) + "\n")
    print(render(card))


if __name__ == "__main__":
    main()
