"""What a camera's URL may be, and what of it is ever shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.errors import InvalidOption
from service.streams.address import CameraUrl


@pytest.mark.parametrize(
    "text",
    [
        "http://camera/x", "file:///etc/passwd", "concat:rtsp://a/b|c", "subfile:,,start,0,:/etc/passwd", "rtmp://camera/x",
        "tcp://camera:80", "data:video/mp4,", "RTSPX://camera/", "rtsp:/camera/", "rtsp:camera", "rtsp://", "rtsp:///path",
        "rtsp://user@/path", "camera/stream", "", "rtsp://camera:99999/", "rtsp://camera:x/", "rtsp://camera:0/",
        "rtsp://cam era/", "rtsp://camera/\npath", "rtsp://camera/\x00", "rtsp://[::1/x", "rtsp://camera/a#b", "rtsp://cämera/",
        "rtsp://camera/?user=me&password=secret", "rtsp://camera/x?auth_token=abc", "rtsp://camera/?channel=1&PWD=x",
        "rtsp://a|b/", "rtsp://file:%2Fetc/", " rtsp://camera/",
    ],
)  # fmt: skip
def test_what_is_no_cameras_url_is_refused_with_a_rule(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"^url: ") as caught:
        CameraUrl.parse(text)
    assert caught.value.extra == {"option": "url"}


@pytest.mark.parametrize(
    ("text", "shown", "pinned"),
    [
        ("rtsp://camera/stream1", "rtsp://camera:554/stream1", "rtsp://10.0.0.9:554/stream1"),
        ("RTSP://Camera:8554", "rtsp://camera:8554/", "rtsp://10.0.0.9:8554/"),
        ("rtsps://camera/x", "rtsps://camera:322/x", "rtsps://10.0.0.9:322/x"),
        ("rtsp://me:pass@camera/x", "rtsp://***@camera:554/x", "rtsp://me:pass@10.0.0.9:554/x"),
        ("rtsp://me:p%40s%2Fs@camera/x", "rtsp://***@camera:554/x", "rtsp://me:p%40s%2Fs@10.0.0.9:554/x"),
        ("rtsp://me:p@ss@camera/x", "rtsp://***@camera:554/x", "rtsp://me:p%40ss@10.0.0.9:554/x"),
        ("rtsp://c/r?channel=1&sub=0", "rtsp://c:554/r?channel=***&sub=***", "rtsp://10.0.0.9:554/r?channel=1&sub=0"),
        (
            "rtsp://c/user=admin_password=hush_channel=1",
            "rtsp://c:554/user=***_password=***_channel=1",
            "rtsp://10.0.0.9:554/user=admin_password=hush_channel=1",
        ),
        ("rtsp://[fd12::1]:8554/x", "rtsp://[fd12::1]:8554/x", "rtsp://10.0.0.9:8554/x"),
    ],
)
def test_a_url_is_shown_without_its_secrets_and_opened_with_them(text: str, shown: str, pinned: str) -> None:
    url = CameraUrl.parse(text)
    assert str(url) == shown
    assert url.pinned("10.0.0.9") == pinned
    assert CameraUrl.parse(url.whole()) == url


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?#[]\\"), min_size=1))
def test_no_password_is_ever_shown(password: str) -> None:
    password = "Zq9!" + password  # so that it is no part of what is shown anyway
    text = f"rtsp://someone:{password}@camera/stream"
    url = CameraUrl.parse(text)
    assert url.host == "camera"
    assert password not in str(url)
    assert password not in repr(url)
