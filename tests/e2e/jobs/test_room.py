"""What a job takes beside its work: a place while it is uploaded, its key's share of those kept, files in the store."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.keys import key_file
from tests.serving import serving

from .asking import PATIENCE_S, ended, hand_in, problem


def test_a_key_cannot_fill_the_room_for_jobs(red_video: bytes, tmp_path: Path) -> None:
    secrets = key_file(tmp_path / "keys.json", greedy={}, modest={})
    headers = {name: {"Authorization": f"Bearer {secret}"} for name, secret in secrets.items()}
    settings = {"api_keys_file": tmp_path / "keys.json", "max_jobs": 4, "state_dir": tmp_path / "state"}
    with serving(**settings) as served:
        answers = [hand_in(served.client, red_video, **headers["greedy"]) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
        assert "greedy has its share of the jobs" in answers[-1].json()["detail"]
        nothing = hand_in(served.client, b"", **headers["greedy"])
        assert nothing.status_code == 429, "it is told before the upload is read, whatever that holds"
        assert hand_in(served.client, red_video, **headers["modest"]).status_code == 202
        served.wait_for_metric(4, "fovea_jobs_total", kind="recognition", state="succeeded")
    with serving(**settings) as served:  # what is kept counts from the start
        served.wait_for_metric(4, "fovea_jobs_kept", state="succeeded")
        assert hand_in(served.client, red_video, **headers["greedy"]).status_code == 429


def test_an_upload_that_becomes_a_job_takes_a_place(red_video: bytes) -> None:
    going_on = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield red_video[:1000]
        assert going_on.wait(30)
        yield red_video[1000:]

    with serving(max_decode_places=1) as served, ThreadPoolExecutor(1) as clients:
        headers = {"Content-Type": "video/mp4", "Prefer": "respond-async"}
        handing_in = clients.submit(served.client.post, "/v1/recognitions", content=slowly(), headers=headers)
        served.wait_for_metric(1, "fovea_decode_places_used")
        answer = served.post(red_video)
        assert (answer.status_code, problem(answer)) == (429, "overloaded")
        going_on.set()
        accepted = handing_in.result()
        assert accepted.status_code == 202
        assert ended(served.client, accepted.headers["Location"])["state"] == "succeeded"
        assert served.post(red_video).status_code == 200
        served.wait_for_metric(0, "fovea_decode_places_used")


@pytest.mark.parametrize("folder", ["uploads", "results"])
def test_files_whose_job_never_came_into_the_ledger_are_removed(folder: str, red_video: bytes, tmp_path: Path) -> None:
    with serving(state_dir=tmp_path) as served:
        path = hand_in(served.client, red_video).headers["Location"]
        ended(served.client, path)
    job_id = path.rpartition("/")[2]
    there = tmp_path / "blobs" / folder
    there.mkdir(parents=True, exist_ok=True)
    orphan, theirs, young = there / "job_lost-1", there / f"{job_id}-1", there / "job_coming"
    for one in (orphan, theirs, young):
        one.write_bytes(b"x")
    for one in (orphan, theirs):
        os.utime(one, (time.time() - 7200,) * 2)
    with serving(state_dir=tmp_path) as served:
        give_up_s = time.monotonic() + PATIENCE_S
        while orphan.exists():
            assert time.monotonic() < give_up_s, "it lies there still"
            time.sleep(0.05)
        assert served.client.get(path).json()["state"] == "succeeded"
        assert theirs.exists()
        assert young.exists(), "its job may be on its way"
