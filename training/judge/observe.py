"""Runs a model over a set of videos, all exits of each, and notes what it says and how long a step takes.

Knows no score: what the answers are worth is arithmetic on `training.judge.observations`.

Shape suffixes: N videos, K steps, C classes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from fovea.errors import VideoError
from models.recognizer import Frames, Recognizer, StateT
from training.data.dataset import Dataset, Unreadable, relative
from training.data.frames import FrameStore
from training.judge.calibrate import observe
from training.judge.observations import Observations
from video.clip import ClipRule

NUM_TIMED = 12  # videos that each step is timed on, after one that warms up


def observe_dataset(
    recognizer: Recognizer[StateT],
    dataset: Dataset,
    store: FrameStore,
    *,
    classes_C: Sequence[str],
    root: Path,
    model: str,
    digest: str = "",
    split: str = "",
    executor: str = "",
    timed: bool = True,
    batch_size: int = 8,
    log_probs: Callable[[Iterator[Frames]], NDArray[np.float64]] | None = None,
) -> Observations:
    """Every exit for every video. `classes_C` are the model's labels; the recognizer's temperatures must be 1.

    `log_probs`: who gives log_probs_NKC of clips in place of the recognizer, and the same.

    Raises ValueError where the data has a label that the model does not know, and for no videos.
    """
    numbers = label_numbers(dataset, classes_C)
    if not dataset.samples:
        raise ValueError(f"there are no videos{f' in the split {split}' if split else ''}; name another split")
    clips = [store.clip(sample.path, recognizer.clip_rule) for sample in dataset.samples[:NUM_TIMED]] if timed else []
    seconds = seconds_per_step(recognizer, clips) if timed else (float("nan"),) * len(recognizer.step_flops)

    def all_clips() -> Iterator[Frames]:
        console = Console(stderr=True)
        quiet = not console.is_terminal
        for sample in track(dataset.samples, f"observing {model}", console=console, transient=True, disable=quiet):
            yield store.clip(sample.path, recognizer.clip_rule)

    said = log_probs or partial(observe, recognizer, batch_size=batch_size)
    return Observations(
        model=model,
        digest=digest,
        split=split,
        classes_C=tuple(classes_C),
        paths_N=tuple(relative(sample.path, root) for sample in dataset.samples),
        labels_N=np.array([numbers[sample.label] for sample in dataset.samples], np.int64),
        groups_N=tuple(sample.subject or relative(sample.path, root) for sample in dataset.samples),
        sources_N=tuple(sample.source for sample in dataset.samples),
        log_probs_NKC=said(all_clips()).astype(np.float32),
        step_flops_K=recognizer.step_flops,
        seconds_K=seconds,
        executor=executor,
    )


def readable(dataset: Dataset, store: FrameStore, clip_rule: ClipRule, *, max_unreadable_share: float = 0.1) -> Dataset:
    """Decode every clip once; the data less what turns out unreadable. DatasetError where that is too much."""
    unreadable = []
    for sample in dataset.samples:
        try:
            store.clip(sample.path, clip_rule)
        except VideoError as error:
            unreadable.append(Unreadable(sample.path, error.detail))
    return dataset.without(unreadable, max_unreadable_share)


def label_numbers(dataset: Dataset, classes_C: Sequence[str]) -> list[int]:
    """The model's number of each of the data's labels. ValueError for one that occurs and that it does not know."""
    used = {sample.label for sample in dataset.samples}
    unknown = [label for number, label in enumerate(dataset.labels) if number in used and label not in classes_C]
    if unknown:
        raise ValueError(
            f"the data has labels that the model was not trained on: {', '.join(unknown)}; it knows "
            f"{', '.join(classes_C)}"
        )
    place = {label: number for number, label in enumerate(classes_C)}
    return [place.get(label, -1) for label in dataset.labels]


def seconds_per_step(recognizer: Recognizer[StateT], clips: Sequence[Frames]) -> tuple[float, ...]:
    """Median wall-clock of each step, one video at a time, without decoding."""
    taken_NK = []
    for clip in [clips[0], *clips]:
        taken = []
        states: list[StateT] = []
        for step in range(len(recognizer.step_flops)):
            begin = time.perf_counter()
            states = recognizer.focus(states) if step else recognizer.glance([clip])
            taken.append(time.perf_counter() - begin)
        taken_NK.append(taken)
    return tuple(np.median(taken_NK[1:], axis=0).tolist())
