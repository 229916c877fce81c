"""Does the policy learn where to look, and do exits pay, where the right answer is known? Synthetic clips, minutes.

`python -m benchmarks.needle --seeds 0 1 2 --work FOLDER`: needles in large frames (`needle_clips`), the frozen image
networks of the bundle that ships or others, heads in closed form (`needle_parts`); the policy alone learns
(`needle_teaching`). One classifier, fitted to random cubes, judges all rows: cubes at random, in the centre, where most
moves, learned, and where the needle is. The policy learns on clips that the heads have not seen, or, to compare, on the
heads' own. A run that was stopped goes on where it was (`needle_stages`).

Shape suffixes: N clips, L cells, K cubes, D features, C classes, E exits, 3 = (t, y, x).
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.needle_clips import CHUNK, CLASSES, HEIGHT_PX, NUM_FRAMES, WIDTH_PX
from benchmarks.needle_parts import MIDDLE_CELL_PX, CellLogits, Encoders, Part, exit_logits, fit, needle_network
from benchmarks.needle_places import found_share, motion_places, needle_places
from benchmarks.needle_slopes import Kind, direction, slopes_at, towards_needle
from benchmarks.needle_stages import Stages
from benchmarks.needle_teaching import (
    follow_at,
    follow_everywhere,
    follow_on_policy,
    places_of,
    regress_losses,
    teach_and_choose,
)
from models.adafocus.costs import step_flops
from models.adafocus.heat_map import HeatMapPolicy
from models.adafocus.network import AdaFocusV3
from models.adafocus.policy import Policy
from models.backbones.config import STRIDE
from models.runtime.choosing import make_runtime
from models.runtime.config import RuntimeConfig
from training.judge.exit_comparison import on_other_videos
from training.judge.needle_card import OURS, PLACE, Card, Direction, Gain, Row, render, write_card
from training.judge.observations import Observations
from training.judge.statistics import mean_interval, resample

DEEP, PIXEL = "finer map, deep slopes of lone cubes", "finer map, pixel slopes of the same cubes"
_STEP = 80  # clips of a stage that takes slopes


@dataclass(frozen=True, slots=True)
class Sizes:
    """`heads`: clips that heads are fitted to; `policy`: that it learns on; `aside`: that choose among what it learnt;
    `calibration`: of thresholds; `val`. Multiples of 40 all."""

    heads: int = 640
    policy: int = 320
    aside: int = 160
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
    lone: int = 4
    """Cubes a clip whose own slopes, deep and of pixels, teach a policy."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What one seed needs everywhere. The network's heads are fitted on the way."""

    seed: int
    sizes: Sizes
    network: AdaFocusV3
    encoders: Encoders
    stages: Stages
    say: Callable[[str], None]
    lone: bool
    """Whether slopes of lone cubes, deep and of pixels, are taken: a third of the time."""

    def part(self, name: str, number: int, count: int) -> Part:
        part = Part.made(self.encoders, count, 4 * self.seed + 1000 + number, self.stages, name)
        self.say(f"{name}: {count} clips glanced at")
        return part

    def cubes(self, name: str, part: Part, ways: dict[str, Tensor]) -> dict[str, Tensor]:
        """cubes_NKD at each way's positions_NK3: chunk by chunk, since a chunk's clips are made once for all ways."""
        found: dict[str, list[Tensor]] = {way: [] for way in ways}
        for first in range(0, len(part), CHUNK):
            rows = slice(first, first + CHUNK)
            for way, positions_NK3 in ways.items():
                look = partial(part.rows(rows).cubes, self.encoders, positions_NK3[rows])
                found[way].append(self.stages.tensor(f"cubes {name} {way} {first}", look))
        return {way: torch.cat(chunks) for way, chunks in found.items()}

    def heat_map(self, cell_px: int = MIDDLE_CELL_PX) -> HeatMapPolicy:
        channels = self.encoders.channels_of(cell_px)
        torch.manual_seed(self.seed)
        return HeatMapPolicy(self.network.config, channels, cell_px)


def run(bench: Bench, card: Card) -> None:
    """One seed: clips, heads, policies and rows, added to the card as they are found."""
    seed, sizes, network, say = bench.seed, bench.sizes, bench.network, bench.say
    heads = bench.part("heads", 0, sizes.heads)
    lessons = bench.part("policy", 1, sizes.policy + sizes.aside)
    calibration, val = bench.part("calibration", 2, sizes.calibration), bench.part("val", 3, sizes.val)
    num_cubes = network.config.max_cubes
    at_random = torch.Generator().manual_seed(seed)
    random_NK3 = torch.rand(len(heads), num_cubes * sizes.draws, 3, generator=at_random)
    fit(network, heads, bench.cubes("heads", heads, {"random": random_NK3})["random"])
    say("heads fitted")
    judged = CellLogits.of(network, bench.encoders, lessons, bench.stages, "policy")
    own = CellLogits.of(network, bench.encoders, heads.rows(slice(sizes.own)), bench.stages, "own")
    taught, aside = judged.rows(slice(sizes.policy)), judged.rows(slice(sizes.policy, None))
    judge_directions(bench, card, heads, taught, own)

    places = learned_places(bench, taught, aside, own, {"val": val, "calibration": calibration})
    random_places = torch.rand(len(val), sizes.draws * num_cubes, 3, generator=at_random)
    ways = {
        **{f"random {draw}": one for draw, one in enumerate(random_places.split(num_cubes, dim=1))},
        "centre": torch.full((len(val), num_cubes, 3), 0.5),
        "motion": bench.stages.tensor("motion", lambda: motion_places(val, network.config)),
        **{name: one["val"] for name, one in places.items()},
        PLACE: needle_places(val, network.config),
    }
    cubes = bench.cubes("val", val, ways)
    right = {
        name: (exit_logits(network, val, cubes_NKD).argmax(dim=2) == val.labels_N[:, None]).float()
        for name, cubes_NKD in cubes.items()
    }
    found = {name: found_share(val, places_NK3, network.config) for name, places_NK3 in ways.items()}
    draws = [f"random {draw}" for draw in range(sizes.draws)]
    right = {"random": torch.stack([right.pop(draw) for draw in draws]).mean(dim=0), **right}
    found["random"] = float(np.mean([found.pop(draw) for draw in draws]))
    for name, right_NE in right.items():
        card.rows.append(Row(seed, name, tuple(right_NE.mean(dim=0).tolist()), found[name]))
        say(str(card.rows[-1]))
    card.gains += gains(seed, right)
    calibrated = {OURS: places[OURS]["calibration"]}
    seen = [
        observations(network, calibration, bench.cubes("calibration", calibration, calibrated)[OURS], "calibration"),
        observations(network, val, cubes[OURS], "val"),
    ]
    card.exits.append(on_other_videos(*seen, name=f"needle, seed {seed}"))


def judge_directions(bench: Bench, card: Card, heads: Part, taught: CellLogits, own: CellLogits) -> None:
    """Whether slopes point to the needle: of lone cubes, and in the map of whole frames."""
    kinds: tuple[tuple[Kind, str, Part], ...] = (
        ("deep", "other clips", taught.part),
        ("deep", "the heads' clips", heads),
        ("pixel", "other clips", taught.part),
    )
    for kind, clips, part in kinds:
        ask = partial(direction, bench.network, part, kind, bench.sizes.judged, bench.seed)
        count, towards = bench.stages.tensor(f"direction {kind} {clips}", lambda ask=ask: torch.tensor(ask()))
        card.directions.append(Direction(bench.seed, kind, clips, int(count), float(towards)))
        bench.say(str(card.directions[-1]))
    shapes = (torch.tensor((NUM_FRAMES, HEIGHT_PX, WIDTH_PX)), torch.tensor(bench.network.config.cube_size))
    for clips, cells in (("other clips", taught), ("the heads' clips", own)):
        found = towards_needle(cells, *shapes, bench.seed)
        card.directions.append(Direction(bench.seed, "deep, whole frames", clips, *found))
        bench.say(str(card.directions[-1]))


def learned_places(
    bench: Bench, taught: CellLogits, aside: CellLogits, own: CellLogits, parts: dict[str, Part]
) -> dict[str, dict[str, Tensor]]:
    """positions_NK3 on these parts by each policy. All but ours learn from `taught`, or, to compare, `own` alone."""
    taughts = (("", taught), (", the heads' clips", own))
    ways: dict[str, Callable[[], nn.Module]] = {"paper's head, Eq. 5-6": lambda: papers_head(bench, taught)}
    for name, cell_px in (("heat map", STRIDE), ("finer map", MIDDLE_CELL_PX)):
        for suffix, cells in taughts:
            ways[f"{name}, Eq. 5-6{suffix}"] = partial(by_slopes, bench, cell_px, cells)
            ways[f"{name}, losses{suffix}"] = partial(by_losses, bench, cell_px, cells)
    ways[OURS] = lambda: chosen(bench, taught, aside)
    if bench.lone:
        ways[DEEP] = lambda: by_lone_slopes(bench, taught.part, "deep")
        ways[PIXEL] = lambda: by_lone_slopes(bench, taught.part, "pixel")

    def places(name: str) -> dict[str, Tensor]:
        policy = ways[name]()
        bench.say(f"{name}: taught")
        return {part: places_of(policy, clips) for part, clips in parts.items()}

    return {name: bench.stages.tensors(f"places {name}", partial(places, name)) for name in ways}


def papers_head(bench: Bench, taught: CellLogits) -> nn.Module:
    torch.manual_seed(bench.seed)
    policy = Policy(bench.network.config, bench.network.glance.num_features)
    follow_on_policy(policy, taught, bench.sizes.steps, bench.seed)
    return policy


def by_slopes(bench: Bench, cell_px: int, taught: CellLogits) -> nn.Module:
    policy = bench.heat_map(cell_px)
    follow_everywhere(policy, taught, bench.seed)
    return policy


def by_losses(bench: Bench, cell_px: int, taught: CellLogits) -> nn.Module:
    policy = bench.heat_map(cell_px)
    regress_losses(policy, taught)
    return policy


def chosen(bench: Bench, taught: CellLogits, aside: CellLogits) -> nn.Module:
    policy = bench.heat_map()
    bench.say(f"chosen aside: {teach_and_choose(policy, taught, aside, bench.seed)}")
    return policy


def by_lone_slopes(bench: Bench, part: Part, kind: Kind) -> nn.Module:
    policy = bench.heat_map()
    follow_at(policy, part, *lone_slopes(bench, policy, part, kind), bench.seed)
    return policy


def lone_slopes(bench: Bench, policy: HeatMapPolicy, part: Part, kind: Kind) -> tuple[Tensor, Tensor]:
    """(cells_NL, slopes_NL3): some cells of each clip, drawn, and the slopes of cubes that are cut there."""
    num_cells, drawn = len(policy.places_P3), torch.Generator().manual_seed(bench.seed)
    cells_NL = torch.rand(len(part), num_cells, generator=drawn).topk(bench.sizes.lone, dim=1).indices
    places_NL3, slopes = policy.places_P3[cells_NL], []
    for first in range(0, len(part), _STEP):
        rows = slice(first, first + _STEP)
        take = partial(slopes_at, bench.network, part.rows(rows), places_NL3[rows], kind)
        slopes.append(bench.stages.tensor(f"slopes {kind} {first}", take))
        bench.say(f"{kind} slopes of clips {first} on")
    return cells_NL, torch.cat(slopes)


def gains(seed: int, right: dict[str, Tensor]) -> list[Gain]:
    """Of ours over every other row, and of deep slopes over those of pixels, paired by clips."""
    num_clips, num_exits = next(iter(right.values())).shape
    resamples = resample(tuple(map(str, range(num_clips))), ("",) * num_clips)
    pairs = [(OURS, name) for name in right if name != OURS]
    pairs += [(DEEP, PIXEL)] if PIXEL in right else []
    return [
        Gain(seed, name, over, number, mean_interval((right[name] - right[over])[:, number].numpy(), resamples))
        for name, over in pairs
        for number in range(1, num_exits)
    ]


def observations(network: AdaFocusV3, part: Part, cubes_NKD: Tensor, split: str) -> Observations:
    log_probs = exit_logits(network, part, cubes_NKD).double().log_softmax(dim=2).numpy().astype(np.float32)
    names = tuple(f"{split}/{i:04d}" for i in range(len(part)))
    return Observations(
        model="needle", digest="", split=split, classes_C=CLASSES, paths_N=names, labels_N=part.labels_N.numpy(),
        groups_N=names, sources_N=("",) * len(part), log_probs_NKC=log_probs, step_flops_K=step_flops(network.config),
        seconds_K=(float("nan"),) * log_probs.shape[1], executor="openvino",
    )  # fmt: skip


def _say(began_s: float, seed: int, text: str) -> None:
    print(f"{time.monotonic() - began_s:5.0f} s, seed {seed}: {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.needle", description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--weights",
        type=Path,
        help="an ImageNet MobileNetV2 by torchvision's names (.safetensors), as decisions 0036 and 0074 took",
    )
    parser.add_argument("--work", type=Path, help="keep what each stage found there, and go on from what is kept")
    parser.add_argument("--no-lone", action="store_true", help="leave out what slopes of lone cubes teach: a third")
    parser.add_argument("--json", type=Path, help="write the figures there, such as results/needle/needle.json")
    arguments = parser.parse_args()
    card, began_s, sizes = Card([], [], [], []), time.monotonic(), Sizes()
    weights: Path | None = arguments.weights
    torch.set_num_threads(arguments.threads)
    encoders = Encoders(needle_network(0, weights), make_runtime(RuntimeConfig(num_threads=arguments.threads)))
    for seed in arguments.seeds:
        settings = {**asdict(sizes), "weights": str(weights)}
        stages = Stages(arguments.work and arguments.work / f"seed-{seed}", settings)
        network, say = needle_network(seed, weights), partial(_say, began_s, seed)
        run(Bench(seed, sizes, network, encoders, stages, say, not arguments.no_lone), card)
        if arguments.json:
            write_card(arguments.json, card)
    print(render(card))


if __name__ == "__main__":
    main()
