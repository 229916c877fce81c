"""Windows are looked at one at a time, the latest first; what is left out is counted. A real engine, a tiny model."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.open_set import OpenSetScore
from service.keys.file import change_keys
from service.keys.quota import Meter
from service.keys.ring import KeyRing
from service.keys.spending import Accounts
from service.keys.usage import Usage
from service.ledger.base import BEFORE_ALL, Book
from service.metrics import Metrics
from service.settings import Settings
from service.streams import records
from service.streams.attention import Sight
from service.streams.look import Look
from service.streams.pool import Pool
from service.streams.status import Result
from service.streams.windows import Window
from service.wiring.recognising import open_pipeline
from tests.keys import key_file
from tests.tiny import COSTS, Gate, TinyRecognizer, knows_red, tiny_model
from video.camera.live import Picture

from .making import SOURCE, STREAM, TOKEN, a_book, a_journal, a_subscription, until

FULL = sum(COSTS)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def a_window(number: int, colour: tuple[int, int, int] = RED) -> Window:
    frame_HWC = np.full((32, 32, 3), colour, np.uint8)
    pictures = tuple(
        Picture(frame_HWC, np.float32([0, 0, 1, 1]), (number + index) / 4, 0.0, 640, 360) for index in range(4)
    )
    return Window(pictures, tuple(range(number, number + 4)), number / 4, number / 4 + 1, False, "all")


@dataclass
class Looking:
    look: Look
    book: Book
    sights: list[Sight]
    metrics: Metrics

    async def results(self, wanted: int) -> list[Result]:
        after, results = BEFORE_ALL, list[Result]()
        while len(results) < wanted:
            for event in await self.book.events(STREAM, after, wait_s=30):
                after, told = event.id, records.told_by(event)
                results += [told] if isinstance(told, Result) else []
        return results

    def dropped(self, reason: str) -> float:
        return self.metrics.registry.get_sample_value("fovea_stream_windows_dropped_total", {"reason": reason}) or 0.0


@asynccontextmanager
async def looking(
    recognizer: TinyRecognizer | None = None,
    *,
    flops_per_s: float | None = None,
    open_set: OpenSetScore | None = None,
    ring: KeyRing | None = None,
    **subscription: Any,
) -> AsyncIterator[Looking]:
    metrics, book, sights = Metrics(), await a_book(), []
    settings = Settings(decode_children=1)

    async def attend(sight: Sight) -> None:
        sights.append(sight)

    async with open_pipeline(settings, metrics, lambda _: [tiny_model(recognizer, open_set=open_set)]) as pipeline:
        journal = a_journal(book, metrics)
        await journal.begin_epoch(SOURCE)
        look = Look(
            a_subscription(**subscription),
            pipeline=pipeline,
            pool=Pool(flops_per_s),
            journal=journal,
            metrics=metrics,
            accounts=Accounts(Meter(), Usage(metrics), ring),
        )
        task = asyncio.create_task(look.run(attend))
        try:
            yield Looking(look, book, sights, metrics)
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_a_window_becomes_a_result_with_an_account_of_itself() -> None:
    async with looking() as camera:
        camera.look.offer(a_window(0), "h264")
        (result,) = await camera.results(1)
        assert (result.epoch, result.start_s, result.end_s, result.frames_distinct) == (1, 0.0, 1.0, 4)
        recognition = result.recognition
        assert recognition.likeliest[0].label == "red"
        assert sum(step.flops for step in recognition.steps) == FULL
        assert [step.place is None for step in recognition.steps] == [True, False, False]
        assert (recognition.video.codec, recognition.task) == ("h264", "colours")
        assert len(camera.sights) == 1


async def test_while_one_window_is_looked_at_the_latest_waits_and_the_others_are_counted() -> None:
    gate = Gate("glance")
    async with looking(TinyRecognizer(gate)) as camera:
        camera.look.offer(a_window(0), "h264")
        assert await asyncio.to_thread(gate.reached.wait, 30)
        for number in (1, 2, 3):
            camera.look.offer(a_window(number), "h264")
        gate.open()
        first, last = await camera.results(2)
        assert (first.start_s, last.start_s) == (0.0, 0.75)
        assert first.windows_dropped + last.windows_dropped == camera.dropped("busy") == 2


async def test_a_window_spends_what_the_pool_has_left() -> None:
    async with looking(flops_per_s=120e6) as camera:  # enough for a glance a second, and a bit
        camera.look.offer(a_window(0), "h264")
        await asyncio.sleep(0.1)
        assert camera.dropped("budget") == 1
        await asyncio.sleep(1.0)
        camera.look.offer(a_window(1), "h264")
        (result,) = await camera.results(1)
        assert COSTS[0] <= sum(step.flops for step in result.recognition.steps) < FULL


async def test_on_change_only_another_label_is_told() -> None:
    async with looking(on="change") as camera:
        for number, colour in enumerate((RED, RED, BLUE, BLUE, RED)):
            camera.look.offer(a_window(number, colour), "h264")
            await until(lambda number=number: len(camera.sights) > number)
        told = [one.recognition.likeliest[0].label for one in await camera.results(3)]
        assert told == ["red", "blue", "red"]


async def test_labels_that_are_too_unlikely_are_not_told() -> None:
    async with looking(min_score=0.9) as camera:
        camera.look.offer(a_window(0), "h264")
        (result,) = await camera.results(1)
        assert [scored.label for scored in result.recognition.likeliest] == ["red"]


async def test_what_the_model_does_not_know_has_no_label_and_on_change_that_is_a_change() -> None:
    async with looking(on="change", open_set=knows_red()) as camera:
        for number, colour in enumerate((RED, BLUE, BLUE, RED)):
            camera.look.offer(a_window(number, colour), "h264")
            await until(lambda number=number: len(camera.sights) > number)
        told = [one.recognition for one in await camera.results(3)]
        assert [one.label for one in told] == ["red", None, "red"]
        assert [one.reason for one in told] == [None, "not_known", None]
        assert all(one.in_domain is not None for one in told)


async def test_a_subscription_that_shall_not_abstain_has_a_label_for_every_window() -> None:
    async with looking(open_set=knows_red(), abstain=False) as camera:
        camera.look.offer(a_window(0, BLUE), "h264")
        (result,) = await camera.results(1)
        assert (result.recognition.label, result.recognition.reason) == ("blue", None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_window_that_fails_is_left_out_and_the_next_one_is_looked_at() -> None:
    def fail_once(kind: str) -> None:
        if not recognizer.batches[1:]:
            raise RuntimeError("a broken device")

    recognizer = TinyRecognizer(fail_once)
    async with looking(recognizer) as camera:
        camera.look.offer(a_window(0), "h264")
        await until(lambda: camera.dropped("error") > 0)
        camera.look.offer(a_window(1), "h264")
        (result,) = await camera.results(1)
        assert result.windows_dropped == 1


async def test_results_are_dropped_and_counted_while_the_ledger_takes_none() -> None:
    async with looking() as camera:
        await camera.book.give_up(STREAM, TOKEN)
        camera.look.offer(a_window(0), "h264")
        await until(lambda: camera.dropped("unavailable") > 0)
        assert await camera.book.take(STREAM, TOKEN, 1000)
        camera.look.offer(a_window(1), "h264")
        (result,) = await camera.results(1)
        assert result.windows_dropped == 1


async def test_windows_are_charged_to_the_key_that_subscribed_until_its_limit_is_used_up(tmp_path: Path) -> None:
    """Of 0.4 GFLOPs, two windows of 0.18 have room; the third would need as much."""
    key_file(tmp_path / "keys.json", yard={"scopes": ["streams"], "limits": {"gflops_per_day": 0.4}})
    async with looking(ring=KeyRing(tmp_path / "keys.json"), owner="yard") as camera:
        for number in range(2):
            camera.look.offer(a_window(number), "h264")
            await camera.results(number + 1)
        camera.look.offer(a_window(2), "h264")
        await until(lambda: camera.dropped("budget") == 1)
        sample = camera.metrics.registry.get_sample_value
        assert sample("fovea_key_flops_total", {"key": "yard", "model": "tiny"}) == 2 * FULL
        assert sample("fovea_key_requests_total", {"key": "yard", "model": "tiny"}) == 2


async def test_a_camera_stands_still_while_its_key_is_revoked(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key_file(file, yard={"scopes": ["streams"]})
    async with looking(ring=KeyRing(file), owner="yard") as camera:
        change_keys(file, lambda kept: [key.model_copy(update={"revoked": True}) for key in kept])
        camera.look.offer(a_window(0), "h264")
        await until(lambda: camera.dropped("budget") == 1)
        change_keys(file, lambda kept: [key.model_copy(update={"revoked": False}) for key in kept])
        camera.look.offer(a_window(1), "h264")
        assert len(await camera.results(1)) == 1
