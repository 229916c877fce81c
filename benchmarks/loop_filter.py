"""What it costs to leave out the loop filter: accuracy out of fold.

`python -m benchmarks.loop_filter DATA --plan light`: the training videos as they are, and encoded anew as phones do it
(720 lines, a keyframe a second, at two qualities), each decoded as the service does, exactly and without the loop
filter. Features are those of the networks of the bundle that ships, which never saw these videos, through OpenVINO in
bf16. Heads are fitted as `fovea train` does, on clips and their compressed copies, with exact frames and with
keyframes; each video is judged by heads that saw none of its group, in several deals of the folds. Intervals are of
paired differences, by resampling groups within each source.

`--cache` keeps clips and features: the same command goes on where it was. `--seconds` ends it sooner.

Shape suffixes: N videos, D deals, T frames, H rows, W columns, C colour channels or classes, B clips, R rows a video,
F features.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.keyframe_jitter import CRF, FOLDS, TOLERANCE
from benchmarks.phone_clips import phone_clip
from models.adafocus.encoders import FrameEncoder
from models.adafocus.parts import parts
from models.adafocus.placed import PlacedAdaFocus
from models.adafocus.pose import KeyPoints
from models.bundle import Bundle
from models.catalogue import available_models
from models.recognizer import Frames
from models.runtime import RuntimeConfig, make_runtime
from models.thresholds import entropy_nats, exit_steps
from training.data.dataset import LIMITS, Dataset, Sample, read_dataset
from training.data.frames import FrameStore
from training.data.groups import fold_groups, group_of
from training.data.keyframes import StandIns
from training.families import training_of
from training.family import Regression
from training.fit.feature_cache import FeatureCache
from training.fit.head_fit import HeadFit
from training.fit.heads import LOGIT_SCALE, regressed
from training.fit.networks import build, start_from_bundle
from training.fit.plans import TrainPlan, find_plan
from training.judge.statistics import mean_interval, resample
from video.clip import ClipRule, FirstLook
from video.file.decode import decode

LEARNING = "learnt"
LEARNT = ("exact", "copy", "keyframes", "copy with keyframes")
FOOTAGE = ("as it is", "720p, crf 23", "720p, crf 33")
Logits: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]
WAYS = ("exact", "no loop filter")


@dataclass(frozen=True, slots=True)
class Row:
    step: str  # or the default budget: by the bundle's thresholds
    footage: str
    way: str
    top1: float
    difference: float  # in points, from exact frames of the same footage
    low: float
    high: float
    same_label: float  # as with exact frames

    def __str__(self) -> str:
        return (
            f"{self.step:<14}, {self.footage:<12}, {self.way:<14}: {self.top1:.1%} ({self.difference:+.1f} "
            f"[{self.low:.1f}, {self.high:.1f}]), same label {self.same_label:.1%}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop_filter", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--plan", default="light", help="or compact")
    parser.add_argument("--judged", nargs="+", choices=FOOTAGE, default=list(FOOTAGE), help="footage")
    parser.add_argument("--deals", type=int, default=6, help="of the folds")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/fovea"))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop computing features after that long")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    until = time.monotonic() + arguments.seconds
    dataset = read_dataset(arguments.data).split("train")
    plan = find_plan(arguments.plan, dataset.num_classes)
    network = build(plan.model_plan(None)).eval()
    start_from_bundle(network, available_models()["adafocus-v3-compact"])
    assert isinstance(network, PlacedAdaFocus), "a plan whose cubes a rule places"
    given = features(dataset, plan, Compiled(network), arguments.cache.expanduser(), arguments.judged, until)
    bundle = Bundle.read(available_models()[f"adafocus-v3-{arguments.plan}"])
    rows = compared(dataset, network, given, arguments.deals, bundle, plan.recipe.head_fit)
    print(f"{arguments.plan}: {len(dataset)} videos, {arguments.deals} deals of {FOLDS} folds", *rows, sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


@torch.no_grad()
def features(
    dataset: Dataset, plan: TrainPlan, network: nn.Module, cache: Path, judged: list[str], until: float
) -> dict[str, dict[str, Tensor]]:
    """By kind of clip what heads are given, all videos in order."""
    places = training_of(network).looked_at(plan.model)
    assert places is not None, "a plan whose cubes a rule places"
    assert plan.clip.source_short_side_px is not None
    store, wanted = FrameStore(cache, plan.clip.source_short_side_px), StandIns(places, TOLERANCE)
    kept = FeatureCache(cache, network, "bf16 by OpenVINO")
    found: dict[str, dict[str, list[Tensor]]] = {}
    for sample in dataset.samples:
        for footage in (LEARNING, *judged):
            file = kept.folder / footage / f"{sample.path.parent.name}-{sample.path.stem}.safetensors"
            if file.exists():
                continue
            if time.monotonic() > until:
                raise SystemExit("not all features are there: the same command goes on")
            if footage == LEARNING:
                clips = {
                    "exact": store.clip(sample.path, plan.clip),
                    "copy": store.clip(sample.path, plan.clip, CRF),
                    "keyframes": store.clip(sample.path, plan.clip, None, wanted),
                    "copy with keyframes": store.clip(sample.path, plan.clip, CRF, wanted),
                }
            else:
                path = sample.path if footage == FOOTAGE[0] else phone(sample, footage, cache / "phone-clips")
                clips = {f"{footage}; {way}": decoded(path, plan.clip, places, way) for way in WAYS}
            one = {
                f"{kind}/{name}": feature.contiguous()
                for kind, clip_THWC in clips.items()
                for name, feature in training_of(network)
                .features(network, torch.from_numpy(clip_THWC)[None], torch.Generator(), learned=False)
                .items()
            }
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(one, part := file.with_suffix(".part"))
            part.rename(file)
    for sample in dataset.samples:
        for footage in (LEARNING, *judged):
            file = kept.folder / footage / f"{sample.path.parent.name}-{sample.path.stem}.safetensors"
            for told, feature in load_file(file).items():
                kind, name = told.split("/")
                found.setdefault(kind, {}).setdefault(name, []).append(feature)
    return {kind: {name: torch.cat(few) for name, few in named.items()} for kind, named in found.items()}


def decoded(path: Path, rule: ClipRule, places: tuple[int, ...], way: str) -> Frames:
    """frames_THWC, the looked-at ones alone, as the service decodes them."""
    look = FirstLook(places, 0.0, (), skip_loop_filter=way != WAYS[0])
    return decode(str(path), rule, LIMITS, look).frames_THWC


def phone(sample: Sample, footage: str, folder: Path) -> Path:
    crf = footage[-2:]
    file = folder / crf / f"{sample.path.parent.name}-{sample.path.stem}.mp4"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        phone_clip(sample.path, file.with_suffix(".part.mp4"), None, int(crf)).rename(file)
    return file


class Compiled(PlacedAdaFocus):
    """A network whose encoders OpenVINO executes, in bf16: several times faster than torch."""

    def __init__(self, network: PlacedAdaFocus) -> None:
        super().__init__(network.config)
        self.load_state_dict(network.state_dict())
        self.eval()
        runtime = make_runtime(RuntimeConfig(name="openvino", precision="bf16", num_threads=1))
        self._run = {name: runtime.execute(parts(network)[name], key=name) for name in ("glance", "focus")}

    def describe(self, frames_NHWC: Tensor, encoder: FrameEncoder, points: KeyPoints) -> Tensor:
        seen = self._run["glance" if encoder is self.glance else "focus"](np.ascontiguousarray(frames_NHWC.numpy()))
        described_NV: Tensor = points(*(torch.from_numpy(np.array(one)) for one in seen))
        return described_NV


def compared(
    dataset: Dataset,
    network: nn.Module,
    given: Mapping[str, Mapping[str, Tensor]],
    deals: int,
    bundle: Bundle,
    fit: HeadFit,
) -> list[Row]:
    samples = dataset.samples
    resamples = resample([group_of(one) for one in samples], [one.source or "" for one in samples])
    labels_N = np.array([sample.label for sample in samples])
    kinds = [kind for kind in given if kind not in LEARNT]
    logits = {kind: list[Logits]() for kind in kinds}  # logits_DNC of each step
    training = training_of(network)
    for head in training.regressions(network):
        for kind, logits_DNC in out_of_fold(dataset, head, given, kinds, deals, fit).items():
            logits[kind].append(logits_DNC)
    logits = {kind: list(training.answered(network, own)) for kind, own in logits.items()}
    told = {
        kind: [("step " + str(step), one.argmax(axis=2)) for step, one in enumerate(of)] for kind, of in logits.items()
    }
    for kind, of in logits.items():
        told[kind].append(("default budget", by_default(of, bundle)))
    rows = []
    for footage in dict.fromkeys(kind.partition("; ")[0] for kind in kinds):
        for way in WAYS:
            for (step, told_DN), (_, exact_DN) in zip(
                told[f"{footage}; {way}"], told[f"{footage}; exact"], strict=True
            ):
                right_N, before_N = ((one_DN == labels_N).mean(axis=0) for one_DN in (told_DN, exact_DN))
                apart = mean_interval(100 * (right_N - before_N), resamples)
                same = float((told_DN == exact_DN).mean())
                rows.append(Row(step, footage, way, float(right_N.mean()), apart.value, apart.low, apart.high, same))
    return rows


def by_default(logits_K: Sequence[Logits], bundle: Bundle) -> Labels:
    """told_DN where each video stops, as the bundle's thresholds for its default budget say."""
    logits_DNKC = np.stack(
        [one / t for one, t in zip(logits_K, bundle.calibration.temperatures_K, strict=True)], axis=2
    )
    budget = bundle.default_budget_flops
    point = [point for point in bundle.grid.points if point.budget_flops <= budget][-1]
    told = []
    for logits_NKC in logits_DNKC:
        entropy_NK = entropy_nats(logits_NKC).astype(np.float32)
        if bundle.calibration.offsets is not None:
            entropy_NK = bundle.calibration.offsets.less(entropy_NK, logits_NKC.argmax(axis=2))
        steps_N = exit_steps(entropy_NK, point.solution.thresholds_nats)
        told.append(logits_NKC[np.arange(len(steps_N)), steps_N].argmax(axis=1))
    return np.stack(told)


def out_of_fold(
    dataset: Dataset,
    head: Regression,
    given: Mapping[str, Mapping[str, Tensor]],
    kinds: Sequence[str],
    deals: int,
    fit: HeadFit,
) -> dict[str, Logits]:
    """logits_DNC by kind of clip that is judged: in each deal those of each video."""
    rows_NRF = {kind: head.rows(given[kind]) for kind in (*LEARNT, *kinds)}
    place = {sample.path: number for number, sample in enumerate(dataset.samples)}
    labels_N = torch.tensor([sample.label for sample in dataset.samples])
    logits = {kind: np.zeros((deals, len(labels_N), dataset.num_classes)) for kind in kinds}
    for deal in range(deals):
        for rest, part in fold_groups(dataset, FOLDS, deal):
            learning, held = ([place[one.path] for one in some.samples] for some in (rest, part))
            weight_CF, bias_C = regressed(
                head,
                torch.cat([rows_NRF[kind][learning] for kind in LEARNT]),
                labels_N[learning].repeat(len(LEARNT)),
                fit,
                len(LEARNT),
            )
            for kind in kinds:
                told_NC = rows_NRF[kind][held].flatten(1) @ weight_CF.T + bias_C
                logits[kind][deal, held] = LOGIT_SCALE * told_NC.numpy()
    return logits


if __name__ == "__main__":
    main()
