"""Decoded frames on disk, so that epochs do not decode again: all frames of a video, and the clips of inference.

Knows no label and no augmentation.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fovea.errors import VideoError
from models.recognizer import Frames
from training.data.dataset import LIMITS, Dataset, Unreadable
from training.data.footage import PARSING, Footage, decode_footage, read_footage, write_footage
from training.data.recompress import recompress
from video.clip import ClipRule
from video.file.decode import decode

_LAYOUT = 1  # of the files; another number is another folder


class FrameStore:
    """A folder of decoded videos. Files are found by their content, so a moved or copied video is not decoded again.

    Several processes may share a folder: a file appears whole or not at all, and whoever comes second finds it.
    """

    def __init__(self, folder: Path, short_side_px: int) -> None:
        """`short_side_px`: the `source_short_side_px` of the clips to train with. Smaller videos stay as they are."""
        self.short_side_px = short_side_px
        self._videos = folder / f"frames-v{_LAYOUT}-{short_side_px}px"
        self._clips = folder / f"clips-v{_LAYOUT}"
        self._keys: dict[tuple[Path, int, int], str] = {}

    def footage(self, path: Path) -> Footage:
        """All frames of a video, memory-mapped; decoded the first time only. Raises VideoError that names the file."""
        stored = self._videos / f"{self._key(path)}.npy"
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

    def clip(self, path: Path, clip_rule: ClipRule, recompress_crf: int | None = None) -> Frames:
        """frames_THWC as the service decodes them for inference, whatever the store's short side, or as they are when
        compressed once more. Raises VideoError."""
        named = repr(clip_rule) if recompress_crf is None else f"{clip_rule!r} crf {recompress_crf}"
        folder = self._clips / hashlib.blake2b(named.encode(), digest_size=8).hexdigest()
        stored = folder / f"{self._key(path)}.npy"
        if not stored.exists():
            if recompress_crf is None:
                with _naming(path):
                    made_THWC = decode(str(path), clip_rule, LIMITS).frames_THWC
            else:
                made_THWC = recompress(self.clip(path, clip_rule), recompress_crf)
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
        report: Callable[[int], None] = lambda done: None,
    ) -> Dataset:
        """Decode every video that is not there yet; the data set less those that turn out unreadable.

        All frames, or, where nothing else will be asked for, the `clips_alone` of this rule: a fraction of the room.
        `report` is told how many are done. Raises DatasetError where more than `max_unreadable_share` are unreadable.
        """
        unreadable = []
        for number, sample in enumerate(dataset.samples, 1):
            try:
                if clips_alone is None:
                    self.footage(sample.path)
                else:
                    self.clip(sample.path, clips_alone)
            except VideoError as error:
                unreadable.append(Unreadable(sample.path, error.detail.removeprefix(f"{sample.path}: ")))
            report(number)
        return dataset.without(unreadable, max_unreadable_share)

    def _key(self, path: Path) -> str:
        """Of the file's bytes; read again only where size or time of the file have changed."""
        facts = path.stat()
        known = (path, facts.st_size, facts.st_mtime_ns)
        if known not in self._keys:
            with path.open("rb") as file:
                self._keys[known] = hashlib.file_digest(file, "sha256").hexdigest()[:32]
        return self._keys[known]


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
