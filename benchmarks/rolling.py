"""A rolling restart of three replicas behind HAProxy under load: what failed, with a drain before each and without.

With a drain the balancer is told first, which a cluster's `preStop` gives the time to. Without, SIGTERM comes at once,
and the balancer's tries with another server are all there is. The tiny recognizer and one Redis. Needs redis-server
and haproxy.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from tests.balancer import balancing
from tests.clips import cached_clip, solid
from tests.redis_server import redis_server
from tests.replica import Replica
from tests.rolling import START_S, Asked, roll
from tests.streaming import free_port


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rolling", description=__doc__)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for drained in (True, False):
        asked = measured(given.clients, drained=drained)
        name = "drained" if drained else "not drained"
        found[name] = facts(asked)
        print(f"{name}: {found[name]}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if found["drained"]["failed"] else 0


def measured(num_clients: int, *, drained: bool) -> Asked:
    video = cached_clip("job.mp4", pattern=solid(220, 20, 20), seconds=0.5, size=(64, 48)).read_bytes()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fovea-rolling-")))
        redis = stack.enter_context(redis_server())
        settings = {"redis_url": redis.url, "blobs_url": (folder / "blobs").as_uri(), "pause_s": 0.02}
        ports = [free_port() for _ in range(3)]
        replicas = [stack.enter_context(Replica(port, settings)) for port in ports]
        for replica in replicas:
            replica.start()
        balancer = stack.enter_context(balancing(ports))
        for number, replica in enumerate(replicas):
            replica.wait_until_ready(START_S)
            balancer.wait_until_up(number)
        return roll(balancer, replicas, video, num_clients=num_clients, drained=drained)


def facts(asked: Asked) -> dict[str, Any]:
    return {
        "requests": sum(asked.outcomes.values()),
        "jobs": len(asked.jobs),
        "failed": asked.failed,
        "p50_ms": round(float(np.median(asked.seconds)) * 1e3),
        "p95_ms": round(float(np.percentile(asked.seconds, 95)) * 1e3),
    }


if __name__ == "__main__":
    sys.exit(main())
