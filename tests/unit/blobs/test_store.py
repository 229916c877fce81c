"""What the blob store promises, in a folder and in a real S3-compatible server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fovea.errors import Unavailable
from service.blobs.store import Blobs
from tests.s3_server import S3Server, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture(params=["folder", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blobs:
    if request.param == "folder":
        return Blobs.in_folder(tmp_path / "a folder")
    server: S3Server = request.getfixturevalue("server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return Blobs(server.url)


async def test_what_is_put_is_fetched_read_and_deleted(blobs: Blobs, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40_000  # 10 MB: more than one part of an upload
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(content)
    await blobs.put("uploads/job_1", source)
    await blobs.fetch("uploads/job_1", copy)
    assert copy.read_bytes() == content
    await blobs.put("results/job_1-1", b"{}")
    assert await blobs.read("results/job_1-1") == b"{}"
    await blobs.put("results/job_1-1", b"[]")  # again: the later one stands
    assert await blobs.read("results/job_1-1") == b"[]"
    await blobs.delete("uploads/job_1")
    await blobs.delete("uploads/job_1")  # gone is gone
    with pytest.raises(FileNotFoundError):
        await blobs.fetch("uploads/job_1", copy)


async def test_what_has_lain_in_a_folder_for_long_is_found_there(blobs: Blobs) -> None:
    assert await blobs.older("nothing", -60) == []
    for key in ("old/job_1", "old/job_2-1", "other/job_3"):
        await blobs.put(key, b"x")
    assert sorted(await blobs.older("old", -60)) == ["old/job_1", "old/job_2-1"]
    assert await blobs.older("old", 60) == []


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../outside", "uploads/../../outside", "a b"])
async def test_no_key_leads_outside(blobs: Blobs, key: str) -> None:
    with pytest.raises(ValueError, match="is no key"):
        await blobs.put(key, b"")


@pytest.mark.parametrize("url", ["", "uploads", "http://example.org/bucket", "s3:///prefix", "ftp://host/"])
def test_another_url_is_refused_with_what_would_be_right(url: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket/prefix"):
        Blobs(url)


async def test_a_store_that_is_away_is_told_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.blobs.store.RETRY_S", 0.2)
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable) as told:
        await Blobs("s3://bucket/prefix").put("uploads/job_1", b"")
    assert "127.0.0.1" not in told.value.detail
    assert told.value.retry_after_s is not None


async def test_a_folder_that_cannot_be_written_is_a_store_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        await Blobs.in_folder(tmp_path / "file" / "blobs").put("uploads/job_1", b"")
