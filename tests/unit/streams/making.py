"""Small things for the streams' tests: subscriptions and cameras that are scripts, books without a disk."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from fovea.words import Decode, Emit, ErrorClass, ExitReason, StreamState
from service.addresses.policy import AddressPolicy
from service.engine.request import Timing
from service.engine.summary import Place, Scored, StepSummary, Summary
from service.ledger.base import Book
from service.ledger.memory import MemoryLedger
from service.metrics import Metrics
from service.streams import records
from service.streams.address import CameraUrl
from service.streams.ingest import Terms
from service.streams.journal import Journal
from service.streams.status import Result, Source, Status, Trouble
from service.streams.subscription import Subscription
from video.camera.live import Lost, Message, Patience
from video.clip import VideoInfo, VideoLimits

STREAM = "str_01JD3M8Q4Z6X7V9T2S5R1P0N8K"
SECRET = "hunter2"
TOKEN = "rep_1:token"
URL = CameraUrl.parse("rtsp://127.0.0.1:8554/cam")
SOURCE = Source(640, 360, "h264", 1.0)


def a_subscription(**changes: Any) -> Subscription:
    usual: dict[str, Any] = {
        "id": STREAM,
        "url": CameraUrl.parse(f"rtsp://viewer:{SECRET}@192.168.1.20/stream1?channel=1"),
        "model": "tiny",
        "task": "colours",
        "num_frames": 4,
        "budget_flops": 180_000_000,
        "max_flops": None,
        "window_s": 1.0,
        "stride_cells": 1,
        "top_k": 3,
        "min_score": 0.0,
        "on": Emit.RESULT,
        "ttl_s": None,
        "decode": Decode.ALL,
        "transport": "tcp",
        "created_s": 1764036000.123,
    }
    return Subscription(**usual | changes)


def a_status(state: StreamState = StreamState.LIVE, **changes: Any) -> Status:
    usual: dict[str, Any] = {"since_s": 1764036000.5, "trouble": None, "epoch": 3, "mode": "all", "source": SOURCE}
    return Status(state, **usual | changes)


TROUBLE = Trouble(ErrorClass.REFUSED, "nothing listens on port 554", 3, 1764036001.0)


def a_result(**changes: Any) -> Result:
    steps = (
        StepSummary(0, 100, 0.8, Scored("red", 0.6), None),
        StepSummary(1, 50, 0.2, Scored("red", 0.9), Place(0.0, 0.25, 0.1, 0.2, 0.3, 0.4)),
    )
    recognition = Summary(
        id="rec_1",
        model="tiny",
        digest="sha256:0",
        task="colours",
        trained=False,
        scores_calibrated=True,
        likeliest=(Scored("red", 0.9), Scored("blue", 0.1)),
        exit_reason=ExitReason.CONFIDENT,
        budget_flops=180,
        max_flops=None,
        steps=steps,
        video=VideoInfo(1.0, 640, 360, "h264", 4, 4),
        timing=Timing(0.0, 0.0, 0.001, 0.002, 0.003),
    )
    usual: dict[str, Any] = {
        "epoch": 3,
        "start_s": 1.0,
        "end_s": 2.0,
        "partial": False,
        "mode": "all",
        "captured_s": 1764036000.4,
        "frame_age_s": 0.1,
        "frames_distinct": 4,
        "frames_reused": 3,
        "frames_decoded": 1,
        "frames_dropped": 0,
        "windows_dropped": 0,
        "recognition": recognition,
    }
    return Result(**usual | changes)


async def a_book(*, held: bool = True) -> Book:
    """With the subscription in it, held by TOKEN."""
    book = MemoryLedger().book("stream", events_kept=100)
    assert await book.add(records.subscription_record(a_subscription()), 10) == "added"
    if held:
        assert await book.take(STREAM, TOKEN, 1000)
    return book


def a_journal(book: Book, metrics: Metrics | None = None) -> Journal:
    return Journal(STREAM, TOKEN, book, metrics or Metrics(), a_status(StreamState.CONNECTING, epoch=0, source=None))


@dataclass
class Script:
    """A camera's process that says what it is given, one list for each time that it is opened; then it is silent."""

    lives: list[list[Message]]
    modes: list[str] = field(default_factory=list)
    dies: bool = False  # with each loss
    is_alive: bool = True
    ended: int = 0
    is_open: bool = False

    def open(self, source: Any, patience: Any, sampling: Any, mode: str) -> None:
        self.modes.append(mode)
        self.is_open = True
        self.left = self.lives.pop(0) if self.lives else []

    def set_mode(self, mode: str) -> None:
        self.modes.append(mode)

    async def message(self) -> Message:
        await asyncio.sleep(0)
        if not self.left:
            await asyncio.Event().wait()
        message = self.left.pop(0)
        self.is_alive = not (self.dies and isinstance(message, Lost))
        return message

    async def end(self) -> None:
        self.ended += 1
        self.is_open = False


def terms(*allowed: str) -> Terms:
    return Terms(
        policy=AddressPolicy([ip_network(one) for one in allowed]),
        patience=Patience(1, 1, 1),
        limits=VideoLimits(600, 10**7, 10**5),
        backoff_cap_s=0.01,
        auth_retry_s=0.01,
        least_keyframes=1,
        ca_file=None,
        verify=True,
    )


async def until(holds: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait for what happens in the end."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)
