"""The pipeline while frames are awaited: what a client leaves behind that goes at the worst moment.

The engine and the decoder are played by the test, since it decides which of two things happens first.
"""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fovea.errors import Draining, FoveaError, InferenceFailed, RequestCancelled, VideoUnreadable
from fovea.words import ExitReason
from models.recognizer import Shared
from service.engine.admission import Admission, Ticket
from service.engine.budget import Offer
from service.engine.decoded import Decoded
from service.engine.decoding import Decoding
from service.engine.gate import Gate
from service.engine.lanes import ANYBODY, Lane, Lanes
from service.engine.pipeline import Pipeline
from service.engine.request import FramesNeeded, Plan, Recognition, Request
from service.engine.telling import Telling
from service.metrics import Metrics
from service.tracing.tracing import Untraced
from tests.unit.engine.making import CAMERAS, COSTS, CUBE, GLANCE, UPLOADS, a_clip, a_plan, a_step
from video.children.pace import Estimate
from video.clip import Clip, ClipRule, DecodePrice, FirstLook
from video.rate import Rate

STEP_INDICES = ((0,), (1,), (1,), (1,))
ESTIMATE = Estimate(5.0, DecodePrice(100, 10**9))


@dataclass
class ByHand:
    """An engine and a decoder that do nothing by themselves."""

    requests: list[Request] = field(default_factory=list)
    came: list[Request] = field(default_factory=list)
    expected: list[Lane] = field(default_factory=list)
    looks: list[Any] = field(default_factory=list)
    clip: Clip | None = None  # what is decoded at once; None: nothing ever is
    failure: FoveaError | None = None  # of whatever is decoded
    is_found_costly: asyncio.Event = field(default_factory=asyncio.Event)
    decode_rate: Rate = field(default_factory=Rate)

    def expect(self, lane: Lane, within_s: float) -> None:
        self.expected.append(lane)

    def submit(self, request: Request) -> None:
        self.requests.append(request)

    def frames_came(self, request: Request, failure: FoveaError | None = None) -> None:
        self.came.append(request)

    async def decode(
        self, path: Path, rule: ClipRule, look: Any, *, on_costly: Any, on_scan: Any, early: Any = None
    ) -> Clip:
        self.looks.append(look)
        if self.failure is not None:
            raise self.failure
        if self.clip is not None:
            return self.clip
        await self.is_found_costly.wait()
        on_costly(ESTIMATE)
        return await asyncio.get_running_loop().create_future()  # for ever


class Bench:
    def __init__(self, asked_tolerance: float | None = None, *, may_skip: bool = True, **offered: Any) -> None:
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
        telling = Telling(Metrics(), Untraced())
        self.decoding = Decoding(
            hand,
            Gate(2),
            hand,
            UPLOADS,
            telling,
            on_demand=asked_tolerance is not None or bool(offered),
            keyframe_tolerance=asked_tolerance,
            skip_loop_filter=may_skip,
        )
        self.pipeline = Pipeline(
            offers=[
                Offer(
                    "m",
                    "sha256:0",
                    "t",
                    ("a", "b"),
                    True,
                    rule,
                    COSTS,
                    100,
                    (),
                    **{"step_indices": STEP_INDICES, "glance_indices": STEP_INDICES[0]} | offered,
                )
            ],
            engine=hand,
            lanes=Lanes(UPLOADS, CAMERAS, CAMERAS),
            admission=self.admission,
            decoding=self.decoding,
            telling=telling,
        )
        self.ticket: Ticket = self.pipeline.admit(a_plan(), ANYBODY)
        self.begun = replace(a_clip(), absent=frozenset({1}))
        decoded = Decoded(a_plan(), self.ticket, Path("video.mp4"), self.begun, 0.0, 0.0, 0.0, UPLOADS)
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
    assert bench.hand.looks == []
    assert bench.hand.came == [request], "it waits for nothing any more, and leaves at once"


async def test_a_video_that_is_found_costly_as_its_request_ends_is_not_counted_for_ever() -> None:
    bench = Bench()
    listening = await bench.listen()
    (request,) = bench.hand.requests
    request.emit(FramesNeeded((1,), ()))
    await asyncio.sleep(0.01)
    assert len(bench.hand.looks) == 1
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


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage collector comes by: what goes, goes because nobody holds it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def a_look_begins(bench: Bench) -> "tuple[asyncio.Task[Any], weakref.ref[Any]]":
    """And what shows whether its frames are still in memory. Its request is with the engine."""
    clip = a_clip()
    looking = asyncio.ensure_future(bench.pipeline.look(a_plan(), clip, Shared((0, 1), {})))
    await asyncio.sleep(0)
    return looking, weakref.ref(clip.frames_THWC)


@pytest.mark.usefixtures("uncollected")
async def test_frames_are_freed_with_the_answer_and_do_not_wait_for_the_garbage_collector() -> None:
    bench = Bench()
    looking, frames = await a_look_begins(bench)
    request = bench.hand.requests.pop()
    request.steps.append(a_step(0, GLANCE))
    request.emit(request.steps[0])
    request.emit(ExitReason.CONFIDENT)
    del request
    await looking
    assert frames() is not None, "they are the answer's"
    del looking
    await asyncio.sleep(0.01)  # the loop lets go of the task
    assert frames() is None


@pytest.mark.usefixtures("uncollected")
async def test_frames_of_a_look_that_was_broken_off_are_freed_once_the_engine_is_done_with_it() -> None:
    bench = Bench()
    looking, frames = await a_look_begins(bench)
    request = bench.hand.requests.pop()
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking
    del looking
    request.emit(RequestCancelled.before_answer())
    assert frames() is not None
    del request
    await asyncio.sleep(0.01)
    assert frames() is None


@pytest.mark.usefixtures("uncollected")
async def test_frames_of_a_look_that_failed_are_freed_with_its_error() -> None:
    bench = Bench()
    looking, frames = await a_look_begins(bench)
    bench.hand.requests.pop().emit(InferenceFailed("the glance failed"))
    with pytest.raises(InferenceFailed):
        await looking
    del looking
    await asyncio.sleep(0.01)
    assert frames() is None


@pytest.mark.usefixtures("uncollected")
async def test_frames_of_a_video_of_which_no_more_could_be_decoded_are_freed_with_its_answer() -> None:
    bench = Bench()
    bench.hand.failure = VideoUnreadable("no frame came out of it")
    frames = weakref.ref(bench.begun.frames_THWC)
    del bench.begun
    listening = await bench.listen()
    request = bench.hand.requests.pop()
    request.steps.append(a_step(0, GLANCE))
    request.emit(request.steps[0])
    await listening
    request.emit(FramesNeeded((1,), ()))
    await asyncio.sleep(0.01)
    assert bench.hand.came.pop() is request
    request.emit(ExitReason.UNDECODED)
    del request
    recognition = await anext(bench.events)
    assert isinstance(recognition, Recognition)
    assert recognition.failure is bench.hand.failure
    assert frames() is not None, "they are the answer's"
    await bench.events.aclose()
    bench.hand.failure = None
    bench.hand.came.clear()
    del bench.events, listening, recognition
    await asyncio.sleep(0.01)
    assert frames() is None


async def the_look(plan: Plan, asked_tolerance: float | None, **offered: Any) -> FirstLook:
    bench = Bench(asked_tolerance, **offered)
    bench.hand.clip = a_clip()
    with bench.pipeline.admit(plan) as ticket:
        await bench.pipeline.decode(Path("video.mp4"), plan, ticket)
    (look,) = bench.hand.looks
    assert isinstance(look, FirstLook)
    return look


async def test_only_frames_that_the_steps_of_a_plan_look_at_are_ever_decoded() -> None:
    every_step, glance_alone = a_plan(thresholds=(0.5,) * 3), a_plan(ceiling=GLANCE)
    assert await the_look(every_step, 0.3) == FirstLook((0,), 0.3, (1,))
    assert await the_look(every_step, None) == FirstLook((0, 1), 0.0, ()), "on demand or not"
    assert await the_look(a_plan(), 0.3) == FirstLook((0, 1), 0.0, ()), "every video goes on: at once"
    for tolerance in (0.3, 0.0, None):
        assert await the_look(glance_alone, tolerance) == FirstLook((0,), tolerance or 0.0, ())
    assert await the_look(replace(every_step, max_entropy_nats=0.5), 0.3) == FirstLook((0,), 0.3, ())


async def test_keyframes_stand_in_for_good_as_far_as_a_model_was_trained_to_bear_them() -> None:
    every_step, bears = a_plan(thresholds=(0.5,) * 3), {"keyframe_tolerance": 0.6}
    assert await the_look(every_step, None, **bears) == FirstLook((0,), 0.6, (1,), keyframes_stay=True)
    assert await the_look(a_plan(), None, **bears) == FirstLook((0,), 0.6, (1,), True), "though every video goes on"
    assert await the_look(every_step, 0.3, **bears) == FirstLook((0,), 0.3, (1,), keyframes_stay=True)
    assert await the_look(every_step, 0.7, **bears) == FirstLook((0,), 0.7, (1,)), "cubes look at exact frames"
    assert await the_look(every_step, 0.0, **bears) == FirstLook((0,), 0.0, (1,))
    assert await the_look(every_step, None, keyframe_tolerance=0.0) == FirstLook((0,), 0.0, (1,)), "it says nothing"


async def test_a_glance_in_two_parts_is_decoded_at_once_whatever_the_plan_can_take() -> None:
    parts = {"step_indices": ((1, 5), (3, 7), (1, 3), (5, 7)), "glance_indices": (1, 3, 5, 7)}
    every_step, first_alone = a_plan(thresholds=(0.5,) * 3), a_plan(ceiling=GLANCE)
    assert await the_look(every_step, 0.0, **parts) == FirstLook((1, 3, 5, 7), 0.0, (1, 3, 5, 7))
    assert await the_look(first_alone, 0.0, **parts) == FirstLook((1, 3, 5, 7), 0.0, ())
    bears = parts | {"keyframe_tolerance": 0.6}
    assert await the_look(every_step, None, **bears) == FirstLook((1, 3, 5, 7), 0.6, (1, 3, 5, 7), True)
    assert await the_look(first_alone, None, **bears) == FirstLook((1, 3, 5, 7), 0.6, (), True)


async def test_the_loop_filter_is_left_out_where_the_model_bears_it_and_no_frame_is_for_people_to_see() -> None:
    plan, bears = a_plan(thresholds=(0.5,) * 3), {"skip_loop_filter": True}
    assert await the_look(plan, 0.0, **bears) == FirstLook((0,), 0.0, (1,), skip_loop_filter=True)
    assert await the_look(a_plan(), 0.0, **bears) == FirstLook((0, 1), 0.0, (), skip_loop_filter=True)
    assert await the_look(plan, 0.0) == FirstLook((0,), 0.0, (1,)), "the model does not"
    assert await the_look(replace(plan, picture=True), 0.0, **bears) == FirstLook((0,), 0.0, (1,))
    assert await the_look(plan, 0.0, may_skip=False, **bears) == FirstLook((0,), 0.0, (1,)), "the setting"


async def test_a_clip_that_lacks_only_what_no_step_looks_at_gives_its_place_back() -> None:
    bench, plan = Bench(0.0), a_plan(ceiling=GLANCE)
    bench.ticket.close()
    bench.hand.clip = replace(a_clip(), absent=frozenset({1}))
    with bench.pipeline.admit(plan) as ticket:
        await bench.pipeline.decode(Path("video.mp4"), plan, ticket)
        assert bench.admission.places == 0
    with bench.pipeline.admit(a_plan(thresholds=(0.5,) * 3)) as ticket:
        await bench.pipeline.decode(Path("video.mp4"), a_plan(thresholds=(0.5,) * 3), ticket)
        assert bench.admission.places == 1, "frame 1 may be wanted yet"


async def test_the_device_is_not_kept_for_the_picture_of_an_answer_that_is_held() -> None:
    bench = Bench()
    bench.hand.clip = a_clip()
    await bench.pipeline.decode(Path("video.mp4"), a_plan(), bench.ticket)
    assert len(bench.hand.expected) == 1
    await bench.decoding.picture_alone(Path("video.mp4"), bench.pipeline.offer("m"), bench.ticket)
    assert len(bench.hand.expected) == 1


async def test_what_is_decoded_early_for_another_plan_is_given_up() -> None:
    bench, given_up = Bench(), list[bool]()
    offer, look = bench.pipeline.offer("m"), FirstLook((0,), 0.0, ())
    early: Any = SimpleNamespace(rule=offer.clip_rule, look=look, close=lambda: given_up.append(True))
    assert await bench.decoding.early_frames(early, offer, replace(look, indices=(1,))) is None
    assert given_up == [True]
