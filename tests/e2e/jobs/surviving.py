"""Hands jobs to replicas that are killed and drained meanwhile, and looks at what became of each. Knows no pytest."""

import random
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from tests.e2e.jobs.asking import events
from tests.replica import Replica

PATIENCE_S = 300.0


@dataclass
class Outcome:
    """What became of all jobs; times are wall-clock seconds."""

    states: dict[str, int] = field(default_factory=dict)
    results_told: list[int] = field(default_factory=list)  # of each job
    attempts: list[int] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)  # from a kill to the end of each job that it interrupted
    kills: list[float] = field(default_factory=list)
    num_distinct: int = 0
    seconds: float = 0.0

    def summary(self) -> str:
        worst = max(self.recovery_s, default=0.0)
        middle = sorted(self.recovery_s)[len(self.recovery_s) // 2] if self.recovery_s else 0.0
        return (
            f"{self.num_distinct} jobs: {self.states} in {self.seconds:.1f} s, {len(self.kills)} replicas ended; "
            f"{len(self.recovery_s)} jobs were interrupted, and ended {middle:.1f} s (median), {worst:.1f} s (at most) "
            f"after it; begun {max(self.attempts)} times at most; results told of one job: "
            f"{sorted(set(self.results_told))}"
        )


class Crowd:
    """Replicas, of which any may be away at the moment."""

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.replicas = replicas

    def ask(self, method: str, path: str, **arguments: object) -> httpx.Response:
        """Whoever answers, until somebody does; what is refused for now is asked again."""
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            replica = random.choice(self.replicas)
            try:
                answer = replica.client.request(method, path, **arguments)  # type: ignore[arg-type]
                if answer.status_code not in {409, 429, 503}:
                    return answer
            except httpx.TransportError:
                pass
            assert time.monotonic() < give_up_s, f"nobody answers {method} {path}"
            time.sleep(0.05)

    def hand_in(self, video: bytes) -> str:
        """The job's path; the same one, however often it has to be sent."""
        headers = {"Content-Type": "video/mp4", "Prefer": "respond-async", "Idempotency-Key": str(uuid.uuid4())}
        answer = self.ask("POST", "/v1/recognitions", content=video, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"]

    def running(self) -> list[str]:
        jobs = self.ask("GET", "/v1/jobs?state=running").json()["jobs"]
        return [job["id"] for job in jobs]


def survive(crowd: Crowd, video: bytes, num_jobs: int, disturb: Callable[[Crowd, Callable[[], None]], None]) -> Outcome:
    """`disturb` ends and starts replicas while jobs are handed in and done; it calls the function before each end."""
    outcome, started_s = Outcome(), time.monotonic()
    interrupted: dict[str, float] = {}  # by job, when the replica that may have had it was ended last

    def about_to_end() -> None:
        at_s = time.time()
        outcome.kills.append(at_s)
        interrupted.update(dict.fromkeys(crowd.running(), at_s))

    paths: list[str] = []
    failures: list[BaseException] = []

    def hand_in() -> None:
        try:
            while len(paths) < num_jobs:
                paths.append(crowd.hand_in(video))
        except BaseException as error:
            failures.append(error)

    handing = threading.Thread(target=hand_in)
    handing.start()
    disturb(crowd, about_to_end)
    handing.join()
    assert not failures, failures
    for path in paths:
        job = _ended(crowd, path)
        outcome.states[job["state"]] = outcome.states.get(job["state"], 0) + 1
        outcome.attempts.append(job["attempts"])
        told = events(crowd.ask("GET", f"{path}/events").text)
        outcome.results_told.append([name for name, _ in told].count("result"))
        if job["id"] in interrupted and job["attempts"] > 1:
            ended_s = datetime.fromisoformat(job["finished_at"]).timestamp()
            outcome.recovery_s.append(max(0.0, ended_s - interrupted[job["id"]]))
    outcome.num_distinct = len(set(paths))
    outcome.seconds = time.monotonic() - started_s
    return outcome


def _ended(crowd: Crowd, path: str) -> dict[str, Any]:
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        job: dict[str, Any] = crowd.ask("GET", path).json()
        if job["state"] in {"succeeded", "failed", "cancelled"}:
            return job
        assert time.monotonic() < give_up_s, job
        time.sleep(0.1)
