"""Decoded frames on disk, so that epochs do not decode again: all frames of a video, and the clips of inference.

Knows no label and no augmentation.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fovea.errors import VideoError
from models.recognizer import Frames
from training.data.dataset import LIMITS, Dataset, Unreadable
from training.data.footage import PARSING, Footage, decode_footage, read_footage, write_footage
from training.data.hashes import ContentHashes
from training.data.keyframes import Grid, StandIns, clip_with
from training.data.recompress import recompress
from video.clip import ClipRule
from video.file.decode import decode

_LAYOUT = 1  # of the files; another number is another folder
_CHUNK = 16  # videos that a worker is handed at a time


class FrameStore:
    """A folder of decoded videos. Files are found by their content, so a moved or copied video is not decoded again.

    Several processes may share a folder: a file appears whole or not at all, and whoever comes second finds it.
    """

    def __init__(self, folder: Path, short_side_px: int) -> None:
        """`short_side_px`: the `source_short_side_px` of the clips to train with. Smaller videos stay as they are."""
        self.short_side_px = short_side_px
        self._videos = folder / f"frames-v{_LAYOUT}-{short_side_px}px"
        self._clips = folder / f"clips-v{_LAYOUT}"
        self._folder = folder
        self._hashes = ContentHashes(folder / "hashes.sqlite")

    def footage(self, path: Path) -> Footage:
        """All frames of a video, memory-mapped; decoded the first time only. Raises VideoError that names the file."""
        stored = self._stored(path)
        if not stored.exists():
            with _naming(path):
                footage = decode_footage(path, self.short_side_px, LIMITS)
            _write_whole(stored, lambda file: write_footage(footage, file))
        return read_footage(stored)

    def frames(self, path: Path) -> Frames:
        """frames_THWC of `footage`."""
        return self.footage(path).frames_THWC

    def pts_s(self, path: Path) -> tuple[float, ...]:
        """When each of `frames` is shown, in seconds from the start of the video."""
        return self.footage(path).pts_s

    def clip(
        self,
        path: Path,
        clip_rule: ClipRule,
        recompress_crf: int | None = None,
        stand_ins: StandIns | None = None,
    ) -> Frames:
        """frames_THWC as the service decodes them for inference, whatever the store's short side. `stand_ins`: with
        keyframes for some, on a grid that follows from the file; `recompress_crf`: compressed once more. Raises
        VideoError."""
        named = repr(clip_rule) if stand_ins is None else f"{clip_rule!r} {stand_ins!r}"
        if recompress_crf is not None:
            named += f" crf {recompress_crf}"
        stored = self._stored(path, named)
        if not stored.exists():
            if recompress_crf is not None:
                made_THWC = recompress(self.clip(path, clip_rule, stand_ins=stand_ins), recompress_crf)
            elif stand_ins is not None:
                grid = Grid.drawn(np.random.default_rng(list(self._key(path).encode())))
                with _naming(path):
                    made_THWC = clip_with(path, clip_rule, LIMITS, stand_ins, grid)
            else:
                with _naming(path):
                    made_THWC = decode(str(path), clip_rule, LIMITS).frames_THWC
            _write_whole(stored, lambda file: np.save(file, made_THWC))
        with PARSING:
            frames_THWC: Frames = np.load(stored)
        return frames_THWC

    def fill(
        self,
        dataset: Dataset,
        *,
        clips_alone: ClipRule | None = None,
        max_unreadable_share: float = 0.1,
        num_workers: int = 1,
        report: Callable[[int], None] = lambda done: None,
    ) -> Dataset:
        """Decode every video that is not there yet; the data set less those that turn out unreadable.

        All frames, or, where nothing else will be asked for, the `clips_alone` of this rule: a fraction of the room.
        In `num_workers` processes where more videos than that are not there. `report` is told how many are done. Raises
        DatasetError where more than `max_unreadable_share` are unreadable, ValueError where a worker dies.
        """
        paths = [sample.path for sample in dataset.samples]
        unreadable = []
        reasons = self.decode_all(paths, clips_alone, num_workers)
        for number, (path, reason) in enumerate(zip(paths, reasons, strict=True), 1):
            if reason is not None:
                unreadable.append(Unreadable(path, reason))
            report(number)
        return dataset.without(unreadable, max_unreadable_share)

    def decode_all(
        self, paths: Sequence[Path], clips_alone: ClipRule | None = None, num_workers: int = 1
    ) -> Iterator[str | None]:
        """What `fill` does, as it goes on: for each path, None or why it cannot be read."""
        return Filling(self._folder, self.short_side_px, clips_alone).in_order(self, paths, num_workers)

    def holds(self, path: Path, clip_rule: ClipRule | None = None) -> bool:
        """Whether `footage`, or the `clip` of this rule, is there without decoding."""
        return self._stored(path, None if clip_rule is None else repr(clip_rule)).exists()

    def _stored(self, path: Path, named: str | None = None) -> Path:
        """Where all frames lie, or the clip whose making has this name."""
        if named is None:
            return self._videos / f"{self._key(path)}.npy"
        return self._clips / hashlib.blake2b(named.encode(), digest_size=8).hexdigest() / f"{self._key(path)}.npy"

    def _key(self, path: Path) -> str:
        """Of the file's bytes."""
        return self._hashes.of(path)


@dataclass(frozen=True, slots=True)
class Filling:
    """What a worker does with each path: a value, so that other processes can be handed it."""

    folder: Path
    short_side_px: int
    clips_alone: ClipRule | None

    def in_order(self, store: FrameStore, paths: Sequence[Path], num_workers: int) -> Iterator[str | None]:
        """For each path, None or why it cannot be read."""
        missing = [path for path in paths if not store.holds(path, self.clips_alone)]
        if num_workers == 1 or len(missing) <= num_workers:
            yield from (self.into(store, path) for path in paths)
            return
        chunk = max(1, min(_CHUNK, len(missing) // (4 * num_workers)))
        # not forked: torch's threads, and locks they may hold, do not survive that
        with ProcessPoolExecutor(num_workers, get_context("spawn")) as pool:
            try:
                reasons, waiting = pool.map(self, missing, chunksize=chunk), set(missing)
                yield from (next(reasons) if path in waiting else None for path in paths)
            except BrokenProcessPool:
                raise ValueError(
                    "a process that decodes videos died, most likely for want of memory; what is decoded stays, so the "
                    "same command goes on: take fewer workers"
                ) from None

    def __call__(self, path: Path) -> str | None:
        return self.into(_store_of(self.folder, self.short_side_px), path)

    def into(self, store: FrameStore, path: Path) -> str | None:
        try:
            if self.clips_alone is None:
                store.footage(path)
            else:
                store.clip(path, self.clips_alone)
        except VideoError as error:
            return error.detail.removeprefix(f"{path}: ")
        return None


@cache
def _store_of(folder: Path, short_side_px: int) -> FrameStore:
    """One for a process: it keeps a file open."""
    return FrameStore(folder, short_side_px)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """A video's error says which video: unlike a client of the service, who trains has many."""
    try:
        yield
    except VideoError as error:
        raise type(error)(f"{path}: {error.detail}") from None


def _write_whole(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """The file appears at once, with all it holds, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
