"""Cameras with faults, one row each: how long until the first result, and what becomes of the stream after it.

Every camera is a hand-made one of this process (`tests/faulty_camera.py`), every stream one of a service in this
process, with the tests' tiny model; a few at once. Not part of `make bench`: it takes three minutes.

    python -m benchmarks.cameras [--at-once 6]
"""

import argparse
import contextlib
import json
import queue
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.faulty_camera import FaultyCamera, Picture, encoded, faulty_camera, parameters, without_keyframes
from tests.serving import serving
from tests.streaming import Follower

FPS = 10
DEAD_S = 20.0  # that a lookup of a dead name takes
NUM_DEAD = 8
ELSEWHERE = "rtsp://127.0.0.3:18554/cam"  # not among the allowed networks


@dataclass(frozen=True)
class Scene:
    """A camera, what is asked of it, and for how long it is watched. `url` where it is not the camera's own."""

    name: str
    footage: str = "one keyframe a second"
    faults: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    fps: float = FPS
    seconds: float = 30.0
    host: str = ""


@dataclass
class Row:
    scene: str
    first_s: float | None = None  # from the subscription to the first result
    results: int = 0
    per_s: float | None = None  # results, from the first one on; one was asked for
    epochs: int = 0
    age_s: float | None = None  # the oldest picture of the second half
    told: str = ""  # the first trouble
    told_s: float | None = None
    unknown: list[str] = field(default_factory=list)  # options that this service does not know


def scenes() -> list[Scene]:
    clocks: dict[str, Callable[[int, float], float]] = {
        "slow by a sixth": lambda number, fps: 0.84 * number / fps,
        "ten times as fast": lambda number, fps: 10 * number / fps,
        "constant": lambda number, fps: 7.0,
        "random": lambda number, fps: random.uniform(0, 47_000),
        "starts again every 15 s": lambda number, fps: number % (15 * fps) / fps,
        "an hour ahead every 10 s": lambda number, fps: number / fps + 3600 * (number // (10 * fps)),
        "four seconds ahead every 5 s": lambda number, fps: number / fps + 4 * (number // (5 * fps)),
    }
    refused = {"400": "DESCRIBE", "453": "PLAY", "454": "PLAY", "500": "SETUP", "503": "DESCRIBE"}
    live = {"joins_live": True, "runs_s": 1.0}
    return [
        Scene("a camera without a fault"),
        Scene("16 one connection, its place held 5 s", faults={"slots": 1, "slot_held_s": 5.0}),
        Scene("17 keyframes 10 s apart", "keyframes 10 s apart", live, seconds=50),
        Scene("17 keyframes 15 s apart", "keyframes 15 s apart", live, seconds=50),
        Scene("17 the same, decode=keyframes", "keyframes 15 s apart", live, {"decode": "keyframes"}, seconds=50),
        Scene("17 keyframes 30 s apart", "keyframes 30 s apart", live, seconds=50),
        Scene("17 intra refresh, no keyframe at all", "intra refresh alone", live, seconds=50),
        Scene("17 intra refresh with recovery points, auto", "intra refresh", live, {"decode": "auto"}, seconds=50),
        Scene("17 the same, decode=keyframes", "intra refresh", live, {"decode": "keyframes"}, seconds=50),
        *(Scene(f"18 clock: {name}", faults={"clock": clock}) for name, clock in clocks.items()),
        Scene("19 answers after 7 s", faults={"describe_s": 7.0}, options={"open_timeout_s": 15.0}),
        Scene("19 a picture every 5 s", fps=0.2, options={"stall_timeout_s": 15.0}, seconds=50),
        *(Scene(f"19 refuses with {code}", faults={"statuses": {method: f"{code} X"}}, seconds=8)
          for code, method in refused.items()),
        Scene("19 moved to a refused address", seconds=8,
              faults={"statuses": {"DESCRIBE": "302 Found"}, "location": ELSEWHERE, "login": "viewer:secret"}),
        Scene(f"20 a living name beside {NUM_DEAD} dead ones", host="living.test", seconds=20),
    ]  # fmt: skip


def footages() -> dict[str, tuple[list[Picture], tuple[bytes, bytes]]]:
    """Pictures and parameter sets, by name."""
    refresh = encoded(pictures=300, gop=30, **{"intra-refresh": "1"})
    made = {
        "one keyframe a second": encoded(pictures=300, gop=10),
        **{f"keyframes {gap_s} s apart": encoded(pictures=300, gop=gap_s * FPS) for gap_s in (10, 15, 30)},
        "intra refresh": refresh,
    }
    told = {name: (pictures, parameters(pictures)) for name, pictures in made.items()}
    return told | {"intra refresh alone": (without_keyframes(refresh[1:]), parameters(refresh))}


@contextlib.contextmanager
def dead_names() -> Iterator[None]:
    """Lookups of *.dead.test get no answer for long; living.test is the loopback."""
    real = socket.getaddrinfo

    def lookup(host: Any, *arguments: Any, **keywords: Any) -> Any:
        if str(host).endswith(".dead.test"):
            time.sleep(DEAD_S)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return real("127.0.0.1" if host == "living.test" else host, *arguments, **keywords)

    socket.getaddrinfo = lookup
    try:
        yield
    finally:
        socket.getaddrinfo = real


def watch(url: str, scene: Scene, camera: FaultyCamera, elsewhere: FaultyCamera) -> Row:
    row = Row(scene.name)
    address = camera.url(credentials="viewer:secret" if camera.faults.login else "")
    if scene.host:
        address = address.replace(camera.address, scene.host)
    body = {"url": address, "window_s": 2.0, "stride_s": 1.0, "decode": "all"} | scene.options
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        while (answer := client.post("/v1/streams", json=body)).status_code == 422:
            unknown = [name for name in scene.options if name in body and name in answer.json()["detail"].split(";")[0]]
            assert unknown, answer.text
            row.unknown += unknown
            body = {name: value for name, value in body.items() if name not in unknown}
        assert answer.status_code == 201, answer.text
        stream, asked_s = answer.json()["id"], time.monotonic()
        follower = Follower(url, stream, "0-0")
        listen(follower, row, asked_s, asked_s + scene.seconds)
        follower.close()
        client.delete(f"/v1/streams/{stream}")
    if scene.faults.get("location"):
        sent = [one for one in elsewhere.asked if "authorization" in one.headers]
        row.told += f"; {elsewhere.connections} connections there, {len(sent)} requests with the password"
    return row


def listen(follower: Follower, row: Row, asked_s: float, until_s: float) -> None:
    epochs, ages, first_s, last_s = set(), list[float](), None, 0.0
    while (left_s := until_s - time.monotonic()) > 0:
        try:
            heard = follower.next(left_s)
        except queue.Empty:
            break
        if heard is None:
            break
        if heard.name == "result":
            first_s, last_s = first_s or heard.at_s, heard.at_s
            row.results += 1
            epochs.add(heard.data["epoch"])
            if until_s - heard.at_s < (until_s - asked_s) / 2:
                ages.append(heard.data["frame_age_s"])
        elif (error := heard.data.get("error")) is not None and not row.told and error.get("attempts"):
            row.told, row.told_s = f"{error['error_class']}: {error['detail']}", heard.at_s - asked_s
    row.epochs, row.age_s = len(epochs), max(ages, default=None)
    if first_s is not None:
        row.first_s = first_s - asked_s
        row.per_s = (row.results - 1) / max(1.0, last_s - first_s)


def run(at_once: int) -> list[Row]:
    made, todo = footages(), scenes()
    with (
        dead_names(),
        serving(stream_allowed_networks="127.0.0.1/32", max_streams=64) as service,
        contextlib.ExitStack() as stack,
        ThreadPoolExecutor(at_once) as threads,
    ):
        for number in range(NUM_DEAD):
            threading.Thread(
                target=httpx.post, args=(f"{service.url}/v1/streams",),
                kwargs={"json": {"url": f"rtsp://n{number}.dead.test/x"}, "timeout": 120, "trust_env": False},
                daemon=True,
            ).start()  # fmt: skip
        time.sleep(1.0)
        footage = made["one keyframe a second"]
        there = stack.enter_context(
            faulty_camera(footage[0], sets=footage[1], address="127.0.0.3", port=18554, login="viewer:secret")
        )
        cameras = [
            stack.enter_context(
                faulty_camera(made[scene.footage][0], sets=made[scene.footage][1], fps=scene.fps, **scene.faults)
            )
            for scene in todo
        ]
        watched = [
            threads.submit(watch, service.url, scene, camera, there)
            for scene, camera in zip(todo, cameras, strict=True)
        ]
        return [one.result() for one in watched]


def table(rows: list[Row]) -> str:
    lines = [f"{'camera':<46}{'first / s':>10}{'a second':>10}{'epochs':>8}{'age / s':>9}  told"]
    for row in rows:
        first, rate, age = ("-" if one is None else f"{one:.1f}" for one in (row.first_s, row.per_s, row.age_s))
        told = f"{row.told_s:.1f} s: {row.told[:110]}" if row.told_s is not None else row.told
        unknown = f" (no option {', '.join(row.unknown)})" if row.unknown else ""
        lines.append(f"{row.scene:<46}{first:>10}{rate:>10}{row.epochs:>8}{age:>9}  {told}{unknown}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cameras", description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the rows")
    parser.add_argument("--at-once", type=int, default=6, help="cameras; a machine that is busy makes them all late")
    asked = parser.parse_args()
    rows = run(asked.at_once)
    print(table(rows))
    if asked.json is not None:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
