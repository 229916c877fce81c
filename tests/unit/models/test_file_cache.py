"""The file cache under writers and readers that know nothing of each other."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.runtime.file_cache import FileCache


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
