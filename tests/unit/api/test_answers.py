"""Nouns as JSON: labels in order, cubes on the source frame, never NaN."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fovea.answers import Box, Prediction, StepTaken
from models.label_texts import LabelText
from models.recognizer import Cube
from service.api.recognitions.answers import cube_place, predictions, step_event
from service.engine.budget import Offer
from service.engine.request import Step
from service.engine.verdict import Terms
from tests.unit.engine.making import a_plan
from tests.unit.engine.test_budget import an_offer
from video.clip import Clip, VideoInfo

INFO = VideoInfo(2.0, 640, 480, "h264", 4, 4)


def a_clip(*views: tuple[float, float, float, float], height: int = 100, width: int = 200) -> Clip:
    count = len(views)
    frames_THWC = np.zeros((count, height, width, 3), np.uint8)
    return Clip(frames_THWC, tuple(number / 2 for number in range(count)), np.float32(views), INFO)


def an_offer_of(*labels: str, **texts: LabelText) -> Offer:
    return replace(an_offer("m"), labels=labels, label_texts=texts)


def a_box(x: float, y: float, w: float, h: float) -> Box:
    return Box(x=x, y=y, w=w, h=h)


def test_a_cube_of_a_stretched_clip_lies_where_its_pixels_lie() -> None:
    place = cube_place(Cube(t=1, y=10, x=50, num_frames=2, height_px=50, width_px=100), a_clip(*[(0, 0, 1, 1)] * 4))
    assert place.box == a_box(0.25, 0.1, 0.5, 0.5)
    assert place.pts_s == (0.5, 1.0)


def test_a_cube_of_a_centre_crop_is_mapped_into_the_middle() -> None:
    place = cube_place(Cube(0, 0, 0, 1, 100, 200), a_clip((0.25, 0, 0.5, 1)))
    assert place.box == a_box(0.25, 0, 0.5, 1)


def test_what_lies_in_a_letterbox_bar_is_cut_off() -> None:
    bars = (0.0, -0.5, 1.0, 2.0)  # the source fills the middle half of the clip's height
    assert cube_place(Cube(0, 0, 0, 1, 50, 200), a_clip(bars)).box == a_box(0, 0, 1, 0.5)
    assert cube_place(Cube(0, 0, 0, 1, 25, 200), a_clip(bars)).box == a_box(0, 0, 1, 0)


def test_where_frames_show_different_regions_the_box_holds_them_all() -> None:
    place = cube_place(Cube(0, 0, 0, 2, 100, 100), a_clip((0, 0, 1, 1), (0.5, 0, 0.5, 1)))
    assert place.box == a_box(0, 0, 0.75, 1)


sides = st.floats(-2, 2, allow_nan=False, width=32)


@given(
    views=st.lists(
        st.tuples(sides, sides, st.floats(0.125, 3, width=32), st.floats(0.125, 3, width=32)), min_size=1, max_size=4
    ),
    y=st.integers(0, 99),
    x=st.integers(0, 199),
)
def test_a_box_never_leaves_the_source_frame(views: list[tuple[float, float, float, float]], y: int, x: int) -> None:
    box = cube_place(Cube(0, y, x, len(views), 100 - y, 200 - x), a_clip(*views)).box
    assert 0 <= box.x <= box.x + box.w <= 1 + 1e-6
    assert 0 <= box.y <= box.y + box.h <= 1 + 1e-6


def test_labels_come_likeliest_first_and_equals_in_the_list_s_order() -> None:
    found = predictions(np.float32([0.25, 0.5, 0.25]), an_offer_of("a", "b", "c"), 5)
    assert [(one.label, one.score) for one in found] == [("b", 0.5), ("a", 0.25), ("c", 0.25)]


def test_top_k_bounds_the_labels() -> None:
    assert len(predictions(np.float32([0.25, 0.5, 0.25]), an_offer_of("a", "b", "c"), 2)) == 2


def test_a_label_keeps_its_name_for_people_beside_it_and_one_without_has_none() -> None:
    offer = an_offer_of("ut_hug", "ut_kick", ut_hug=LabelText("Hug", "Two people hug."))
    hug, kick = predictions(np.float32([0.75, 0.25]), offer, 2)
    assert (hug.label, hug.display_name, hug.name) == ("ut_hug", "Hug", "Hug")
    assert (kick.label, kick.display_name, kick.name) == ("ut_kick", None, "ut_kick")
    assert "display_name" not in kick.model_dump_json()


def test_nan_never_becomes_json() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Prediction(label="a", score=float("nan"))


def test_a_glance_has_no_cube_member() -> None:
    step = StepTaken(step=0, kind="glance", gflops=1, entropy_nats=1, top=Prediction(label="a", score=1))
    assert "cube" not in step.model_dump_json()


def test_a_step_tells_no_label_that_was_not_asked_for() -> None:
    plan = replace(a_plan(), terms=Terms(only=("b",), min_score=0.9))
    step = Step(0, 100, 0.5, np.float32([0.8, 0.2]), None)
    event = step_event(step, 100, a_clip((0, 0, 1, 1)), an_offer("m"), plan)
    assert event.top == Prediction(label="b", score=0.2), "a step has a likeliest label, however unlikely"
    assert event.predictions == []
