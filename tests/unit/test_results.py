"""Steps that are held: the same to the last bit, for the plan of whoever asks, within their bounds."""

import dataclasses
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.words import ExitReason
from models.recognizer import Cube, Frames, Window
from service.engine.admission import Admission, Ticket
from service.engine.budget import Offer
from service.engine.request import Step
from service.engine.scheduler import exit_reason
from service.metrics import Metrics
from service.results.held import HeldSteps
from service.results.held_video import HeldVideo
from service.results.paused import Paused, PausedVideos
from service.results.results import Results
from tests.unit.engine.making import COSTS, a_clip, a_plan
from video.clip import ClipRule
from video.rate import Rate

CUBE = Cube.around((Window(0, 1, 0, 2, 2), Window(1, 0, 1, 2, 2)))


def steps_of(*entropies_nats: float) -> HeldSteps:
    """An info of the video after each step: one frame more was decoded for it."""
    clip = a_clip()
    steps = [
        Step(at, COSTS[at], nats, np.float32([0.1 + at / 7, 0.9 - at / 7]), CUBE if at else None, 1)
        for at, nats in enumerate(entropies_nats)
    ]
    infos = [replace(clip.info, frames_decoded=at + 1) for at in range(len(steps))]
    return HeldSteps.of(steps, infos, replace(clip, info=infos[-1]), 0.25)


@dataclass(frozen=True)
class AState:
    """As recognizers keep them: the clip's frames, and arrays of their own."""

    clip_THWC: Frames
    features_D: np.ndarray


def paused_at(held: HeldSteps) -> Paused:
    clip = a_clip()
    return Paused(held, AState(clip.frames_THWC, np.zeros(100, np.float32)), clip)


def results(max_bytes: int = 10**6, max_paused_bytes: int = 10**6) -> Results:
    paused = PausedVideos(max_bytes=max_paused_bytes, ttl_s=60.0)
    return Results(max_bytes=max_bytes, ttl_s=60.0, paused=paused, conditions=("1",), metrics=Metrics())


@given(st.lists(st.floats(0, 0.7, allow_nan=False), min_size=1, max_size=4))
def test_what_is_read_back_is_what_was_written_to_the_last_bit(entropies_nats: list[float]) -> None:
    held = steps_of(*entropies_nats)
    read = HeldSteps.of_text(held.text())
    assert read is not None
    assert (read.infos, read.in_domain, read.clip.info) == (held.infos, held.in_domain, held.infos[-1])
    for one, other in zip(read.steps, held.steps, strict=True):
        assert one.probabilities_C.tobytes() == other.probabilities_C.tobytes()
        fields = [field.name for field in dataclasses.fields(Step) if field.name != "probabilities_C"]
        assert [getattr(one, name) for name in fields] == [getattr(other, name) for name in fields]
    assert (read.clip.pts_s, read.clip.frames_THWC.shape) == (held.clip.pts_s, held.clip.frames_THWC.shape)
    assert read.clip.view_TB.tobytes() == held.clip.view_TB.tobytes()


@pytest.mark.parametrize(
    "text", ["", "{}", "null", '{"version":1}', steps_of(0.5).text().replace('"version":1', '"version":2')]
)
def test_what_another_version_wrote_is_not_there(text: str) -> None:
    assert HeldSteps.of_text(text) is None


@given(
    st.lists(st.floats(0, 0.7), min_size=4, max_size=4),
    st.integers(1, 4),
    st.lists(st.floats(-0.1, 0.8), min_size=3, max_size=3),
    st.none() | st.integers(COSTS[0], sum(COSTS)),
)
def test_a_plan_stops_where_a_fresh_run_of_it_would(
    entropies_nats: list[float], num_held: int, thresholds: list[float], ceiling: int | None
) -> None:
    plan = a_plan(thresholds=tuple(thresholds), ceiling=ceiling)
    everything = steps_of(*entropies_nats)
    spent_flops, fresh = 0, None
    for step in everything.steps:
        spent_flops += step.flops
        if (why := exit_reason(plan, step.step, step.entropy_nats, spent_flops, late=False)) is not None:
            fresh = (step.step, why)
            break
    assert fresh is not None
    found = everything.up_to(num_held - 1).exit(plan)
    assert found == (fresh if fresh[0] < num_held else None)


def test_pixels_are_not_held_with_an_answer() -> None:
    held = steps_of(0.5)
    frames_THWC = held.clip.frames_THWC
    assert frames_THWC.strides[:3] == (0, 0, 0)
    assert not frames_THWC.any()


async def test_a_state_is_one_request_s_alone_until_it_is_given_back() -> None:
    held = results()
    held.keep("k", steps_of(0.5), paused_at(steps_of(0.5)))
    found = await held.find("k", a_plan())
    assert found is not None
    assert found.reason is None
    assert await held.find("k", a_plan()) is None, "somebody has it"
    assert found.paused is not None
    held.give_back("k", found.paused)
    assert await held.find("k", a_plan()) is not None


async def test_a_plan_that_stops_at_held_steps_leaves_the_state_to_others() -> None:
    held = results()
    held.keep("k", steps_of(0.5), paused_at(steps_of(0.5)))
    stopped = await held.find("k", a_plan(thresholds=(0.6, -1.0, -1.0)))
    assert stopped is not None
    assert stopped.reason is ExitReason.CONFIDENT
    going_on = await held.find("k", a_plan())
    assert going_on is not None
    assert going_on.paused is not None


async def test_what_load_leaves_of_a_budget_does_not_bound_steps_that_are_paid_for() -> None:
    held = results()
    asked, least = a_plan(thresholds=(-1.0, 0.45, -1.0)), (2.0, 2.0, -1.0)
    granted = replace(a_plan(thresholds=least), asked=asked)
    held.keep("both", steps_of(0.5, 0.4), None)
    found = await held.find("both", granted)
    assert found is not None
    assert (len(found.held.steps), found.plan) == (2, asked)
    held.keep("glance", steps_of(0.5), None)
    found = await held.find("glance", granted)
    assert found is not None
    assert (len(found.held.steps), found.plan) == (1, granted), "what is not paid for is bounded"


async def test_the_answer_that_went_further_stays() -> None:
    held = results()
    held.keep("k", steps_of(0.5, 0.4, 0.3, 0.2), None)
    held.keep("k", steps_of(0.5), None)
    found = await held.find("k", a_plan())
    assert found is not None
    assert len(found.held.steps) == 4


async def test_bytes_are_bounded_and_who_was_not_asked_for_goes_first() -> None:
    size = len(steps_of(0.5).text())
    held = results(max_bytes=2 * size + size // 2)
    plan = a_plan(thresholds=(0.6, -1.0, -1.0))
    for key in "ab":
        held.keep(key, steps_of(0.5), None)
    assert await held.find("a", plan) is not None
    held.keep("c", steps_of(0.5), None)
    assert [await held.find(key, plan) is not None for key in "abc"] == [True, False, True]
    results(max_bytes=size - 1).keep("a", steps_of(0.5), None)  # too large: no error


def test_a_paused_video_weighs_its_arrays_each_once() -> None:
    one = paused_at(steps_of(0.5))
    assert one.num_bytes == one.clip.frames_THWC.nbytes + 400
    videos = PausedVideos(max_bytes=one.num_bytes, ttl_s=60.0)
    videos.keep("a", one)
    videos.keep("b", one)
    assert (videos.take("a"), videos.take("b"), videos.num_bytes) == (None, one, 0)


async def test_each_of_owner_content_bundle_and_conditions_changes_the_key(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_bytes(hashlib.sha256(path.name.encode()).digest())
    rule = ClipRule(num_frames=2, height_px=4, width_px=4, resize="stretch")
    offer = Offer("m", "sha256:0", "t", ("a", "b"), True, rule, COSTS, 100, ())
    held, other = results(), results()
    other._conditions = ("2",)
    keys = [
        await held.key(paths[0], "", offer, 0.0),
        await held.key(paths[1], "", offer, 0.0),
        await held.key(paths[0], "desk", offer, 0.0),
        await held.key(paths[0], "", replace(offer, digest="sha256:1"), 0.0),
        await held.key(paths[0], "", replace(offer, name="n"), 0.0),
        await held.key(paths[0], "", replace(offer, computed_by="openvino bf16"), 0.0),
        await held.key(paths[0], "", offer, 0.6),
        await other.key(paths[0], "", offer, 0.0),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == await held.key(paths[0], "", offer, 0.0)


class TestAVideoThatIsHeld:
    """Under a key of each kind of frames that it may have been seen in."""

    OFFER = Offer("m", "sha256:0", "t", ("a", "b"), True, ClipRule(2, 4, 4, "stretch"), COSTS, 100, ())

    async def look_up(
        self, held: Results, path: Path, ticket: Ticket, *skips: bool, keyframe_tolerance: float = 0.0
    ) -> HeldVideo:
        return await HeldVideo.look_up(
            held,
            path,
            a_plan(),
            self.OFFER,
            ticket,
            keyframe_tolerance=keyframe_tolerance,
            skip_loop_filter=skips,
        )

    async def test_is_found_by_who_would_have_other_frames_and_is_gone_on_with_as_it_was_begun(
        self, video: Path, ticket: Ticket
    ) -> None:
        held = results()
        begun = await self.look_up(held, video, ticket, True)
        assert (begun.found, begun.skip_loop_filter) == (None, True)
        held.keep(begun.key, steps_of(0.1, 0.1, 0.1, 0.1), None)
        wants_a_picture = await self.look_up(held, video, ticket, False, True)
        assert (wants_a_picture.key, wants_a_picture.skip_loop_filter) == (begun.key, True)
        assert wants_a_picture.found is not None

    async def test_is_kept_as_its_own_request_would_have_it_where_nothing_is_held(
        self, video: Path, ticket: Ticket
    ) -> None:
        held = results()
        missed = await self.look_up(held, video, ticket, False, True)
        assert (missed.found, missed.skip_loop_filter) == (None, False)
        assert missed.key == (await self.look_up(held, video, ticket, False)).key
        assert missed.key != (await self.look_up(held, video, ticket, False, keyframe_tolerance=0.5)).key

    async def test_is_given_back_where_its_client_leaves_before_the_run(self, video: Path, ticket: Ticket) -> None:
        held = results()
        begun = await self.look_up(held, video, ticket, False)
        held.keep(begun.key, steps_of(0.5), paused_at(steps_of(0.5)))
        assert (await self.look_up(held, video, ticket, False)).found is not None
        assert (await held.find(begun.key, a_plan())) is None, "it is one request's alone"
        ticket.close()
        assert (await held.find(begun.key, a_plan())) is not None

    @pytest.fixture
    def video(self, tmp_path: Path) -> Path:
        path = tmp_path / "video.mp4"
        path.write_bytes(b"of it the content counts alone")
        return path

    @pytest.fixture
    def ticket(self) -> Ticket:
        admission = Admission(
            max_places=4,
            max_requests=4,
            max_flops=10**6,
            max_costly_decode_s=60.0,
            num_decoders=2,
            decode_rate=Rate(),
            flop_rate=Rate(),
        )
        return admission.admit(100)
