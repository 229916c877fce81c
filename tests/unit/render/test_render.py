"""An answer drawn into its video: every frame at its time, every cube at its place and time, nothing lost for it.

Shape suffixes: H rows, W columns, C colour channels.
"""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cli.render import check_output, render
from cli.render.drawing import colour_of, fitting, font, verdict
from fovea.answers import (
    Box,
    Compute,
    CubePlace,
    Exit,
    Prediction,
    RecognitionAnswer,
    StepTaken,
    TimingMs,
    Video,
)
from fovea.errors import VideoUnreadable
from fovea.words import AbstainReason, ExitReason
from tests.clips import read_number, solid, write_clip
from video.clip import VideoLimits

LIMITS = VideoLimits(duration_s=60, frame_pixels=4096 * 2160, frames=10_000)
GREY = solid(90, 90, 90)
UPPER_LEFT, LOWER_RIGHT = Box(x=0.1, y=0.1, w=0.3, h=0.4), Box(x=0.6, y=0.5, w=0.3, h=0.4)


def answer(*, width: int = 640, height: int = 360, duration_s: float = 2.0, label: str = "jump") -> RecognitionAnswer:
    """Two cubes: the first early and in the upper left, the second late and in the lower right."""
    places = [None, CubePlace(pts_s=(0.3, 0.5), box=UPPER_LEFT), CubePlace(pts_s=(1.5, 1.5), box=LOWER_RIGHT)]
    steps = [
        StepTaken(
            step=number,
            kind="cube" if cube else "glance",
            gflops=0.2,
            entropy_nats=1.0 - 0.3 * number,
            top=Prediction(label=label, score=0.6),
            cube=cube,
        )
        for number, cube in enumerate(places)
    ]
    return RecognitionAnswer(
        id="rec_1",
        model="some-model",
        bundle="sha256:0",
        task="sports",
        trained=True,
        predictions=[Prediction(label=label, score=0.6), Prediction(label="run", score=0.3)],
        exit=Exit(reason=ExitReason.CONFIDENT, step=2, entropy_nats=0.4),
        compute=Compute(budget_gflops=0.5, max_gflops=None, spent_gflops=0.6, steps=steps),
        video=Video(
            duration_s=duration_s, width=width, height=height, codec="h264", frames_decoded=10, frames_sampled=10
        ),
        timing_ms=TimingMs(upload=0, decode=1, queue=0, inference=1, total=2),
    )


def frames_of(path: Path) -> list[tuple[float, NDArray[np.uint8]]]:
    with av.open(str(path)) as container:
        return [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
            if frame.pts is not None and frame.time_base is not None
        ]


def seen_box(frame_HWC: NDArray[np.uint8], step: int) -> tuple[float, ...] | None:
    """(left, top, right, bottom) of what has the step's colour, as shares of the picture; None where nothing has."""
    colour_C = np.array([int(colour_of(step)[i : i + 2], 16) for i in (1, 3, 5)])
    near_HW = (np.abs(frame_HWC.astype(int) - colour_C) < 40).all(axis=2)
    if near_HW.sum() < 20:
        return None
    rows, columns = np.flatnonzero(near_HW.any(axis=1)), np.flatnonzero(near_HW.any(axis=0))
    height, width = near_HW.shape
    return columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height


def edges(box: Box) -> list[float]:
    return [box.x, box.y, box.x + box.w, box.y + box.h]


def test_a_film_shows_each_cube_at_its_place_and_only_at_its_time(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "in.mp4", pattern=GREY, size=(640, 360), seconds=2.0)
    render(video, answer(), tmp_path / "out.mp4", LIMITS)
    for now_s, frame_HWC in frames_of(tmp_path / "out.mp4"):
        picture_HWC = frame_HWC[:360]
        # ten sampled frames of two seconds: each stands for a tenth of a second to either side
        for step, from_s, to_s, box in ((1, 0.2, 0.6, UPPER_LEFT), (2, 1.4, 1.6, LOWER_RIGHT)):
            seen = seen_box(picture_HWC, step)
            if from_s + 0.01 < now_s < to_s - 0.01:
                assert seen == pytest.approx(edges(box), abs=0.02), now_s
            elif not from_s - 0.01 < now_s < to_s + 0.01:
                assert seen is None, now_s


def test_a_film_has_the_frames_of_the_video_at_their_own_times(tmp_path: Path) -> None:
    times_s = [0.0, 0.1, 0.15, 0.8, 0.85, 1.6]
    video = write_clip(tmp_path / "in.mp4", times_s=times_s, size=(640, 360))
    render(video, answer(), tmp_path / "out.mp4", LIMITS)
    film = frames_of(tmp_path / "out.mp4")
    assert [now_s for now_s, _ in film] == pytest.approx(times_s, abs=0.002)
    assert [read_number(frame_HWC[:360]) for _, frame_HWC in film] == list(range(6))


def test_a_turned_video_is_drawn_upright(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "in.mp4", pattern=GREY, size=(640, 360), rotate_deg=90, seconds=0.4)
    render(video, answer(width=360, height=640, duration_s=0.4), tmp_path / "out.mp4", LIMITS)
    (_, frame_HWC), *_ = frames_of(tmp_path / "out.mp4")
    assert frame_HWC.shape[1] == 480, "a narrow one is enlarged, for the letters' sake"
    assert frame_HWC.shape[0] > 480 * 640 / 360


@pytest.mark.parametrize("predictions", [[], [Prediction(label="jump", score=0.2)]])
def test_an_answer_without_a_label_is_drawn_with_its_reason(tmp_path: Path, predictions: list[Prediction]) -> None:
    video = write_clip(tmp_path / "in.mp4", pattern=GREY, size=(320, 180), seconds=1.0)
    unsure = answer(duration_s=1.0).model_copy(
        update={"predictions": predictions, "reason": AbstainReason.BELOW_MIN_SCORE}
    )
    render(video, unsure, tmp_path / "out.png", LIMITS)
    likeliest = "jump 0.20" if predictions else "nothing"
    assert verdict(unsure) == f"below_min_score: {likeliest}; confident after step 2."


@pytest.mark.parametrize(("size", "drawn_width"), [((65, 49), 480), ((1920, 1080), 1280), ((800, 450), 800)])
def test_a_film_is_wide_enough_to_read_and_no_wider_than_it_need_be(
    tmp_path: Path, size: tuple[int, int], drawn_width: int
) -> None:
    video = write_clip(tmp_path / "in.mkv", pattern=GREY, size=size, seconds=0.2, codec="ffv1", pix_fmt="yuv444p")
    render(video, answer(width=size[0], height=size[1], duration_s=0.2), tmp_path / "out.mp4", LIMITS)
    (_, frame_HWC), *_ = frames_of(tmp_path / "out.mp4")
    assert frame_HWC.shape[1] == drawn_width
    assert frame_HWC.shape[0] % 2 == 0


def test_a_contact_sheet_shows_the_glance_and_both_ends_of_every_cube(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "in.mp4", pattern=GREY, size=(640, 360), seconds=2.0)
    render(video, answer(), tmp_path / "out.png", LIMITS)
    with Image.open(tmp_path / "out.png") as sheet:
        assert sheet.format == "PNG"
        picture_HWC = np.asarray(sheet.convert("RGB"))
    gap, width, height, caption = 8, 320, 180, 26  # four to a row
    tiles = [
        picture_HWC[gap + row * (height + caption + gap) :][:height, gap + column * (width + gap) :][:, :width]
        for row in range(2)
        for column in range(4)
    ]
    assert [seen_box(tile, 1) is not None for tile in tiles] == [False] * 4 + [True, True, False, False]
    assert seen_box(tiles[4], 1) == pytest.approx(edges(UPPER_LEFT), abs=0.02)
    assert seen_box(tiles[6], 2) == pytest.approx(edges(LOWER_RIGHT), abs=0.02)
    assert tiles[7].max() < 30, "the second cube has one frame, and so one tile"


def test_a_sheet_s_frames_are_those_of_the_cube_s_times(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "in.mp4", size=(640, 360), seconds=2.0, fps=10)
    render(video, answer(), tmp_path / "out.png", LIMITS)
    with Image.open(tmp_path / "out.png") as sheet:
        picture_HWC = np.asarray(sheet.convert("RGB"))
    second_row = picture_HWC[8 + 180 + 26 + 8 :][:180]
    numbers = [read_number(second_row[:, 8 + column * 328 :][:, :320]) for column in range(3)]
    assert numbers == [3, 5, 15]


@pytest.mark.parametrize("label", ["x" * 400, "走る" * 50])
def test_a_long_label_is_cut_to_its_room(tmp_path: Path, label: str) -> None:
    assert font(14).getlength(fitting(label, 100, 14)) <= 100
    assert fitting("short", 100, 14) == "short"
    video = write_clip(tmp_path / "in.mp4", pattern=GREY, seconds=0.2)
    render(video, answer(label=label, duration_s=0.2), tmp_path / "out.png", LIMITS)
    assert (tmp_path / "out.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "told"),
    [("out.gif", r"\.mp4.*or a contact sheet"), ("gone/out.mp4", "there is no folder"), ("in.mp4", "the video itself")],
)
def test_an_output_that_cannot_be_is_told_before_anything_is_computed(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "in.mp4").touch()
    with pytest.raises(ValueError, match=told):
        check_output(tmp_path / name, tmp_path / "in.mp4")


def test_a_link_to_the_video_is_the_video(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").touch()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "in.mp4")
    with pytest.raises(ValueError, match="the video itself"):
        check_output(tmp_path / "link.mp4", tmp_path / "in.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".png"])
def test_what_fails_leaves_no_half_file_and_keeps_the_one_before(tmp_path: Path, suffix: str) -> None:
    video = write_clip(tmp_path / "in.mkv", pattern=GREY, seconds=2.0)
    video.write_bytes(video.read_bytes()[:200])
    out = tmp_path / f"out{suffix}"
    out.write_bytes(b"from before")
    with pytest.raises(VideoUnreadable):
        render(video, answer(), out, LIMITS)
    assert out.read_bytes() == b"from before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", out.name]


def test_frames_without_times_are_drawn_at_equal_distances(tmp_path: Path) -> None:
    video = write_clip(tmp_path / "in.avi", codec="mpeg4", fps=10, seconds=1.0, size=(640, 360))
    render(video, answer(duration_s=1.0), tmp_path / "out.mp4", LIMITS)
    times_s = [now_s for now_s, _ in frames_of(tmp_path / "out.mp4")]
    assert np.diff(times_s) == pytest.approx([float(Fraction(1, 10))] * 9, abs=0.002)
