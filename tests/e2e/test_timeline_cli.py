"""`fovea timeline`, asking a service."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from cli.main import cli
from fovea.errors import FoveaError
from tests.clips import solid, write_clip
from tests.serving import Served, serving

RED, BLUE = solid(230, 20, 20), solid(20, 20, 230)


@pytest.fixture(scope="module")
def asked() -> Iterator[Served]:
    with serving() as service:
        yield service


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red for ten seconds, then blue for ten."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return write_clip(
        path,
        seconds=20,
        fps=10,
        gop=10,
        size=(160, 128),
        pattern=lambda number, width, height: (RED if number < 100 else BLUE)(number, width, height),
    )


def timeline(asked: Served, film: Path, *arguments: object) -> Result:
    """In this process: starting one for each would take longer than all the rest."""
    command = ["timeline", str(film), "--window-s", "2", "--server", asked.url, *map(str, arguments)]
    return CliRunner().invoke(cli, command)


def test_a_bar_for_each_label_lies_where_it_was_seen(asked: Served, film: Path) -> None:
    done = timeline(asked, film)
    assert done.exit_code == 0, done.output
    red, blue = (next(line for line in done.stdout.splitlines() if line.startswith(label)) for label in ("red", "blue"))
    assert red.index("█") < blue.index("█")
    assert red.rindex("█") < blue.index("█") + 3
    assert "complete after 0:20.0" in done.stdout
    assert "tiny is untrained" in done.stdout


def test_json_is_the_answer_of_the_service(asked: Served, film: Path) -> None:
    done = timeline(asked, film, "--json", "--min-score", "0.5", "--no-merge", "--stride-s", "2")
    answer = json.loads(done.stdout)
    assert (answer["min_score"], answer["stride_s"], len(answer["segments"])) == (0.5, 2.0, 10)


def test_subtitles_show_a_label_while_it_lasts(asked: Served, film: Path) -> None:
    blocks = timeline(asked, film, "--srt").stdout.strip().split("\n\n")
    assert [block.split("\n")[0] for block in blocks] == ["1", "2"]
    assert blocks[0].split("\n")[1].startswith("00:00:00,000 --> 00:00:1")
    assert blocks[0].split("\n")[2].startswith("red ")
    assert blocks[1].split("\n")[1].endswith(" --> 00:00:20,000")


def test_csv_has_a_line_a_segment(asked: Served, film: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(timeline(asked, film, "--csv").stdout)))
    assert [row["label"] for row in rows] == ["red", "blue"]
    assert float(rows[1]["end_s"]) == 20.0
    assert float(rows[0]["score"]) > 0.9


def test_the_answer_is_drawn_into_the_video_and_as_a_sheet(asked: Served, tmp_path: Path) -> None:
    film = write_clip(tmp_path / "short.mp4", seconds=4, fps=5, gop=5, size=(160, 128), pattern=RED)
    assert timeline(asked, film, "--render", tmp_path / "out.mp4").exit_code == 0
    with av.open(str(tmp_path / "out.mp4")) as drawn:
        frames = [frame.to_ndarray(format="rgb24") for frame in drawn.decode(video=0)]
    assert len(frames) == 20
    assert frames[0].shape[0] / frames[0].shape[1] > 128 / 160
    assert timeline(asked, film, "--render", tmp_path / "out.png").exit_code == 0
    with Image.open(tmp_path / "out.png") as sheet:
        assert sheet.width > 4 * 320


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--srt", "--csv"), "three forms of one answer"),
        (("--render", "nowhere.gif"), "write a video (.mp4) or a contact sheet (.png)"),
        (("--stride-s", "0"), "stride_s='0.0': must be a number of seconds above 0"),
    ],
)
def test_what_cannot_be_is_a_sentence(asked: Served, film: Path, arguments: tuple[str, ...], why: str) -> None:
    done = timeline(asked, film, *arguments)
    assert isinstance(done.exception, FoveaError | ValueError)
    assert why in str(done.exception)
