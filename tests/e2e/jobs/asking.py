"""What tests ask of jobs over HTTP."""

import json
import time
from typing import Any

import httpx

from tests.serving import Served

PATIENCE_S = 40.0


def hand_in(client: httpx.Client, video: bytes, query: str = "", **headers: str) -> httpx.Response:
    usual = {"Content-Type": "video/mp4", "Prefer": "respond-async"}
    return client.post(f"/v1/recognitions{query}", content=video, headers=usual | headers)


def submitted(client: httpx.Client, video: bytes, query: str = "", **headers: str) -> str:
    """The job's path."""
    give_up_s = time.monotonic() + PATIENCE_S
    while (answer := hand_in(client, video, query, **headers)).status_code == 503:  # a queue that is being opened
        assert time.monotonic() < give_up_s, answer.text
        time.sleep(0.1)
    assert answer.status_code == 202, answer.text
    path: str = answer.headers["Location"]
    return path


def ended(client: httpx.Client, path: str) -> dict[str, Any]:
    """The job, once it has ended."""
    return wait_for(client, path, "succeeded", "failed", "cancelled")


def wait_for(client: httpx.Client, path: str, *states: str) -> dict[str, Any]:
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        job: dict[str, Any] = client.get(path).json()
        if job.get("state") in states:
            return job
        assert time.monotonic() < give_up_s, job
        time.sleep(0.05)


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each event of a stream that has ended."""
    told = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "event" in fields:
            told.append((fields["event"], json.loads(fields["data"])))
    return told


def problem(answer: httpx.Response) -> str:
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    return str(answer.json()["type"].removeprefix("/problems/"))


def results_told(served: Served, path: str) -> int:
    return [name for name, _ in events(served.client.get(f"{path}/events").text)].count("result")
