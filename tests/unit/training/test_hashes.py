"""Hashes of files are kept between runs, and believed as long as size and time of the file stay."""

import os
from pathlib import Path

import pytest

from training.data.hashes import ContentHashes


def old(path: Path, content: bytes, time_s: float = 1_000_000.0) -> Path:
    path.write_bytes(content)
    os.utime(path, (time_s, time_s))
    return path


def test_another_process_does_not_read_the_file_again(tmp_path: Path) -> None:
    video = old(tmp_path / "v.mp4", b"one")
    first = ContentHashes(tmp_path / "hashes").of(video)
    old(video, b"two")  # the same size and time: nobody can tell without reading it
    assert ContentHashes(tmp_path / "hashes").of(video) == first


@pytest.mark.parametrize(("content", "time_s"), [(b"longer", 1_000_000.0), (b"two", 1_000_001.0)])
def test_a_file_of_another_size_or_time_is_read_again(tmp_path: Path, content: bytes, time_s: float) -> None:
    video, hashes = old(tmp_path / "v.mp4", b"one"), ContentHashes(tmp_path / "hashes")
    first = hashes.of(video)
    old(video, content, time_s)
    assert hashes.of(video) != first
    assert hashes.of(video) == ContentHashes(tmp_path / "elsewhere").of(video)


def test_a_file_written_just_now_may_be_written_again_and_is_not_kept(tmp_path: Path) -> None:
    video = tmp_path / "v.mp4"
    video.write_bytes(b"one")
    facts = video.stat()
    first = ContentHashes(tmp_path / "hashes").of(video)
    video.write_bytes(b"two")
    os.utime(video, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert ContentHashes(tmp_path / "hashes").of(video) != first


def test_two_paths_with_one_content_have_one_hash(tmp_path: Path) -> None:
    hashes = ContentHashes(tmp_path / "hashes")
    assert hashes.of(old(tmp_path / "a.mp4", b"same")) == hashes.of(old(tmp_path / "b.mp4", b"same"))


def test_a_file_of_hashes_that_is_none_costs_time_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "hashes").write_bytes(b"no database" * 200)
    video = old(tmp_path / "v.mp4", b"one")
    assert ContentHashes(tmp_path / "hashes").of(video) == ContentHashes(tmp_path / "other").of(video)
    assert "files are read again" in caplog.text
