"""`fovea streams`, as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cameras import camera
from tests.serving import Served

from .conftest import FPS, footage

pytestmark = pytest.mark.timeout(300)


def fovea(service: Served, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    command = [Path(sys.executable).with_name("fovea"), "streams", *arguments, "--server", service.url]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)


def test_a_camera_is_added_listed_followed_and_removed(watching: Served, tmp_path: Path) -> None:
    with camera(footage(), fps=FPS, auth={"user": "me", "password": "hush"}) as cam:
        added = fovea(
            watching,
            *("add", "-", "--window-s", "2", "--stride-s", "0.5", "--name", "door [1]", "--label", "site=north=1"),
            stdin=cam.url(credentials="me:hush") + "\n",
        )
        assert added.returncode == 0, added.stderr
        stream = added.stdout.strip()
        command = [Path(sys.executable).with_name("fovea"), "streams", "follow", stream, "--json", "--since", "0-0"]
        with subprocess.Popen([*command, "--server", watching.url], stdout=subprocess.PIPE, text=True) as following:
            assert following.stdout is not None
            told = []
            while not told or told[-1]["event"] != "result":
                told.append(json.loads(following.stdout.readline()))
            assert [one["state"] for one in told if one["event"] == "state"] == ["connecting", "live"]
            listed = fovea(watching, "list")
            assert stream in listed.stdout
            assert "live" in listed.stdout
            assert "door [1]" in " ".join(listed.stdout.split())
            assert watching.client.get(f"/v1/streams/{stream}").json()["labels"] == {"site": "north=1"}
            assert fovea(watching, "snapshot", stream, str(tmp_path / "now.jpg")).returncode == 0
            assert (tmp_path / "now.jpg").read_bytes().startswith(b"\xff\xd8")
            assert "hush" not in listed.stdout
            assert fovea(watching, "rm", stream).returncode == 0
            rest = following.stdout.read()
            assert following.wait(60) == 0
        assert '"deleted"' in rest.splitlines()[-1]
    gone = fovea(watching, "rm", stream)
    assert gone.returncode == 2
    assert "there is no stream" in gone.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("rtsp://me:hush@camera/x", "give `-` for the URL"),
        ("http://camera/x", "no camera's"),
        ("rtsp://169.254.169.254/x", "is refused"),
    ],
)
def test_what_cannot_be_added_is_a_sentence_without_the_password(watching: Served, url: str, said: str) -> None:
    answer = fovea(watching, "add", url)
    assert answer.returncode == 2
    assert said in " ".join(answer.stderr.split())
    assert "hush" not in answer.stderr + answer.stdout
    assert "Traceback" not in answer.stderr
