"""Rows to a file, by its name's ending: Parquet, JSON lines or CSV. It appears whole, or not at all.

Knows no journal: rows come from whoever has them.
"""

import csv
import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any

from service.batch.columns import arrow_schema, flat_names

ROWS_OF_GROUP = 5000  # of Parquet: what is in memory at a time


class ResultError(ValueError):
    """The result cannot be written there; the text says why, and what to do."""


def check_result(path: Path) -> None:
    """What can be said before anything is done. Raises ResultError."""
    if path.suffix not in WRITERS:
        raise ResultError(f"{path} ends in none of {', '.join(WRITERS)}: the ending says what is written")
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401, PLC0415
        except ImportError:
            raise ResultError(
                "Parquet needs pyarrow, which is not installed: pip install 'fovea-server[batch]', or write .jsonl or "
                ".csv"
            ) from None
    if not path.parent.is_dir():
        raise ResultError(f"the folder of {path} is not there; make it first")
    if path.is_dir():
        raise ResultError(f"{path} is a folder; name a file in it")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ResultError(f"{path.parent} cannot be written to; choose --out elsewhere")


def write_result(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Raises ResultError where there is no room; what stood there before stays until all is written."""
    scratch = path.with_name(f".{path.name}.unfinished")
    try:
        WRITERS[path.suffix](scratch, rows)
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(scratch, path)
        _sync_folder(path.parent)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        way_out = "make room" if full else "see to it"
        raise ResultError(
            f"{path} cannot be written ({error.strerror or error}); {way_out}, then the same command goes on: "
            "no row is lost"
        ) from None
    finally:
        scratch.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    import pyarrow  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    schema = arrow_schema()
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _groups(rows, ROWS_OF_GROUP):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


def _write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    names = list(flat_names())
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows([_cell(_at(row, name)) for name in names] for row in rows)


WRITERS: Mapping[str, Callable[[Path, Iterable[Mapping[str, Any]]], None]] = {
    ".parquet": _write_parquet,
    ".jsonl": _write_jsonl,
    ".csv": _write_csv,
}


def _groups(rows: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    source = iter(rows)
    while group := list(islice(source, size)):
        yield group


def _at(row: Mapping[str, Any], name: str) -> Any:
    return reduce(lambda value, part: None if value is None else value.get(part), name.split("."), row)  # type: ignore[arg-type, return-value]


def _cell(value: Any) -> Any:
    """As CSV has it: nothing for what is not there, JSON for lists and truths."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | bool) else value
