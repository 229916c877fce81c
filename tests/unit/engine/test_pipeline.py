"""The pipeline while frames are awaited: what a client leaves behind that goes at the worst moment.

The engine and the decoder are played by the test, since it decides which of two things happens first.
"""

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fovea.errors import Draining, FoveaError
from models.recognizer import Shared
from service.engine.admission import Admission, Ticket
from service.engine.budget import Offer
from service.engine.gate import Gate
from service.engine.lanes import ANYBODY
from service.engine.pipeline import Decoded, Lanes, Pipeline
from service.engine.request import FramesNeeded, Request
from service.metrics import Metrics
from tests.unit.engine.making import CAMERAS, COSTS, CUBE, GLANCE, UPLOADS, a_clip, a_plan, a_step
from video.children.pace import Estimate
from video.clip import Clip, ClipRule, DecodePrice
from video.rate import Rate

ESTIMATE = Estimate(5.0, DecodePrice(100, 10**9))


@dataclass
class ByHand:
    """An engine and a decoder that do nothing by themselves."""

    requests: list[Request] = field(default_factory=list)
    came: list[Request] = field(default_factory=list)
    decodes: int = 0
    is_found_costly: asyncio.Event = field(default_factory=asyncio.Event)

    def submit(self, request: Request) -> None:
        self.requests.append(request)

    def frames_came(self, request: Request, failure: FoveaError | None = None) -> None:
        self.came.append(request)

    async def decode(self, path: Path, rule: ClipRule, look: Any, *, on_costly: Any, on_scan: Any) -> Clip:
        self.decodes += 1
        await self.is_found_costly.wait()
        on_costly(ESTIMATE)
        return await asyncio.get_running_loop().create_future()  # for ever


class Bench:
    def __init__(self) -> None:
        self.hand = ByHand()
        self.admission = Admission(
            max_places=4,
            max_requests=4,
            max_flops=10**6,
            max_costly_decode_s=60.0,
            num_decoders=2,
            decode_rate=Rate(),
            flop_rate=Rate(),
        )
        rule = ClipRule(num_frames=2, height_px=4, width_px=4, resize="stretch")
        hand: Any = self.hand
        self.pipeline = Pipeline(
            offers=[Offer("m", "sha256:0", "t", ("a", "b"), True, rule, COSTS, 100, (), glance_indices=(0,))],
            engine=hand,
            lanes=Lanes(UPLOADS, CAMERAS, CAMERAS),
            sandbox=hand,
            admission=self.admission,
            gate=Gate(2),
            metrics=Metrics(),
        )
        self.ticket: Ticket = self.pipeline.admit(a_plan(), ANYBODY)
        begun = replace(a_clip(), absent=frozenset({1}))
        decoded = Decoded(a_plan(), self.ticket, Path("video.mp4"), begun, 0.0, 0.0, 0.0, UPLOADS)
        self.events = self.pipeline.run(decoded)

    async def listen(self) -> "asyncio.Task[Any]":
        """Somebody waits for the first event; the request is in the engine."""
        listening = asyncio.ensure_future(anext(self.events))
        await asyncio.sleep(0)
        return listening


async def test_frames_that_are_asked_for_once_the_client_has_left_are_not_decoded() -> None:
    bench = Bench()
    listening = await bench.listen()
    (request,) = bench.hand.requests
    listening.cancel()
    request.emit(FramesNeeded((1,), ()))  # the engine had looked whether it is cancelled a moment before
    with pytest.raises(asyncio.CancelledError):
        await listening
    await asyncio.sleep(0.01)
    assert bench.hand.decodes == 0
    assert bench.hand.came == [request], "it waits for nothing any more, and leaves at once"


async def test_a_video_that_is_found_costly_as_its_request_ends_is_not_counted_for_ever() -> None:
    bench = Bench()
    listening = await bench.listen()
    (request,) = bench.hand.requests
    request.emit(FramesNeeded((1,), ()))
    await asyncio.sleep(0.01)
    assert bench.hand.decodes == 1
    request.emit(Draining.cut_off("video"))  # closes the ticket
    bench.hand.is_found_costly.set()  # and only then the decoder tells what it costs
    with pytest.raises(Draining):
        await listening
    await asyncio.sleep(0.01)
    assert bench.admission.costly_s == {}
    assert (bench.admission.places, bench.admission.requests) == (0, 0)
    assert bench.admission.shares.of(ANYBODY).costly == 0


async def test_a_step_of_a_look_that_was_broken_off_is_charged_all_the_same() -> None:
    bench, spent = Bench(), list[int]()
    looking = asyncio.ensure_future(bench.pipeline.look(a_plan(), a_clip(), Shared((0, 1), {}), on_spend=spent.append))
    await asyncio.sleep(0)
    (request,) = bench.hand.requests
    request.emit(a_step(0, GLANCE))
    await asyncio.sleep(0.01)
    assert spent == [GLANCE]
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    request.emit(a_step(1, CUBE))  # it was on the device
    await asyncio.sleep(0.01)
    assert spent == [GLANCE, CUBE]
