"""Request bodies: what counts as an upload, in whatever pieces it arrives."""

import asyncio
import gzip
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from fovea.errors import (
    FoveaError,
    InvalidUpload,
    MalformedUpload,
    RequestCancelled,
    Unavailable,
    UnsupportedMediaType,
    UploadTimeout,
    UploadTooLarge,
)
from service.api.body.spool import save, spooled, sweep
from service.api.body.uploads import Upload, open_upload

BOUNDARY = "----limit"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def a_field(name: str, value: str) -> bytes:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def a_file(data: bytes, name: str = "video") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="a.mp4"\r\n'
    return head.encode() + b"Content-Type: video/mp4\r\n\r\n" + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def an_upload(
    pieces: Sequence[bytes],
    content_type: str = "video/mp4",
    *,
    cut: bool = False,
    max_bytes: int = 10_000,
    **headers: str,
) -> Upload:
    """An upload whose body arrives in `pieces`; `cut`: the client leaves after them."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": cut or number < len(pieces) - 1}
        for number, piece in enumerate(pieces)
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    raw = [(b"content-type", content_type.encode())]
    raw += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    request = Request({"type": "http", "method": "POST", "headers": raw}, receive)
    return open_upload(request, max_bytes=max_bytes, timeout_s=5)


async def read(upload: Upload) -> tuple[list[tuple[str, str]], bytes]:
    """All fields, and the video."""
    before = await upload.fields()
    video = b"".join([chunk async for chunk in upload.video()])
    return before + await upload.later_fields(), video


async def refusal_of(pieces: Sequence[bytes], content_type: str = FORM, **how: Any) -> FoveaError:
    with pytest.raises(FoveaError) as refusal:
        await read(an_upload(pieces, content_type, **how))
    return refusal.value


@pytest.mark.parametrize("content_type", ["video/mp4", "video/webm; codecs=vp9", "application/octet-stream"])
async def test_a_video_may_be_the_whole_body(content_type: str) -> None:
    assert await read(an_upload([b"ab", b"", b"cd"], content_type)) == ([], b"abcd")


@given(
    data=st.data(), video=st.binary(min_size=1, max_size=300), values=st.lists(st.text("aé1.", max_size=5), max_size=3)
)
def test_a_form_reads_the_same_in_whatever_pieces_it_arrives(
    data: st.DataObject, video: bytes, values: list[str]
) -> None:
    fields = [(f"field{number}", value) for number, value in enumerate(values)]
    body = b"".join(a_field(*field) for field in fields) + a_file(video) + END
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    async def opened_and_read() -> tuple[list[tuple[str, str]], bytes]:
        return await read(an_upload(pieces, FORM))

    assert asyncio.run(opened_and_read()) == (fields, video)


async def test_the_fields_are_known_before_a_byte_of_the_video_is_read() -> None:
    upload = an_upload([a_field("top_k", "1") + a_file(b"x" * 10)[:-12]], FORM, cut=True)  # no video byte came
    assert await upload.fields() == [("top_k", "1")]


async def test_an_announced_length_past_the_limit_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UploadTooLarge, match="body of 10001 bytes is larger than the 10000 bytes allowed"):
        an_upload([b"x"], content_length="10001")


@pytest.mark.parametrize("content_type", ["video/mp4", FORM])
async def test_an_unannounced_length_is_counted(content_type: str) -> None:
    video = [b"x" * 1000] * 11
    pieces = video if content_type != FORM else [a_file(b"")[:-2], *video, b"\r\n", END]
    assert isinstance(await refusal_of(pieces, content_type), UploadTooLarge)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "", "video"]
)
async def test_another_content_type_is_refused_with_what_to_send(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="multipart/form-data with a part named 'video'"):
        an_upload([b"x"], content_type)


async def test_a_form_needs_a_boundary() -> None:
    with pytest.raises(MalformedUpload, match="without a boundary"):
        an_upload([b"x"], "multipart/form-data")
    with pytest.raises(MalformedUpload, match="boundary is not valid"):
        an_upload([b"x"], "multipart/form-data; boundary=" + "x" * 1000)


async def test_a_form_without_a_video_is_refused() -> None:
    error = await refusal_of([a_field("top_k", "1") + END])
    assert type(error) is InvalidUpload
    assert "no part named 'video'" in str(error)


async def test_a_file_under_another_name_is_refused_with_the_right_name() -> None:
    assert "named 'file'; name it 'video'" in str(await refusal_of([a_file(b"x", "file") + END]))


async def test_two_videos_are_refused() -> None:
    error = await refusal_of([a_file(b"x") + a_file(b"y") + END])
    assert type(error) is InvalidUpload
    assert "one video per request" in str(error)


async def test_fields_may_come_after_the_video_as_browsers_and_generated_clients_send_them() -> None:
    body = a_field("model", "m") + a_file(b"x" * 9) + a_field("top_k", "1") + a_field("task", "t") + END
    for pieces in ([body], [body[:150], body[150:]], [bytes([byte]) for byte in body]):
        assert await read(an_upload(pieces, FORM)) == ([("model", "m"), ("top_k", "1"), ("task", "t")], b"x" * 9)


@pytest.mark.parametrize("preamble", [b"This is a message of several parts.", b"--other\r\n", b"x" * 5000])
async def test_text_before_the_first_boundary_says_nothing(preamble: bytes) -> None:
    body = preamble + b"\r\n" + a_field("top_k", "1") + a_file(b"x") + END
    for pieces in ([body], [body[:7], body[7:]], [bytes([byte]) for byte in body]):
        assert await read(an_upload(pieces, FORM)) == ([("top_k", "1")], b"x")


GZIP, ZLIB = gzip.compress, zlib.compress


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", GZIP),
        ("x-gzip", GZIP),
        ("GZip", GZIP),
        ("deflate", ZLIB),
        ("deflate", bare_deflate),
        ("identity", bytes),
    ],
)
@pytest.mark.parametrize("content_type", ["video/mp4", FORM])
async def test_a_compressed_body_is_what_it_was(
    encoding: str, pack: Callable[[bytes], bytes], content_type: str
) -> None:
    video = os.urandom(3000) + b"\0" * 3000
    body = pack(a_file(video) + END if content_type == FORM else video)
    for pieces in ([body], [body[:40], body[40:]], [body[:1], body[1:]]):
        assert (await read(an_upload(pieces, content_type, content_encoding=encoding)))[1] == video


async def test_gzip_members_that_follow_one_another_are_one_body() -> None:
    body = GZIP(b"one ") + GZIP(b"and two")
    assert await read(an_upload([body], content_encoding="gzip")) == ([], b"one and two")


async def test_what_a_body_inflates_to_counts_against_the_limit() -> None:
    bomb = GZIP(b"\0" * 50_000_000)
    refusal = await refusal_of([bomb], "video/mp4", content_encoding="gzip", max_bytes=100_000)
    assert isinstance(refusal, UploadTooLarge)
    assert "decompressed" in refusal.detail


@pytest.mark.parametrize("body", [b"no gzip at all", GZIP(b"x" * 1000)[:-9], b""])
async def test_a_body_that_is_not_what_its_encoding_says_is_malformed(body: bytes) -> None:
    assert isinstance(await refusal_of([body], "video/mp4", content_encoding="gzip"), MalformedUpload)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
async def test_an_encoding_that_is_not_read_is_named_and_so_are_those_that_are(encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=f"Content-Encoding '{encoding}' is not read here; .* gzip"):
        an_upload([b"x"], content_encoding=encoding)


@pytest.mark.parametrize(
    "body",
    [
        b"no form at all",
        a_file(b"x" * 50)[:-30],
        a_file(b"x"),
        a_field("top_k", "1")[:-5],
        b"",
        f"--{BOUNDARY}\r\nContent-Type: video/mp4\r\n\r\nx\r\n".encode() + END,
        f"--{BOUNDARY}\r\n{'x' * 5000}: y\r\n\r\nx\r\n".encode() + END,
    ],
    ids=[
        "text",
        "cut in the video",
        "no closing boundary",
        "cut in a field",
        "nothing",
        "nameless part",
        "huge header",
    ],
)
async def test_a_form_that_is_malformed_or_breaks_off_is_refused(body: bytes) -> None:
    assert isinstance(await refusal_of([body]), MalformedUpload)


async def test_fields_are_short_few_and_text() -> None:
    assert "longer than 1024 bytes" in str(await refusal_of([a_field("model", "x" * 1025) + a_file(b"x") + END]))
    assert "more than 16 fields" in str(await refusal_of([a_field("model", "x") * 17 + a_file(b"x") + END]))
    assert "not UTF-8" in str(
        await refusal_of([a_field("model", "x").replace(b"\nx\r", b"\n\xff\r") + a_file(b"x") + END])
    )


async def test_a_client_that_leaves_half_way_cancels() -> None:
    assert isinstance(await refusal_of([b"half"], "video/mp4", cut=True), RequestCancelled)


async def test_a_body_that_does_not_come_in_time_is_refused() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    request = Request({"type": "http", "method": "POST", "headers": [(b"content-type", b"video/mp4")]}, receive)
    with pytest.raises(UploadTimeout, match=r"not complete after 0\.01 s"):
        await read(open_upload(request, max_bytes=10, timeout_s=0.01))


async def test_what_is_saved_is_what_was_sent_and_is_gone_afterwards(tmp_path: Path) -> None:
    with spooled(tmp_path) as path:
        await save(an_upload([b"ab", b"cd"]).video(), path)
        assert path.read_bytes() == b"abcd"
    assert os.listdir(tmp_path) == []


async def test_an_empty_video_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidUpload, match="0 bytes came"), spooled(tmp_path) as path:
        await save(an_upload([b""]).video(), path)
    assert os.listdir(tmp_path) == []


async def test_a_full_disk_is_no_fault_of_the_client() -> None:
    with pytest.raises(Unavailable, match="No space left") as refusal:
        await save(an_upload([b"ab"]).video(), Path("/dev/full"))
    assert refusal.value.retry_after_s


def test_nor_is_a_spool_folder_that_cannot_be_used() -> None:
    with pytest.raises(Unavailable, match="could not store") as refusal, spooled(Path("/dev/null/nowhere")):
        pass
    assert refusal.value.retry_after_s
    assert "/dev" not in str(refusal.value), "what lies where is no client's business"


def test_uploads_of_a_killed_process_are_swept_and_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from service.api.body.spool import spooled\n"
        "with spooled(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    (tmp_path / "notes.upload").write_text("somebody else's")
    with spooled(tmp_path) as living:
        assert len(list(tmp_path.glob("fovea-*.upload"))) == 2
        assert sweep(tmp_path) == 1
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.name, "notes.upload"])
    assert sweep(tmp_path / "nowhere") == 0
