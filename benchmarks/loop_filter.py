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
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmarks.keyframe_jitter import CRF, FOLDS, TOLERANCE
from benchmarks.phone_clips import phone_clip
from models.adafocus.encoders import FrameEncoder
from models.adafocus.parts import parts
from models.adafocus.placed import PlacedAdaFocus
from models.adafocus.pose import KeyPoints
from models.catalogue import available_models
from models.recognizer import Frames
from models.runtime import RuntimeConfig, make_runtime
from training.data.dataset import LIMITS, Dataset, Sample, read_dataset
from training.data.frames import FrameStore
from training.data.groups import fold_groups, group_of
from training.data.keyframes import StandIns
from training.families import training_of
from training.family import Regression
from training.fit.feature_cache import FeatureCache
from training.fit.heads import regressed
from training.fit.networks import build, start_from_bundle
from training.fit.plans import TrainPlan, find_plan
from training.judge.statistics import mean_interval, resample
from video.clip import ClipRule, FirstLook
from video.file.decode import decode

LEARNING = "learnt"
LEARNT = ("exact", "copy", "keyframes", "copy with keyframes")
FOOTAGE = ("as it is", "720p, crf 23", "720p, crf 33")
WAYS = ("exact", "no loop filter")


@dataclass(frozen=True, slots=True)
class Row:
    step: int
    footage: str
    way: str
    top1: float
    difference: float  # in points, from exact frames of the same footage
    low: float
    high: float
    same_label: float  # as with exact frames

    def __str__(self) -> str:
        return (
            f"step {self.step}, {self.footage:<12}, {self.way:<14}: {self.top1:.1%} ({self.difference:+.1f} "
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
    network = build(plan.model_plan(None))
    start_from_bundle(network, available_models()["adafocus-v3-compact"])
    given = features(dataset, plan, network, arguments.cache.expanduser(), arguments.judged, until)
    rows = compared(dataset, training_of(network).regressions(network), given, arguments.deals)
    print(f"{arguments.plan}: {len(dataset)} videos, {arguments.deals} deals of {FOLDS} folds", *rows, sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


@torch.no_grad()
def features(
    dataset: Dataset, plan: TrainPlan, network: nn.Module, cache: Path, judged: list[str], until: float
) -> dict[str, dict[str, Tensor]]:
    """By kind of clip what heads are given, all videos in order."""
    network.eval()
    describe_compiled(network)
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


def describe_compiled(network: nn.Module) -> None:
    """From now on OpenVINO executes the network's encoders, in bf16: several times faster than torch."""
    assert isinstance(network, PlacedAdaFocus)
    runtime = make_runtime(RuntimeConfig(name="openvino", precision="bf16", num_threads=1))
    run = {name: runtime.execute(parts(network)[name], key=name) for name in ("glance", "focus")}
    glance = network.glance

    def describe(frames_NHWC: Tensor, encoder: FrameEncoder, points: KeyPoints) -> Tensor:
        seen = run["glance" if encoder is glance else "focus"](np.ascontiguousarray(frames_NHWC.numpy()))
        described_NV: Tensor = points(*(torch.from_numpy(np.array(one)) for one in seen))
        return described_NV

    network.describe = describe  # type: ignore[method-assign]


def compared(
    dataset: Dataset, heads: list[Regression], given: Mapping[str, Mapping[str, Tensor]], deals: int
) -> list[Row]:
    samples = dataset.samples
    resamples = resample([group_of(one) for one in samples], [one.source or "" for one in samples])
    labels_N = torch.tensor([sample.label for sample in samples]).numpy()
    rows = []
    for step, head in enumerate(heads):
        told = out_of_fold(dataset, head, {kind: head.rows(named) for kind, named in given.items()}, deals)
        for footage in dict.fromkeys(kind.partition("; ")[0] for kind in told):
            exact_DN = told[f"{footage}; exact"]
            for way in WAYS:
                told_DN = told[f"{footage}; {way}"]
                right_N, before_N = ((one_DN == labels_N).mean(axis=0) for one_DN in (told_DN, exact_DN))
                apart = mean_interval(100 * (right_N - before_N), resamples)
                same = float((told_DN == exact_DN).mean())
                rows.append(Row(step, footage, way, float(right_N.mean()), apart.value, apart.low, apart.high, same))
    return rows


def out_of_fold(
    dataset: Dataset, head: Regression, rows_NRF: Mapping[str, Tensor], deals: int
) -> dict[str, np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
    """told_DN by kind of clip that is judged: in each deal the label of each video."""
    place = {sample.path: number for number, sample in enumerate(dataset.samples)}
    labels_N = torch.tensor([sample.label for sample in dataset.samples])
    kinds = [kind for kind in rows_NRF if kind not in LEARNT]
    told = {kind: np.zeros((deals, len(labels_N)), np.int64) for kind in kinds}
    for deal in range(deals):
        for rest, part in fold_groups(dataset, FOLDS, deal):
            learning, held = ([place[one.path] for one in some.samples] for some in (rest, part))
            weight_CF, bias_C = regressed(
                head, torch.cat([rows_NRF[kind][learning] for kind in LEARNT]), labels_N[learning].repeat(len(LEARNT))
            )
            for kind in kinds:
                told[kind][deal, held] = (rows_NRF[kind][held].flatten(1) @ weight_CF.T + bias_C).argmax(dim=1).numpy()
    return told


if __name__ == "__main__":
    main()
