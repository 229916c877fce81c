"""What it costs accuracy when keyframes stand in for the glance's frames, and when the loop filter is left out.

`python -m benchmarks.keyframe_jitter DATA`: the glance's features of every labelled video, exact and with the frame of
each place replaced by the nearest of a grid of keyframes, as far as the tolerance goes; a ridge head is fitted on exact
features of all groups but a fold's and judges that fold's both ways (the shipped model's own way to its heads, whose
networks never saw these videos). So every video counts once, judged by a head that never saw its group. The grid's
distance is told as a share of the distance of the glance's frames; its phase is drawn for each video.

Shape suffixes: N videos, G features, C classes, T frames.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray

from models import load_model
from models.adafocus.recognizer import AdaFocusRecognizer
from models.runtime import RuntimeConfig
from training.data.dataset import LIMITS, Sample, read_dataset
from training.fit.heads import RIDGE, ridge_regression
from video.clip import ClipRule
from video.file.picture import Painter
from video.file.probe import opened, packets_of
from video.file.sampling import segment_centres

FOLDS = 5
WAYS = ((0.8, 0.3), (0.8, 0.6), (1.0, 0.6))  # (distance of keyframes, tolerance); 0.8: 10 s with a keyframe a second
TELL_EVERY = 60  # videos


@dataclass(frozen=True, slots=True)
class Row:
    way: str
    videos: int
    exact_top1: float
    top1: float
    difference: float  # in points
    standard_error: float  # of it, over videos
    same_label: float
    replaced: float  # share of the glance's frames that are not the exact ones
    moved: float  # mean distance of those, as a share of the distance of the glance's frames

    def __str__(self) -> str:
        return (
            f"{self.way}: {self.exact_top1:.1%} -> {self.top1:.1%} ({self.difference:+.2f} +- "
            f"{self.standard_error:.2f} points), same label {self.same_label:.1%}; {self.replaced:.0%} of the frames "
            f"moved, by {self.moved:.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keyframe_jitter", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", default="adafocus-v3-compact")
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    recognizer = load_model(arguments.bundle, runtime=RuntimeConfig(num_threads=1)).recognizer
    assert isinstance(recognizer, AdaFocusRecognizer)
    samples = list(read_dataset(arguments.data).samples)
    np.random.default_rng(0).shuffle(samples)  # so that what is told before the end means something
    groups = sorted({sample.subject for sample in samples})
    np.random.default_rng(0).shuffle(groups)
    features: dict[object, list[NDArray[np.float32]]] = {way: [] for way in ("exact", "no loop filter", *WAYS)}
    moves: dict[object, list[NDArray[np.float64]]] = {way: [] for way in WAYS}
    for number, sample in enumerate(samples):
        for way, (clip_THWC, moved_T) in clips_of(sample, recognizer, np.random.default_rng(number)).items():
            (state,) = recognizer.glance([clip_THWC])
            features[way].append(np.asarray(state.glance_G, np.float32))
            if way in moves:
                moves[way].append(moved_T)
        if (number + 1) % TELL_EVERY == 0 or number + 1 == len(samples):
            truth_N = np.array([one.label for one in samples[: number + 1]])
            fold_N = np.array([groups.index(one.subject) % FOLDS for one in samples[: number + 1]])
            rows = judged(features, moves, truth_N, fold_N)
            print(f"{number + 1} videos", *rows, sep="\n  ", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def judged(
    features: Mapping[object, list[NDArray[np.float32]]],
    moves: Mapping[object, list[NDArray[np.float64]]],
    truth_N: NDArray[np.intp],
    fold_N: NDArray[np.intp],
) -> list[Row]:
    exact_NG = np.stack(features["exact"])
    exact_N = out_of_fold(exact_NG, exact_NG, truth_N, fold_N)
    rows = []
    for way, found in features.items():
        said_N = out_of_fold(exact_NG, np.stack(found), truth_N, fold_N)
        gain_N = (said_N == truth_N).astype(float) - (exact_N == truth_N)
        moved = np.concatenate(moves[way]) if way in moves else np.zeros(1)
        rows.append(
            Row(
                way=f"keyframes {way[0]:g} apart, tolerance {way[1]:g}" if isinstance(way, tuple) else str(way),
                videos=len(truth_N),
                exact_top1=float((exact_N == truth_N).mean()),
                top1=float((said_N == truth_N).mean()),
                difference=100 * float(gain_N.mean()),
                standard_error=100 * float(gain_N.std() / np.sqrt(len(gain_N))),
                same_label=float((said_N == exact_N).mean()),
                replaced=float((moved > 0).mean()),
                moved=float(moved[moved > 0].mean()) if (moved > 0).any() else 0.0,
            )
        )
    return rows


def clips_of(
    sample: Sample, recognizer: AdaFocusRecognizer, rng: np.random.Generator
) -> dict[object, tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """(clip, how far each of the glance's frames was moved) of each way. Frames stand at equal distances here."""
    rule, indices = recognizer.clip_rule, recognizer.step_indices[0]
    frames = every_frame(sample.path, rule)
    unfiltered = every_frame(sample.path, rule, skip_loop_filter="all")
    count = len(frames)
    places_T = np.array(segment_centres(0, count, rule.num_frames)) / (2 * rule.num_frames) - 0.5  # in frames
    exact_T = np.clip(np.ceil(places_T - 0.5), 0, count - 1).astype(int)
    apart = float(np.diff(places_T[list(indices)]).min())
    found: dict[object, tuple[NDArray[np.uint8], NDArray[np.float64]]] = {
        "exact": (np.stack([frames[at] for at in exact_T]), np.zeros(len(indices))),
        "no loop filter": (np.stack([unfiltered[min(at, len(unfiltered) - 1)] for at in exact_T]), np.zeros(1)),
    }
    for spacing, tolerance in WAYS:
        keys = np.arange(rng.uniform(0, spacing * apart), count, spacing * apart).round().astype(int).clip(0, count - 1)
        taken_T = exact_T.copy()
        for key in np.unique(keys):  # it stands for one place alone, the nearest
            place = min(indices, key=lambda index: (abs(exact_T[index] - key), index))
            if abs(exact_T[place] - key) <= tolerance * apart and (
                taken_T[place] == exact_T[place] or abs(key - exact_T[place]) < abs(taken_T[place] - exact_T[place])
            ):
                taken_T[place] = key
        moved_T = np.abs(taken_T - exact_T)[list(indices)] / apart
        found[spacing, tolerance] = np.stack([frames[at] for at in taken_T]), moved_T
    return found


def every_frame(path: Path, rule: ClipRule, **options: str) -> list[NDArray[np.uint8]]:
    """All frames as the model sees them; `options` of the decoder."""
    with opened(str(path), LIMITS) as (container, stream):
        context = stream.codec_context
        context.options = dict(context.options) | options
        painter = Painter(rule, stream.sample_aspect_ratio)
        decoded = [frame for packet in packets_of(container, stream) for frame in context.decode(packet)]
        decoded += context.decode(None)
        return [painter.paint(frame)[0] for frame in decoded if isinstance(frame, av.VideoFrame)]


def out_of_fold(
    exact_NG: NDArray[np.float32], judged_NG: NDArray[np.float32], truth_N: NDArray[np.intp], fold_N: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The label of each video by the head that was fitted on exact features of all other folds."""
    said_N = np.zeros(len(truth_N), np.intp)
    for fold in range(FOLDS):
        learnt, held = fold_N != fold, fold_N == fold
        weight_CF, bias_C = ridge_regression(
            torch.from_numpy(exact_NG[learnt]),
            torch.from_numpy(truth_N[learnt]),
            int(truth_N.max()) + 1,
            RIDGE * exact_NG.shape[1],
        )
        said_N[held] = (torch.from_numpy(judged_NG[held]) @ weight_CF.T + bias_C).argmax(dim=1).numpy()
    return said_N


if __name__ == "__main__":
    main()
