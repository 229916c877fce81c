"""The file cache under writers and readers that know nothing of each other."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.runtime.file_cache import ABANDONED_S, FileCache


def test_a_reader_sees_all_of_a_file_or_none_while_writers_race(tmp_path: Path) -> None:
    contents = [bytes([n]) * 200_000 for n in range(4)]

    def write(n: int) -> None:
        for _ in range(10):
            FileCache(tmp_path).store("same", contents[n])

    def read(_: int) -> set[bytes | None]:
        return {FileCache(tmp_path).load("same") for _ in range(20)}

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, n) for n in range(4)]
        seen = set().union(*pool.map(read, range(2)))
        for writer in writers:
            writer.result()
    assert seen <= {None, *contents}
    assert FileCache(tmp_path).load("same") in contents
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_process_was_writing_is_swept_and_what_another_is_writing_is_not(tmp_path: Path) -> None:
    for name, age_s in (("writing-old", 2 * ABANDONED_S), ("writing-now", 1.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "whole").write_bytes(b"half")
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    FileCache(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["writing-now"]
