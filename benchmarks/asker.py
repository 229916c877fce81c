"""Sends one video to one service as cheaply as a client can, in a closed or an open loop. Knows no model.

Every request is a connection of its own and asks before it sends (`Expect: 100-continue`), so that a refusal costs no
upload.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from tests.clips import noise, write_clip

TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Answered:
    """One request, as its client saw it; `granted` and `spent`, in GFLOPs, and `steps` are 0 without an answer."""

    ended_s: float
    took_s: float
    status: int
    granted: float = 0.0
    spent: float = 0.0
    steps: int = 0


class Asker:
    """One service's client; `video` is what it posts each time."""

    def __init__(self, url: str, video: bytes) -> None:
        parts = urlsplit(url)
        self._host, self._port, self.video = parts.hostname or "127.0.0.1", parts.port or 80, video

    async def ask(self, query: str = "") -> Answered:
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, body = await self._exchange(query)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            status, body = 0, b""
        ended_s = time.perf_counter()
        compute = json.loads(body)["compute"] if status == httpx.codes.OK else {}
        granted, spent = compute.get("budget_granted_gflops", 0.0), compute.get("spent_gflops", 0.0)
        return Answered(ended_s, ended_s - began_s, status, granted, spent, len(compute.get("steps", ())))

    async def begin(self) -> asyncio.StreamWriter:
        """An upload whose body never comes: it holds its place until the connection is closed."""
        _, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(self._head("", expect=False) + self.video[:1])
        await writer.drain()
        return writer

    async def _exchange(self, query: str) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(self._head(query, expect=True))
            status, _ = await _answer_head(reader)
            if status == httpx.codes.CONTINUE:
                writer.write(self.video)
                status, length = await _answer_head(reader)
                return status, await reader.readexactly(length)
            return status, b""
        finally:
            writer.close()

    def _head(self, query: str, *, expect: bool) -> bytes:
        return (
            f"POST /v1/recognitions{query} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: video/mp4\r\n"
            f"Content-Length: {len(self.video)}\r\n{'Expect: 100-continue' if expect else 'Accept: */*'}\r\n\r\n"
        ).encode()


async def _answer_head(reader: asyncio.StreamReader) -> tuple[int, int]:
    """(status, length of the body)."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    lengths = [int(line.partition(":")[2]) for line in lines if line.startswith("content-length:")]
    return int(lines[0].split()[1]), lengths[0] if lengths else 0


async def closed_loop(asker: Asker, num_clients: int, seconds: float, query: str) -> float:
    """Answers a second of clients that ask again as soon as they have their answer."""
    until_s = time.perf_counter() + seconds

    async def client() -> int:
        num = 0
        while time.perf_counter() < until_s:
            num += (await asker.ask(query)).status == httpx.codes.OK
        return num

    began_s = time.perf_counter()
    return sum(await asyncio.gather(*(client() for _ in range(num_clients)))) / (time.perf_counter() - began_s)


async def open_loop(asker: Asker, per_s: float, seconds: float, rng: random.Random) -> tuple[list[Answered], float]:
    """Requests at random times, `per_s` in the mean, and when the first one was due."""
    began_s = due_s = time.perf_counter()
    asking = []
    while (due_s := due_s + rng.expovariate(per_s)) < began_s + seconds:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        asking.append(asyncio.create_task(asker.ask()))
    return await asyncio.gather(*asking), began_s


def cpu_seconds(process: psutil.Process) -> float:
    """So far, of the service and its children, those that ended among them."""
    mine = process.cpu_times()
    ended_s: float = mine.children_user + mine.children_system
    times = [mine, *(child.cpu_times() for child in process.children())]
    return ended_s + sum(one.user + one.system for one in times)


def add_clip_options(parser: argparse.ArgumentParser, *, seconds: float, fps: int, size: tuple[int, int]) -> None:
    parser.add_argument("--clip-s", type=float, default=seconds, help="length of the video that is posted")
    parser.add_argument("--fps", type=int, default=fps)
    parser.add_argument("--size", type=int, nargs=2, default=size, metavar=("WIDTH", "HEIGHT"))


def clip_of(given: argparse.Namespace) -> bytes:
    """The video that these options describe: noise, a keyframe a second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_clip(path, seconds=given.clip_s, fps=given.fps, size=tuple(given.size), gop=given.fps, pattern=noise)
        return path.read_bytes()
