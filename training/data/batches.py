"""Batches of augmented clips, each a function of (seed, step) alone: a run resumes at any step and sees the same.

Knows no network. Shape suffixes: B clips, T frames, H rows, W columns, C colour channels (clips) or classes (targets).
"""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.augment import Augmentation, augmented_clip
from training.data.dataset import Dataset, DatasetError, Sample
from training.data.frames import FrameStore
from video.clip import ClipRule

Batch: TypeAlias = tuple[Tensor, Tensor]
"""clips_BTHWC uint8, and targets_BC float32 whose rows sum to 1 (soft where mix-up is on)."""

_ORDER, _CLIP, _MIX = range(3)  # independent streams of random numbers


class Batches:
    """An endless sequence of full batches; an epoch is as many draws as there are videos.

    `balanced`: classes are drawn equally often, each going through its videos in turn; otherwise every video is drawn
    once per epoch.
    """

    def __init__(
        self,
        dataset: Dataset,
        store: FrameStore,
        clip_rule: ClipRule,
        augmentation: Augmentation,
        batch_size: int,
        seed: int,
        balanced: bool = True,
    ) -> None:
        """Raises ValueError where the parts do not fit together."""
        if clip_rule.source_short_side_px != store.short_side_px:
            raise ValueError(
                f"the store keeps videos at short side {store.short_side_px}, but the clip rule's source_short_side_px "
                f"is {clip_rule.source_short_side_px}: training would see another sharpness than inference; make them "
                "equal"
            )
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, but must be at least 1")
        if not dataset.samples:
            raise DatasetError("there is no video to train on")
        self.dataset, self.batch_size, self.num_classes = dataset, batch_size, dataset.num_classes
        self._store, self._clip_rule, self._augmentation, self._seed = store, clip_rule, augmentation, seed
        self._may_flip = _flippable(dataset, augmentation)
        by_class = [
            [sample for sample in dataset.samples if sample.label == label] for label in range(self.num_classes)
        ]
        self._pools = [pool for pool in by_class if pool] if balanced else [list(dataset.samples)]

    @property
    def steps_per_epoch(self) -> int:
        """Rounded; epochs need not end with a batch."""
        return max(1, round(len(self.dataset) / self.batch_size))

    def samples(self, step: int) -> list[Sample]:
        """Whose clips `batch(step)` holds."""
        first = step * self.batch_size
        return [self._drawn(position) for position in range(first, first + self.batch_size)]

    def batch(self, step: int) -> Batch:
        """Depends on nothing but the arguments of the constructor and `step`. Safe to call from several threads."""
        samples = self.samples(step)
        clips_BTHWC = np.stack(
            [
                augmented_clip(
                    self._store.footage(sample.path),
                    self._clip_rule,
                    self._augmentation,
                    np.random.default_rng([self._seed, _CLIP, step, place]),
                    may_flip=self._may_flip[sample.label],
                )
                for place, sample in enumerate(samples)
            ]
        )
        targets_BC = np.eye(self.num_classes, dtype=np.float32)[[sample.label for sample in samples]]
        if self._augmentation.mixup_alpha:
            rng = np.random.default_rng([self._seed, _MIX, step])
            clips_BTHWC, targets_BC = mix_up(clips_BTHWC, targets_BC, self._augmentation.mixup_alpha, rng)
        return torch.from_numpy(clips_BTHWC), torch.from_numpy(targets_BC)

    def _drawn(self, position: int) -> Sample:
        """Round after round, every pool once in a new order, and every pool goes through its videos likewise."""
        turn, place = divmod(position, len(self._pools))
        number = _shuffled(len(self._pools), self._seed, _ORDER, len(self._pools), turn)[place]
        pool = self._pools[number]
        lap, place = divmod(turn, len(pool))
        return pool[_shuffled(len(pool), self._seed, _ORDER, number, lap)[place]]


class BatchMaker(Protocol):
    def batch(self, step: int) -> Batch: ...


@dataclass(frozen=True, slots=True)
class Alternating:
    """Batches of the one, and then of the other: every even one is of the first."""

    first: BatchMaker
    second: BatchMaker

    def batch(self, step: int) -> Batch:
        return (self.second if step % 2 else self.first).batch(step // 2)


def mix_up(
    clips_BTHWC: NDArray[np.uint8], targets_BC: NDArray[np.float32], alpha: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Each clip mixed with another of the batch, and its target likewise; the larger share is its own.

    Shares are multiples of 1/256 drawn from Beta(alpha, alpha) (Zhang et al., ICLR 2018).
    """
    batch_size = len(clips_BTHWC)
    share_B = rng.beta(alpha, alpha, batch_size)
    share_B = np.rint(256 * np.maximum(share_B, 1 - share_B)).astype(np.uint16)
    partner_B = rng.permutation(batch_size)
    mixed_BTHWC = np.empty_like(clips_BTHWC)
    for i, (share, partner) in enumerate(zip(share_B, partner_B, strict=True)):
        mixed_THWC = clips_BTHWC[i] * share  # 255 * 256 + 128 fits 16 bits
        mixed_THWC += clips_BTHWC[partner] * (np.uint16(256) - share)
        mixed_THWC += np.uint16(128)
        mixed_THWC >>= 8
        mixed_BTHWC[i] = mixed_THWC
    weight_B1 = (share_B / 256).astype(np.float32)[:, None]
    return mixed_BTHWC, weight_B1 * targets_BC + (1 - weight_B1) * targets_BC[partner_B]


def prefetched(
    batches: BatchMaker,
    first_step: int,
    *,
    every: int = 1,
    ahead: int = 2,
    num_threads: int = 1,
    pinned: bool = False,
) -> Generator[Batch, None, None]:
    """`batches.batch(first_step)`, the next, and so on without end, up to `ahead` of them made in advance.

    `every`: one of so many, from the first on, where others take those between. `pinned`: in memory that a CUDA device
    reads by itself while the process goes on.

    Close the iterator to end its threads. An error of `batch` is raised at its step.
    """
    make = partial(_pinned_batch, batches) if pinned else batches.batch
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="batches")
    coming: deque[Future[Batch]] = deque()
    step = first_step
    try:
        while True:
            while len(coming) <= ahead:
                coming.append(pool.submit(make, step))
                step += every
            yield coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _pinned_batch(batches: BatchMaker, step: int) -> Batch:
    clips_BTHWC, targets_BC = batches.batch(step)
    return clips_BTHWC.pin_memory(), targets_BC.pin_memory()


def _flippable(dataset: Dataset, augmentation: Augmentation) -> list[bool]:
    for pattern in augmentation.flip:
        if not any(fnmatchcase(label, pattern) for label in dataset.labels):
            raise ValueError(f"flip names {pattern!r}, but no label is like that: {', '.join(dataset.labels)}")
    return [any(fnmatchcase(label, pattern) for pattern in augmentation.flip) for label in dataset.labels]


@lru_cache(maxsize=256)
def _shuffled(count: int, *key: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng(key).permutation(count).tolist())
