"""Classify every video of a folder with a running service, some at a time, and print a CSV.

python examples/classify_folder.py VIDEOS --url http://127.0.0.1:8000 --budget-gflops 1.2 > labels.csv
"""

import argparse
import asyncio
import csv
import sys
from pathlib import Path

import fovea

VIDEOS = {".avi", ".mkv", ".mov", ".mp4", ".ts", ".webm"}
AT_ONCE = 4


def videos_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS)


async def classify(videos: list[Path], url: str, budget_gflops: float | None) -> None:
    options: fovea.RecognitionOptions = {} if budget_gflops is None else {"budget_gflops": budget_gflops}
    table = csv.writer(sys.stdout)
    table.writerow(["video", "label", "score", "spent_gflops", "problem"])
    places = asyncio.Semaphore(AT_ONCE)
    async with fovea.AsyncClient(url, retry_for_s=60) as client:

        async def one(video: Path) -> None:
            async with places:
                try:
                    answer = await client.recognize(video, **options)
                except fovea.FoveaError as problem:
                    table.writerow([video, "", "", "", problem])
                    return
            best = answer.predictions[0]
            table.writerow([video, answer.label, f"{best.score:.3f}", f"{answer.compute.spent_gflops:.3f}", ""])

        await asyncio.gather(*(one(video) for video in videos))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--budget-gflops", type=float)
    asked = parser.parse_args()
    asyncio.run(classify(videos_of(asked.folder), asked.url, asked.budget_gflops))
