"""Does a video that was compressed once more get the same answer? Whole files, not the clips that training compresses.

`python -m benchmarks.recompression DATA --bundle adafocus-v3-compact`: of each exit, top-1 on the videos of a split as
they are and as H.264 leaves them at each rate factor, and the share whose label changed. Needs labelled videos.

Shape suffixes: N videos, E exits.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import load_model
from models.recognizer import Recognizer
from models.runtime import RuntimeConfig
from tests.packing import packed
from training.data.dataset import LIMITS, read_dataset
from training.judge.calibrate import observe
from training.judge.observe import label_numbers
from video.file.decode import decode

EXACT = RuntimeConfig(name="torch", precision="fp32", num_threads=1)  # two runs differ by the videos alone


@dataclass(frozen=True, slots=True)
class Measurement:
    bundle: str
    videos: int
    crf: int
    top1_E: tuple[float, ...]
    top1_copies_E: tuple[float, ...]
    changed_E: tuple[float, ...]

    def __str__(self) -> str:
        def percent(shares_E: tuple[float, ...]) -> str:
            return " ".join(f"{100 * share:5.1f}" for share in shares_E)

        return (
            f"{self.bundle}, {self.videos} videos, crf {self.crf}: top-1 {percent(self.top1_E)}, of the copies "
            f"{percent(self.top1_copies_E)}; another label {percent(self.changed_E)} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recompression", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--bundle", nargs="+", default=["adafocus-v3-compact"], help="names or folders")
    parser.add_argument("--split", default="val")
    parser.add_argument("--crf", nargs="+", type=int, default=[24, 30, 36])
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    dataset = read_dataset(arguments.data).split(arguments.split)
    paths = [sample.path for sample in dataset.samples]
    measurements = []
    with tempfile.TemporaryDirectory() as folder:
        copies = {
            crf: [packed(path, Path(folder) / f"{crf}-{number}.mp4", crf=crf) for number, path in enumerate(paths)]
            for crf in arguments.crf
        }
        for bundle in arguments.bundle:
            model = load_model(bundle, runtime=EXACT)
            numbers = label_numbers(dataset, model.bundle.labels)
            truth_N = np.array([numbers[sample.label] for sample in dataset.samples])
            said_NE = labels_of(model.recognizer, paths)
            for crf, packed_paths in copies.items():
                again_NE = labels_of(model.recognizer, packed_paths)
                shares = (said_NE == truth_N[:, None], again_NE == truth_N[:, None], said_NE != again_NE)
                measurements.append(Measurement(bundle, len(paths), crf, *(tuple(s.mean(axis=0)) for s in shares)))
                print(measurements[-1], flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in measurements], indent=1) + "\n")


def labels_of(recognizer: Recognizer, paths: list[Path]) -> NDArray[np.intp]:
    """said_NE."""
    clips = (decode(str(path), recognizer.clip_rule, LIMITS).frames_THWC for path in paths)
    return observe(recognizer, clips).argmax(axis=2)  # which no temperature changes


if __name__ == "__main__":
    main()
