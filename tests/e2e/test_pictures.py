"""`picture=true`: the answer brings a small frame of the video that was posted, and of no other; it is kept nowhere."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fovea
from fovea.errors import DecodeCrashed
from tests.clips import cached_clip, corner_square, solid
from tests.e2e.test_recognitions import events_of
from tests.serving import Served, serving
from tests.tiny import ChoosyRecognizer, tiny_model

PICTURE = "?picture=true"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(models=[tiny_model(), tiny_model(ChoosyRecognizer(), name="choosy")], result_cache_bytes=2**20) as one:
        yield one


def shown(answer: fovea.RecognitionAnswer) -> Image.Image:
    assert answer.picture is not None
    return Image.open(io.BytesIO(answer.picture.jpeg))


def colour(picture: Image.Image) -> list[float]:
    return [float(level) for level in np.asarray(picture).mean(axis=(0, 1))]


def asked(served: Served, video: bytes, **options: object) -> fovea.RecognitionAnswer:
    with fovea.Client(served.url) as client:
        return client.recognize(video, picture=True, **options)


@pytest.mark.parametrize("model", ["tiny", "choosy"])
def test_the_answer_brings_a_jpeg_in_the_shape_of_the_video(served: Served, model: str) -> None:
    clip = cached_clip("corner.mp4", pattern=corner_square, seconds=1.0, size=(320, 180))
    answer = asked(served, clip.read_bytes(), model=model)
    picture, image = answer.picture, shown(answer)
    assert picture is not None
    assert (image.format, image.size) == ("JPEG", (picture.width, picture.height))
    assert image.width / image.height == pytest.approx(16 / 9, rel=0.05)
    assert (picture.box.x, picture.box.y, picture.box.w, picture.box.h) == (0, 0, 1, 1)
    assert 0.4 < picture.pts_s < 0.8, "of the middle"
    levels = np.asarray(image.convert("L"))
    assert levels[round(0.19 * image.height), round(0.37 * image.width)] > 180
    assert levels[round(0.8 * image.height), round(0.8 * image.width)] < 60


def test_nobody_gets_one_who_did_not_ask(served: Served, red_video: bytes) -> None:
    for query in ("", "?picture=false"):
        assert "picture" not in served.post(red_video, query).json()


def test_as_events_the_result_brings_it(served: Served, red_video: bytes) -> None:
    headers = {"Content-Type": "video/mp4", "Accept": "text/event-stream"}
    told = events_of(served.client.post(f"/v1/recognitions{PICTURE}", content=red_video, headers=headers).text)
    assert ["picture" in data for _, _, data in told] == [False, False, False, True]


def test_of_a_held_answer_the_frame_is_decoded_from_what_was_posted_now(served: Served) -> None:
    green = cached_clip("green_twice.mp4", pattern=solid(20, 220, 20), seconds=1.0).read_bytes()
    first, second = (asked(served, green, model="choosy") for _ in range(2))
    assert (first.cached, second.cached, second.compute.spent_gflops) == (False, True, 0)
    assert first.picture == second.picture
    assert colour(shown(second)) == pytest.approx([20, 220, 20], abs=25)


def test_a_frame_that_cannot_be_had_takes_no_held_answer_with_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crashes(*_: object, **__: object) -> None:
        raise DecodeCrashed("the decoder is gone")

    grey = cached_clip("grey_twice.mp4", pattern=solid(120, 120, 120), seconds=1.0).read_bytes()
    asked(served, grey, model="choosy")
    monkeypatch.setattr(served.app.state.pipeline._decoding._sandbox, "decode", crashes)
    answer = asked(served, grey, model="choosy")
    assert (answer.cached, answer.picture) == (True, None)


def test_the_second_of_two_budgets_has_one_too(served: Served) -> None:
    blue = cached_clip("blue_twice.mp4", pattern=solid(20, 20, 220), seconds=1.0).read_bytes()
    asked(served, blue, model="tiny", budget_gflops=0.1)
    further = asked(served, blue, model="tiny", budget_gflops=0.18)
    assert further.compute.resumed_from_step == 0
    assert colour(shown(further)) == pytest.approx([20, 20, 220], abs=25)


def test_several_videos_bring_one_each(served: Served, red_video: bytes, blue_video: bytes) -> None:
    with fovea.Client(served.url) as client:
        red, blue = client.recognize([red_video, blue_video], picture=True)
    assert isinstance(red, fovea.RecognitionAnswer)
    assert isinstance(blue, fovea.RecognitionAnswer)
    assert colour(shown(red))[0] > 150
    assert colour(shown(blue))[2] > 150


@pytest.mark.parametrize(
    ("headers", "option"),
    [({"Prefer": "respond-async"}, "picture"), ({"Idempotency-Key": "a-picture"}, "Idempotency-Key")],
)
def test_what_would_have_to_keep_it_is_refused(
    served: Served, red_video: bytes, headers: dict[str, str], option: str
) -> None:
    answer = served.client.post(
        f"/v1/recognitions{PICTURE}", content=red_video, headers={"Content-Type": "video/mp4", **headers}
    )
    assert (answer.status_code, answer.json()["option"]) == (422, option)
    assert "kept" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/recognitions?picture=perhaps", "/v1/timelines?picture=true"])
def test_another_value_or_another_route_is_refused(served: Served, red_video: bytes, path: str) -> None:
    answer = served.client.post(path, content=red_video, headers={"Content-Type": "video/mp4"})
    assert (answer.status_code, answer.json()["option"]) == (422, "picture")


def test_neither_the_log_nor_the_disk_has_it(
    tmp_path: Path, red_video: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with serving(state_dir=tmp_path / "state", spool_dir=tmp_path, result_cache_bytes=2**20) as one:
        picture = asked(one, red_video).picture
        assert picture is not None
        told = picture.jpeg_base64[:64]
        assert told not in "".join(capfd.readouterr()) + caplog.text
        kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        assert not any(picture.jpeg[:64] in blob or told.encode() in blob for blob in kept)
