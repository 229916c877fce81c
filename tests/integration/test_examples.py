"""Every program in examples/ does what it says, as a reader would start it."""

import asyncio
import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook

from fovea.words import AbstainReason, StreamState
from service.api.streams.publishing import publish
from service.metrics import Metrics
from service.mqtt.broker import Broker
from service.mqtt.publisher import Publisher
from service.mqtt.topics import Topics
from tests.clips import solid, write_clip
from tests.e2e.streams.conftest import CAMERA_LIKE, LOOPBACK, coloured_numbers
from tests.mosquitto import mosquitto
from tests.serving import Served, serving
from tests.streaming import free_port
from tests.timesformers import huggingface
from tests.tiny import tiny_model
from tests.unit.streams.making import TROUBLE, a_result, a_status, a_subscription
from tests.unit.training.test_train_command import PLAN, plan_file
from tests.unit.training.trained import make_data

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # training, calibrating and measuring, on a busy machine
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS10ZXN0cy1vbmx5"


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    models = [tiny_model(frontier=((0.5e9, 0.4), (1.0e9, 0.5), (1.5e9, 0.6)))]
    with serving(models=models, stream_allowed_networks=LOOPBACK, stream_ports="1-65535") as served:
        yield served


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_every_example_is_in_the_table_and_every_row_is_an_example() -> None:
    rows = set(re.findall(r"^\| \[[^\]]+\]\(([^)/]+)/?\)", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    assert rows == {path.name for path in EXAMPLES.iterdir() if path.name not in {"README.md", "__pycache__"}}


def test_a_folder_becomes_a_csv_with_a_row_a_video_and_the_reason_where_there_is_no_label(
    service: Served, tmp_path: Path
) -> None:
    (tmp_path / "deeper").mkdir()
    write_clip(tmp_path / "red.mp4", pattern=solid(220, 20, 20))
    write_clip(tmp_path / "deeper" / "blue.mp4", pattern=solid(20, 20, 220))
    (tmp_path / "broken.mp4").write_bytes(b"this is no video at all" * 10)
    (tmp_path / "notes.txt").write_text("no video, and not asked")
    done = run(sys.executable, EXAMPLES / "classify_folder.py", tmp_path, "--url", service.url)
    rows = {Path(row["video"]).name: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert set(rows) == {"red.mp4", "blue.mp4", "broken.mp4"}
    assert rows["red.mp4"]["label"] == "red"
    assert rows["blue.mp4"]["label"] == "blue"
    assert rows["broken.mp4"]["label"] == ""
    assert "cannot be read" in rows["broken.mp4"]["problem"] or "video" in rows["broken.mp4"]["problem"]


@pytest.mark.camera
def test_cameras_are_kept_in_a_database_and_a_second_start_goes_on_after_the_last_event(
    service: Served, tmp_path: Path
) -> None:
    from tests.cameras import camera  # noqa: PLC0415  # needs a camera's packages

    footage = tmp_path / "camera.mp4"
    write_clip(footage, pattern=coloured_numbers, seconds=6.0, fps=16, gop=8, size=(320, 180), options=CAMERA_LIKE)
    database = tmp_path / "seen.db"

    def followed_until(count: int, url: str) -> list[tuple[str, str]]:
        command = [sys.executable, EXAMPLES / "cameras_to_sqlite.py", database, url, "--url", service.url]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as following:
            rows: list[tuple[str, str]] = []
            give_up_s = time.monotonic() + 90
            while len(rows) < count:
                assert following.poll() is None, following.stderr and following.stderr.read()
                assert time.monotonic() < give_up_s, rows
                time.sleep(0.2)
                if database.exists():
                    rows = sqlite3.connect(database).execute("select event, camera from seen order by rowid").fetchall()
            following.terminate()
        return rows

    with camera(footage) as playing:
        first = followed_until(2, playing.url())
        second = followed_until(len(first) + 2, playing.url())
    assert second[: len(first)] == first
    assert len({event for event, _ in second}) == len(second)
    assert {name for _, name in second} == {"camera-1"}
    (subscribed,) = service.client.get("/v1/streams").json()["streams"]
    service.client.delete(f"/v1/streams/{subscribed['id']}")


def test_the_receiver_takes_a_signed_message_once_and_refuses_another(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--app-dir", EXAMPLES, "webhook_receiver:app", "--port", str(port)]
    body, sent = json.dumps({"type": "job.done", "data": {"id": "job_1"}}), time.time()
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(sent)),
        "webhook-signature": Webhook(SECRET).sign("msg_1", datetime.fromtimestamp(int(sent), UTC), body),
    }
    with (tmp_path / "out").open("w") as out:
        receiver = subprocess.Popen(command, env={**os.environ, "FOVEA_WEBHOOK_SECRET": SECRET}, stdout=out)
    try:
        url = f"http://127.0.0.1:{port}/hook"
        give_up_s = time.monotonic() + 30
        while True:
            try:
                first = httpx.post(url, content=body, headers=headers, trust_env=False)
                break
            except httpx.ConnectError:
                assert time.monotonic() < give_up_s
                time.sleep(0.1)
        again = httpx.post(url, content=body, headers=headers, trust_env=False)
        forged = httpx.post(url, content=body.replace("job_1", "job_2"), headers=headers, trust_env=False)
    finally:
        receiver.terminate()
        receiver.wait(20)
    assert [first.status_code, again.status_code, forged.status_code] == [204, 204, 401]
    assert [json.loads(line) for line in (tmp_path / "out").read_text().splitlines() if line.startswith("{")] == [
        json.loads(body)
    ]


async def test_the_listener_prints_what_the_service_tells_a_broker_also_one_that_comes_later(tmp_path: Path) -> None:
    door = a_subscription(name="front door")
    unknown = replace(a_result().recognition, reason=AbstainReason.NOT_KNOWN)
    out = tmp_path / "out"

    async def printed(text: str) -> None:
        give_up_s = time.monotonic() + 60
        while text not in out.read_text():
            assert listening.returncode is None
            assert time.monotonic() < give_up_s, out.read_text()
            await asyncio.sleep(0.05)

    with mosquitto() as broker, out.open("wb") as told:
        publisher = Publisher(Broker.parse(broker.url()), Topics("house/fovea", "attic", "homeassistant"), Metrics())
        publisher.start()
        publish(publisher, door, a_status())
        command = [EXAMPLES / "home_assistant_mqtt" / "listen.py", broker.url(), "--topic", "house/fovea"]
        listening = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=told)
        try:
            await printed("front door is live\n")  # told before it came
            await printed("service attic is online\n")
            labelled = replace(a_result().recognition, label="red", display_name="Red light")
            publish(publisher, door, a_result(recognition=labelled))
            await printed(" front door: Red light 0.90, ")
            publish(publisher, door, a_result(recognition=unknown))
            await printed(" front door: no label (not_known) 0.90, ")
            publish(publisher, door, a_status(StreamState.RECONNECTING, trouble=TROUBLE))
            await printed("front door is reconnecting: nothing listens on port 554\n")
            publish(publisher, door, a_status(StreamState.DELETED))
            await printed("front door is forgotten\n")
            await publisher.close()
            await printed("service attic is offline\n")
        finally:
            await publisher.close()
            listening.terminate()
            await listening.wait()


def test_the_notebook_draws_what_the_service_measured(service: Served, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    notebook = json.loads((EXAMPLES / "budget_curve.ipynb").read_text())
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not [cell for cell in notebook["cells"] if cell.get("outputs")]  # committed as it is run: without results
    program = "\n".join(
        [*code, f"figure.savefig({str(tmp_path / 'curve.png')!r})", "print(axes.lines[1].get_xydata())"]
    )
    done = run(sys.executable, "-c", program, FOVEA_URL=service.url, MPLBACKEND="agg")
    assert re.sub(r"\s+", " ", done.stdout).strip() == "[[ 0.5 40. ] [ 1. 50. ] [ 1.5 60. ]]"
    assert (tmp_path / "curve.png").stat().st_size > 5000


def test_labels_of_your_own_are_trained_calibrated_and_measured(tmp_path: Path) -> None:
    data = make_data(tmp_path / "videos")
    plan = plan_file(tmp_path, PLAN)
    command = [EXAMPLES / "train_three_classes.sh", data, tmp_path / "out", "--plan", plan]
    done = run(*command, HOME=str(tmp_path), OMP_NUM_THREADS="1")  # decoded clips are kept in the home folder
    assert f"fovea serve --bundle {tmp_path / 'out' / 'model'}" in done.stdout
    assert (tmp_path / "out" / "model" / "bundle.json").exists()
    assert list((tmp_path / "out" / "results").glob("*.json"))


def test_a_checkpoint_of_huggingface_becomes_a_model(tmp_path: Path) -> None:
    huggingface("divided").save_pretrained(tmp_path / "hf")
    (tmp_path / "labels.txt").write_text("".join(f"label {number}\n" for number in range(5)))
    command = [EXAMPLES / "import_checkpoint.sh", tmp_path / "hf", tmp_path / "labels.txt", tmp_path / "model"]
    done = run(*command)
    assert f"fovea serve --bundle {tmp_path / 'model'}" in done.stdout
    assert (tmp_path / "model" / "bundle.json").exists()


def test_an_example_without_its_arguments_says_how_it_is_used() -> None:
    for name in ("train_three_classes.sh", "import_checkpoint.sh"):
        done = subprocess.run([EXAMPLES / name], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert f"examples/{name}" in done.stdout
