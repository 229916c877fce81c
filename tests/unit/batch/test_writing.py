"""Rows to Parquet, JSON lines and CSV: the same rows in each, there whole or not at all."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from fovea.answers import RecognitionAnswer
from fovea.errors import VideoUnreadable
from service.batch.columns import arrow_schema, flat_names
from service.batch.rows import OF_A_REQUEST, answered, failed
from service.batch.writing import ResultError, check_result, write_result
from tests.clips import cached_clip, solid
from tests.serving import serving

ENDINGS = (".parquet", ".jsonl", ".csv")


@pytest.fixture(scope="module")
def answer() -> RecognitionAnswer:
    """Of a real service, with a cube."""
    video = cached_clip("red.mp4", pattern=solid(220, 20, 20), seconds=1.0).read_bytes()
    with serving() as served:
        return RecognitionAnswer.model_validate_json(served.post(video).content)


@pytest.fixture
def rows(answer: RecognitionAnswer) -> list[dict[str, Any]]:
    broken = failed(VideoUnreadable("it breaks off"))
    return [{"source": "a.mp4"} | answered(answer), {"source": 'b, "quoted"\n.mp4'} | broken]


def test_every_field_of_an_answer_is_a_column_but_those_of_a_request_alone(answer: RecognitionAnswer) -> None:
    names = set(arrow_schema().names)
    assert names == {"source", "problem"} | set(RecognitionAnswer.model_fields) - OF_A_REQUEST
    assert "timing_ms" not in answered(answer)


def test_parquet_holds_the_rows_with_their_structure(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    write_result(tmp_path / "r.parquet", rows)
    first, second = pyarrow.parquet.read_table(tmp_path / "r.parquet").to_pylist()
    assert first["source"] == "a.mp4"
    assert first["problem"] is None
    assert first["label"] == rows[0]["label"]
    assert first["predictions"] == [{"display_name": None} | one for one in rows[0]["predictions"]]  # null: no name
    assert first["compute"]["steps"][1]["cube"]["box"] == rows[0]["compute"]["steps"][1]["cube"]["box"]
    assert second["problem"]["type"] == "/problems/video-unreadable"
    assert second["label"] is None


def test_an_empty_result_has_its_columns(tmp_path: Path) -> None:
    for ending in ENDINGS:
        write_result(tmp_path / f"r{ending}", [])
    assert pyarrow.parquet.read_table(tmp_path / "r.parquet").schema.names == arrow_schema().names
    assert (tmp_path / "r.csv").read_text().startswith("source,problem.type")


def test_json_lines_hold_the_rows_as_they_are(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    write_result(tmp_path / "r.jsonl", rows)
    assert [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()] == rows


def test_csv_has_a_column_for_each_value_and_json_for_lists(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    write_result(tmp_path / "r.csv", rows)
    with (tmp_path / "r.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == list(flat_names())
    assert float(first["compute.spent_gflops"]) == rows[0]["compute"]["spent_gflops"]
    assert json.loads(first["predictions"]) == rows[0]["predictions"]
    assert (first["trained"], first["problem.type"], first["exit.detail"]) == ("false", "", "")
    assert second["source"] == rows[1]["source"]
    assert second["problem.detail"] == "it breaks off"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_result_that_is_not_finished_leaves_what_stood_there(
    tmp_path: Path, rows: list[dict[str, Any]], ending: str
) -> None:
    out = tmp_path / f"r{ending}"
    out.write_text("before")

    def breaking() -> Iterator[dict[str, Any]]:
        yield from rows
        raise OSError(28, "No space left on device")

    with pytest.raises(ResultError, match="make room, then the same command goes on"):
        write_result(out, breaking())
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_text() == "before"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("r.xlsx", "ends in none of .parquet, .jsonl, .csv"),
        ("nowhere/r.csv", "is not there; make it first"),
        ("folder.csv", "is a folder"),
    ],
)
def test_a_result_that_cannot_be_is_refused_before_anything_is_done(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ResultError, match=told):
        check_result(tmp_path / name)


def test_without_pyarrow_the_extra_is_named_and_other_endings_work(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\n"
        "from service.batch.writing import *\n"
        "check_result(Path('r.csv')); write_result(Path('r.csv'), [])\n"
        "check_result(Path('r.parquet'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "ResultError: Parquet needs pyarrow" in done.stderr
    assert "pip install 'fovea-server[batch]'" in done.stderr
    assert (tmp_path / "r.csv").exists()
