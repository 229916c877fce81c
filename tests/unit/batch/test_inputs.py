"""Which videos a run is about: folders, patterns, lists and buckets, each once however it is spelled."""

import json
import os
from pathlib import Path

import pytest

from fovea.errors import UrlNotFetched
from service.batch.inputs import Input, find_inputs
from service.batch.objects import StoreAway, fetch_object
from tests.s3_server import BUCKET, s3_server


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with videos in `clips`; what is in the files does not matter here."""
    for name in ("b.mp4", "a.MKV", "deep/c.mov", ".hidden.mp4", ".cache/d.mp4", "notes.txt", "e.mp4/inner.webm"):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sources(*named: str) -> list[str]:
    return [one.source for one in find_inputs(named)]


def test_a_folder_is_all_videos_below_it_by_their_names_in_a_fixed_order(archive: Path) -> None:
    assert sources("clips") == ["clips/a.MKV", "clips/b.mp4", "clips/deep/c.mov", "clips/e.mp4/inner.webm"]


def test_a_pattern_is_the_files_that_match_whatever_they_are_called(archive: Path) -> None:
    assert sources("clips/**/c*") == ["clips/deep/c.mov"]
    assert sources("clips/n*") == ["clips/notes.txt"]


def test_a_list_names_files_from_its_own_folder_with_or_without_the_files_being_there(archive: Path) -> None:
    (archive / "clips/list.csv").write_text("label,path\nx,b.mp4\ny,gone.mp4\n")
    (archive / "list.jsonl").write_text('{"source": "clips/b.mp4", "label": 1}\n\n"s3://bucket/key.mp4"\n')
    assert sources("clips/list.csv") == ["clips/b.mp4", "clips/gone.mp4"]
    assert sources("list.jsonl") == ["clips/b.mp4", "s3://bucket/key.mp4"]


def test_a_result_of_an_earlier_run_is_a_list(archive: Path) -> None:
    (archive / "result.jsonl").write_text(json.dumps({"source": "clips/b.mp4", "problem": {"type": "x"}}) + "\n")
    assert sources("result.jsonl") == ["clips/b.mp4"]


def test_a_file_s_stamp_is_another_once_the_file_is(archive: Path) -> None:
    def stamps() -> list[str]:
        return [one.stamp for one in find_inputs(["clips"])]

    first = stamps()
    assert stamps() == first
    assert all(first)
    os.utime(archive / "clips/b.mp4", ns=(0, 0))
    (archive / "clips/deep/c.mov").write_bytes(b"longer")
    assert [old == new for old, new in zip(first, stamps(), strict=True)] == [True, False, False, True]


def test_one_file_has_one_key_however_it_is_spelled(archive: Path) -> None:
    (archive / "link").symlink_to(archive / "clips")
    spelled = ("clips/b.mp4", "./clips/../clips/b.mp4", str(archive / "clips/b.mp4"), "link/b.mp4")
    found = list(find_inputs(spelled))
    assert len({one.key for one in found}) == 1
    assert [one.source for one in found] == list(spelled)
    assert found[0].path == (archive / "clips/b.mp4").resolve()


def test_a_name_that_is_no_utf_8_keeps_its_path_and_is_told_with_its_bytes(archive: Path) -> None:
    name = os.fsencode(archive / "clips") + b"/\xff.mp4"
    with open(name, "wb"):
        pass
    (found,) = [one for one in find_inputs(["clips"]) if "xff" in one.source]
    assert found.source == "clips/\\xff.mp4"
    assert os.fsencode(found.path) == os.path.realpath(name)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("bad.csv", "file\nclips/b.mp4\n", "lacks the column source or path"),
        ("bad.csv", 'path\n""\n', "line 2: '' names no video"),
        ("bad.csv", "path\nhttps://example.org/a.mp4\n", "line 2: https://example.org/a.mp4 is not read here"),
        ("bad.csv", b"path\n\xff\xfe\n", "is no list in UTF-8"),
        ("bad.jsonl", '"clips/b.mp4"\n{"source": \n', "line 2: no JSON"),
        ("bad.jsonl", '{"file": "clips/b.mp4"}\n', "line 1: lacks source or path"),
        ("bad.jsonl", "17\n", "line 1: 17 names no video"),
        ("bad.jsonl", "", "holds no video"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_with_its_line(
    archive: Path, name: str, content: str | bytes, told: str
) -> None:
    (archive / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=told):
        sources(name)


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("nowhere", "is not there"),
        ("clips/*.avi", "holds no video"),
        ("https://example.org/a.mp4", "is not read here"),
        ("s3:///a.mp4", "names no bucket"),
    ],
)
def test_a_source_that_names_nothing_is_refused(archive: Path, named: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        sources("clips", named)


async def test_a_bucket_is_all_videos_below_a_prefix_and_each_can_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        for key in ("year/b.mp4", "year/a.mp4", "year/readme.txt", "else/c.mp4"):
            server.put(key, key.encode())
        found = list(find_inputs([f"s3://{BUCKET}/year/", f"s3://{BUCKET}/else/c.mp4"]))
        year = f"s3://{BUCKET}/year"
        assert [one.source for one in found] == [f"{year}/a.mp4", f"{year}/b.mp4", f"s3://{BUCKET}/else/c.mp4"]
        assert found[0] == Input(f"{year}/a.mp4", f"{year}/a.mp4".encode())
        await fetch_object(found[1].source, tmp_path / "b.mp4")
        assert (tmp_path / "b.mp4").read_bytes() == b"year/b.mp4"
        with pytest.raises(UrlNotFetched, match=r"gone\.mp4 is not there"):
            await fetch_object(f"{year}/gone.mp4", tmp_path / "gone.mp4")


async def test_a_store_that_is_away_is_no_fault_of_one_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.batch.objects.RETRIES", 0)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(StoreAway, match=r"s3://away/a\.mp4 cannot be read"):
        await fetch_object("s3://away/a.mp4", tmp_path / "a.mp4")
