"""Which videos a run is about: folders, patterns, lists and buckets, to one input after the other. Decodes nothing.

The same video spelled in two ways has one key; whoever keeps inputs by key has none twice.
"""

import csv
import glob
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.batch.objects import is_object, list_objects
from video.file.suffixes import SUFFIXES, is_video_name

LISTS = (".csv", ".jsonl")
COLUMNS = ("source", "path")  # of a list: the first of them that is there
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Input:
    """One video. `source` is what the result calls it: its path as it was spelled first, or s3://bucket/key.

    `key` is where it is, the same however it is spelled: the path with links resolved, as bytes of the file system.
    `stamp` is another once the video is: a file's size and time, an object's ETag; empty where that is not known.
    """

    source: str
    key: bytes
    stamp: str = field(default="", compare=False)

    @property
    def path(self) -> Path:
        """Of a file; `is_object(self.source)` says whether it is none."""
        return Path(os.fsdecode(self.key))


def find_inputs(sources: Iterable[str]) -> Iterator[Input]:
    """All that `sources` name, in their order; folders and patterns sorted, folders with all that lies below.

    A file that a list names need not be there: that is the row's problem. Raises ValueError where a source names
    nothing, or a list cannot be read.
    """
    for source in sources:
        found = False
        for one in _of(source):
            found = True
            yield one
        if not found:
            raise ValueError(f"{source} holds no video ({', '.join(SUFFIXES)}); name others in a list, .csv or .jsonl")


def _of(source: str) -> Iterator[Input]:
    if is_object(source):
        return (Input(url, url.encode(), stamp) for url, stamp in list_objects(source))
    if "://" in source:
        raise ValueError(f"{source} is not read here; give files, s3://bucket/prefix, or copy the videos first")
    path = Path(source)
    if path.is_dir():
        return _below(path)
    if path.is_file():
        return _listed(path) if path.suffix.lower() in LISTS else iter([local(source)])
    if _MAGIC.search(source):
        return _matching(source)
    raise ValueError(f"{source} is not there: name a folder, a file, a pattern such as 'videos/**/*.mp4', or a list")


def local(path: str) -> Input:
    """A name that is no UTF-8 is told with its bytes as \\xNN."""
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    place = os.path.realpath(path)
    return Input(shown, os.fsencode(place), _stamp(place))


def _stamp(path: str) -> str:
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _below(folder: Path) -> Iterator[Input]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(place, name)
            if is_video_name(name) and os.path.isfile(path):
                yield local(path)


def _matching(pattern: str) -> Iterator[Input]:
    """What a pattern names is taken whatever it is called, as long as it is a file."""
    return (local(path) for path in sorted(glob.iglob(pattern, recursive=True)) if os.path.isfile(path))


def _listed(table: Path) -> Iterator[Input]:
    read = _csv_entries if table.suffix.lower() == ".csv" else _jsonl_entries
    try:
        for line, said in read(table):
            entry = said.strip() if isinstance(said, str) else ""
            if not entry or "\0" in entry:
                raise ValueError(f"{table}, line {line}: {said!r} names no video")
            if is_object(entry):
                yield Input(entry, entry.encode())
            elif "://" in entry:
                raise ValueError(f"{table}, line {line}: {entry} is not read here; give files or s3://bucket/key")
            else:
                yield local(str(table.parent / entry))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table} is no list in UTF-8: {error}") from None


def _csv_entries(table: Path) -> Iterator[tuple[int, object]]:
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restval="")
        column = next((name for name in COLUMNS if name in (reader.fieldnames or ())), None)
        if column is None:
            raise ValueError(f"{table} lacks the column {' or '.join(COLUMNS)}; its first line names its columns")
        for row in reader:
            yield reader.line_num, row[column]


def _jsonl_entries(table: Path) -> Iterator[tuple[int, object]]:
    with table.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            except ValueError:
                raise ValueError(f"{table}, line {line}: no JSON; write one object, or one string, a line") from None
            if isinstance(value, dict):
                value = next((value[name] for name in COLUMNS if name in value), None)
                if value is None:
                    raise ValueError(f"{table}, line {line}: lacks {' or '.join(COLUMNS)}")
            yield line, value
