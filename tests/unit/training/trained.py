"""A small data set of real files and runs on it whose weights nobody trained: what bundles are made of, in a second."""

from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file

from models.adafocus.shapes import tiny
from tests.clips import moving_square, noise, write_clip
from training.fit.networks import build
from training.fit.recipe import Recipe, Stage
from training.fit.run import BEST, DONE, DataUsed, ModelPlan, Run, write_run
from training.full_frame.network import FullFrameConfig
from video.clip import ClipRule

LABELS = ("drift", "square")
MODEL = replace(tiny(2), max_cubes=2)
CLIP = ClipRule(MODEL.num_frames, *MODEL.frame_size, "letterbox", source_short_side_px=64)
RECIPE = Recipe((Stage(2),), seed=4)


def make_data(folder: Path, *, num_train: int = 12, num_val: int = 8) -> Path:
    """A CSV of videos of two classes, sources and many groups; every video is a file of its own."""
    lines = ["path,label,split,subject,source"]
    for split, count in (("train", num_train), ("val", num_val)):
        for number in range(count):
            label = LABELS[number % 2]
            name = f"{split}/{label}{number}.mp4"
            (folder / split).mkdir(parents=True, exist_ok=True)
            pattern = noise if label == "drift" else moving_square
            size = (64 + 16 * (number % 3), 64)
            write_clip(folder / name, seconds=0.4 + 0.04 * number, size=size, pattern=pattern)
            lines.append(f"{name},{label},{split},{split}{number // 2},{('near', 'far')[number // 2 % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def make_run(
    folder: Path,
    data: Path,
    *,
    baseline: bool = False,
    num_held_out: int = 6,
    finished: bool = True,
    used: DataUsed | None = None,
    **changes: object,
) -> Path:
    """run.json and best.safetensors as `fovea train` leaves them."""
    plan = ModelPlan("adafocus_v3", MODEL.to_dict())
    if baseline:
        plan = ModelPlan("full_frame", FullFrameConfig(MODEL, temporal_shift=False, with_glance=True).to_dict())
    files = tuple(sorted(str(path.relative_to(data)) for path in (data / "train").glob("*.mp4")))
    used = used or DataUsed(str(data), "f", files[num_held_out:], files[:num_held_out], ())
    run = Run(plan, CLIP, LABELS, RECIPE, {}, used, (), None)
    folder.mkdir(parents=True)
    write_run(folder, replace(run, **changes))
    save_file(build(plan, seed=4).state_dict(), folder / BEST)
    if finished:
        (folder / DONE).touch()
    return folder
