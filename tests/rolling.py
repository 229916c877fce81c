"""Replicas that are restarted one after the other while clients go on asking, through a balancer: what failed."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from tests.balancer import Balancer
from tests.replica import Replica

START_S = 400.0  # at most, beside clients that go on asking, on a machine with other things to do
PAUSE_S = 0.03  # of a client between two requests
PRE_STOP_S = 10.0  # at most, that a replica which gets nothing new is left with what it has: k8s/base's preStop


@dataclass
class Asked:
    """What became of each request: its status, or the name of the error."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)  # paths of those that were accepted
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def failed(self) -> dict[str, int]:
        return {what: number for what, number in self.outcomes.items() if what not in {"200", "202"}}

    def note(self, what: str, seconds: float) -> None:
        with self.lock:
            self.outcomes[what] += 1
            self.seconds.append(seconds)


def roll(
    balancer: Balancer,
    replicas: Sequence[Replica],
    video: bytes,
    *,
    num_clients: int = 2,
    drained: bool = True,
    headers: dict[str, str] | None = None,
) -> Asked:
    """Restart each of them once. `drained`: the balancer is told first; `preStop` gives a cluster the time to."""
    asked, ends = Asked(), threading.Event()
    clients = [
        threading.Thread(target=_ask, args=(balancer.url, video, asked, ends, headers or {}), name=f"client-{number}")
        for number in range(num_clients)
    ]
    for client in clients:
        client.start()
    try:
        _wait_for_more(asked)
        for number, replica in enumerate(replicas):
            if drained:
                balancer.drain(number)
                give_up_s = time.monotonic() + PRE_STOP_S
                while balancer.num_sessions(number) and time.monotonic() < give_up_s:
                    time.sleep(0.01)
            replica.terminate()
            replica.start()
            replica.wait_until_ready(START_S)
            if drained:
                balancer.take_back(number)
            balancer.wait_until_up(number)
            _wait_for_more(asked)
    finally:
        ends.set()
        for client in clients:
            client.join(120)
    return asked


def _wait_for_more(asked: Asked, number: int = 10) -> None:
    wanted, give_up_s = sum(asked.outcomes.values()) + number, time.monotonic() + 60
    while sum(asked.outcomes.values()) < wanted:
        assert time.monotonic() < give_up_s, asked.outcomes
        time.sleep(0.01)


def _ask(url: str, video: bytes, asked: Asked, ends: threading.Event, headers: dict[str, str]) -> None:
    """One after the other, without a second try: a recognition, or every fourth time a job."""
    number = 0
    with httpx.Client(
        base_url=url, timeout=60, trust_env=False, headers=headers | {"Content-Type": "video/mp4"}
    ) as one:
        while not ends.is_set():
            number += 1
            ends.wait(PAUSE_S)
            preference = {"Prefer": "respond-async"} if number % 4 == 0 else {}
            began_s = time.monotonic()
            try:
                answer = one.post("/v1/recognitions", content=video, headers=preference)
            except httpx.TransportError as error:
                asked.note(type(error).__name__, time.monotonic() - began_s)
                continue
            asked.note(str(answer.status_code), time.monotonic() - began_s)
            if answer.status_code == 202:
                with asked.lock:
                    asked.jobs.append(answer.headers["Location"])
