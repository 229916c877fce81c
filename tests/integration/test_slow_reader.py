"""A client that reads its events slowly holds up nobody but itself."""

import asyncio
import time

from service.engine.budget import RecognitionOptions
from service.engine.request import Recognition, Step
from service.metrics import Metrics
from service.settings import Settings
from service.wiring.recognising import open_pipeline
from tests.clips import cached_clip
from tests.tiny import tiny_model


async def test_what_is_computed_is_given_back_and_timed_when_it_happens_not_when_it_is_read() -> None:
    path = cached_clip("slow-reader.mp4", seconds=1.0)
    async with open_pipeline(Settings(decode_children=1), Metrics(), lambda _: [tiny_model()]) as pipeline:
        plan = pipeline.plan(RecognitionOptions())
        with pipeline.admit(plan) as ticket:
            started_s = time.monotonic()
            events = pipeline.recognize(path, plan, ticket)
            assert isinstance(await anext(events), Step)
            async with asyncio.timeout(10):
                while pipeline.admission.requests:  # noqa: ASYNC110  what is waited for happens in the engine's thread
                    await asyncio.sleep(0.005)
            done_s = time.monotonic()
            await asyncio.sleep(0.05)  # the rest lies unread
            *steps, last = [event async for event in events]
    assert len(steps) == 2
    assert isinstance(last, Recognition)
    assert last.timing.total_s <= done_s - started_s, "waiting for the reader is no part of the answer's time"
    assert (pipeline.admission.flops, pipeline.admission.places, pipeline.admission.requests) == (0, 0, 0)
