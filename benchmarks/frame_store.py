"""How filling a store of frames scales with processes: videos/s with one and with all cores, and where all is there."""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from tests.clips import noise, write_clip
from training.data.dataset import Dataset, Sample
from training.data.frames import FrameStore


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.frame_store", description=__doc__)
    parser.add_argument("--videos", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, len(os.sched_getaffinity(0))])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="fovea-store-") as folder:
        clip = write_clip(Path(folder) / "clip.mp4", seconds=4, size=(640, 360), pattern=noise).read_bytes()
        paths = [Path(folder) / f"{number:04}.mp4" for number in range(given.videos)]
        for number, path in enumerate(paths):  # each of its own content: a free box at the end
            path.write_bytes(clip + (12).to_bytes(4) + b"free" + number.to_bytes(4))
            os.utime(path, (1e9, 1e9))
        dataset = Dataset(("a", "b"), tuple(Sample(path, n % 2) for n, path in enumerate(paths)))
        for workers in given.workers:
            for again in ("", ", all there already"):
                began_s = time.monotonic()
                FrameStore(Path(folder) / f"store-{workers}", 160).fill(dataset, num_workers=workers)
                rates[f"{workers} processes{again}"] = given.videos / (time.monotonic() - began_s)
    for name, rate in rates.items():
        print(f"{name}: {rate:.1f} videos/s")
    if given.json:
        given.json.write_text(json.dumps(rates, indent=1) + "\n")


if __name__ == "__main__":
    main()
