"""Jobs on replicas that are killed and drained at random meanwhile: what became of each, and how long recovery took.

Three replicas with the tiny recognizer and one Redis; or one process, with --embedded. Needs redis-server. A batch
takes `--pause-s`, and a job three of them: so jobs are handed in faster than they are done, and a replica ends while it
has as many at work as it may have.
"""

import argparse
import json
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.clips import cached_clip, solid
from tests.e2e.jobs.surviving import Crowd, Outcome, survive
from tests.redis_server import redis_server
from tests.replica import Replica

LEASE_S = 5.0
AT_WORK = 3  # jobs, for each replica, before one of them is ended


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--ends", type=int, default=20, help="how many times a replica is killed or drained")
    parser.add_argument("--pause-s", type=float, default=0.3, help="how long a batch takes")
    parser.add_argument("--embedded", action="store_true", help="one process without Redis, which is killed")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with its replicas
    outcome = measured(given.jobs, given.ends, given.pause_s, embedded=given.embedded)
    print(outcome.summary())
    is_good = outcome.states == {"succeeded": given.jobs} and set(outcome.results_told) == {1}
    print("every job ended with exactly one result" if is_good else "NOT every job ended with exactly one result")
    if given.json is not None:
        facts = {
            "jobs": given.jobs,
            "states": outcome.states,
            "results_told": sorted(set(outcome.results_told)),
            "replicas_ended": len(outcome.kills),
            "interrupted": len(outcome.recovery_s),
            "recovery_s": sorted(round(seconds, 1) for seconds in outcome.recovery_s),
            "most_attempts": max(outcome.attempts),
            "seconds": round(outcome.seconds, 1),
        }
        given.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 0 if is_good else 1


def measured(num_jobs: int, num_ends: int, pause_s: float, *, embedded: bool) -> Outcome:
    video = cached_clip("job.mp4", pattern=solid(220, 20, 20), seconds=0.5, size=(64, 48)).read_bytes()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fovea-jobs-")))
        settings: dict[str, Any] = {
            "pause_s": pause_s,
            "job_lease_s": LEASE_S,
            "job_max_attempts": 50,
            "drain_timeout_s": 3.0,
            "spool_dir": str(folder),
        }
        if not embedded:
            redis = stack.enter_context(redis_server())
            settings |= {"redis_url": redis.url, "blobs_url": (folder / "blobs").as_uri()}
        number = 1 if embedded else 3
        replicas = [stack.enter_context(Replica(free_port(), settings)) for _ in range(number)]
        for replica in replicas:
            replica.start()
        for replica in replicas:
            replica.wait_until_ready()
        return survive(Crowd(replicas), video, num_jobs, ending(num_ends, drains=not embedded))


def ending(number: int, *, drains: bool) -> Callable[[Crowd, Callable[[], None]], None]:
    """One replica after the other, at random while all are at work, and up again."""

    def disturb(crowd: Crowd, about_to_end: Callable[[], None]) -> None:
        for _ in range(number):
            time.sleep(random.uniform(0.5, 3.0))
            give_up_s = time.monotonic() + 20  # the last jobs may be done
            while len(crowd.running()) < AT_WORK * len(crowd.replicas) and time.monotonic() < give_up_s:
                time.sleep(0.05)
            replica = random.choice(crowd.replicas)
            about_to_end()
            if drains and random.random() < 0.4:
                replica.terminate()
            else:
                replica.kill()
            replica.start()
            replica.wait_until_ready()

    return disturb


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
