"""A run from its sources to its result: killed anywhere, the same command goes on, and every input has one row.

The engine is one that answers at once: what recognises is another noun.
"""

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fovea.errors import InvalidOption
from models.adafocus.shapes import tiny
from service.batch import terms
from service.batch.inputs import Input
from service.batch.journal import Counts, JournalError, Listed
from service.batch.run import Ended, Keep, run_batch
from service.batch.terms import Terms
from service.batch.writing import ResultError
from training.data.synthetic import LABELS
from training.untrained import build_untrained

TERMS = Terms((("model", "auto"),))


class Told:
    def __init__(self) -> None:
        self.lists: list[tuple[Listed, Counts]] = []
        self.rows: list[tuple[str, str | None]] = []

    def listed(self, listed: Listed, before: Counts) -> None:
        self.lists.append((listed, before))

    def row(self, source: str, problem: str | None) -> None:
        self.rows.append((source, problem))


def at_once(terms: Terms, pending: Iterator[tuple[int, Input]], keep: Keep, stop: Callable[[], bool]) -> None:
    for number, one in pending:
        if stop():
            return
        if "bad" in one.source:
            keep(number, one, {"problem": {"type": "x", "title": "x", "detail": "it is bad"}}, False)
        else:
            keep(number, one, {"label": one.source}, True)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    for number in range(30):
        (tmp_path / f"clips/{'bad' if number == 3 else 'clip'}-{number:02}.mp4").touch()
    return tmp_path


def sources_in(out: Path) -> list[str]:
    return [json.loads(line)["source"] for line in out.read_text().splitlines()]


def test_a_run_has_a_row_for_each_input_in_their_order_and_leaves_no_journal(archive: Path) -> None:
    told, out = Told(), archive / "r.jsonl"
    ended = run_batch([str(archive / "clips")], out, TERMS, at_once, told)
    assert ended == Ended(Counts(answered=29, failed=1), complete=True)
    assert sources_in(out) == sorted(str(path) for path in (archive / "clips").iterdir())
    assert told.lists == [(Listed(30, 0), Counts(0, 0))]
    assert [problem for _, problem in told.rows if problem] == ["it is bad"]
    assert sorted(path.name for path in archive.iterdir()) == ["clips", "r.jsonl"]


def test_a_run_that_was_stopped_goes_on_with_what_has_no_row_and_with_new_videos(archive: Path) -> None:
    told, out = Told(), archive / "r.jsonl"
    ended = run_batch([str(archive / "clips")], out, TERMS, at_once, told, stop=lambda: len(told.rows) == 10)
    assert ended == Ended(Counts(answered=9, failed=1), complete=False)
    assert not out.exists()
    (archive / "clips/new.mp4").touch()
    again = Told()
    assert run_batch([str(archive / "clips")], out, TERMS, at_once, again).complete
    assert again.lists == [(Listed(31, 0), Counts(9, 1))]
    assert len(again.rows) == 21
    assert not {source for source, _ in told.rows} & {source for source, _ in again.rows}
    assert set(sources_in(out)) == {str(path) for path in (archive / "clips").iterdir()}


def test_a_result_that_is_complete_is_not_written_over(archive: Path) -> None:
    out = archive / "r.jsonl"
    run_batch([str(archive / "clips")], out, TERMS, at_once, Told())
    with pytest.raises(ResultError, match="is there already, and its run has ended"):
        run_batch([str(archive / "clips")], out, TERMS, at_once, Told())


def test_a_run_goes_on_with_its_own_options_alone(archive: Path) -> None:
    told, out = Told(), archive / "r.jsonl"
    run_batch([str(archive / "clips")], out, TERMS, at_once, told, stop=lambda: len(told.rows) == 5)
    with pytest.raises(JournalError, match="model was auto, now other"):
        run_batch([str(archive / "clips")], out, Terms((("model", "other"),)), at_once, Told())


def test_a_run_goes_on_with_its_own_settings_and_bundles_alone(
    archive: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundles = tmp_path_factory.mktemp("bundles")
    build_untrained(bundles / "small", config=tiny(len(LABELS)), num_clips=4, seed=1)
    monkeypatch.setenv("FOVEA_BUNDLES", str(bundles))
    monkeypatch.setenv("FOVEA_SHIPPED_BUNDLES", "false")
    told, out, clips = Told(), archive / "r.jsonl", [str(archive / "clips")]
    run_batch(clips, out, TERMS, at_once, told, stop=lambda: len(told.rows) == 5)
    with monkeypatch.context() as changed:
        changed.setenv("FOVEA_KEYFRAME_TOLERANCE", "0.6")
        with pytest.raises(JournalError, match=r"FOVEA_KEYFRAME_TOLERANCE was None, now 0\.6.*remove it to begin anew"):
            run_batch(clips, out, TERMS, at_once, Told())
    with monkeypatch.context() as changed:
        changed.setattr(terms, "version", lambda name: "99.0")
        with pytest.raises(JournalError, match=r"fovea-server was .*, now 99\.0"):
            run_batch(clips, out, TERMS, at_once, Told())
    with monkeypatch.context() as changed:
        changed.setenv("FOVEA_JOB_RETENTION_S", "60")  # no row depends on it
        run_batch(clips, out, TERMS, at_once, Told(), stop=lambda: True)
    shutil.rmtree(bundles / "small")
    build_untrained(bundles / "small", config=tiny(len(LABELS)), num_clips=4, seed=2)
    with pytest.raises(JournalError, match="bundle small was sha256:"):
        run_batch(clips, out, TERMS, at_once, Told())


def test_a_run_does_a_video_again_that_was_changed_since(archive: Path) -> None:
    told, out, clips = Told(), archive / "r.jsonl", [str(archive / "clips")]
    run_batch(clips, out, TERMS, at_once, told, stop=lambda: len(told.rows) == 5)
    (archive / "clips/clip-01.mp4").write_bytes(b"another")
    again = Told()
    run_batch(clips, out, TERMS, at_once, again)
    assert again.lists == [(Listed(30, 0, changed=1), Counts(answered=3, failed=1))]
    assert str(archive / "clips/clip-01.mp4") in [source for source, _ in again.rows]
    assert len(sources_in(out)) == 30


@pytest.mark.parametrize("refused", ["sources", "options"])
def test_what_is_refused_at_once_leaves_nothing_behind(archive: Path, refused: str) -> None:
    def refuses(terms: Terms, pending: Iterator[tuple[int, Input]], keep: Keep, stop: Callable[[], bool]) -> None:
        raise InvalidOption("top_k cannot be")

    named = str(archive / ("nowhere" if refused == "sources" else "clips"))
    with pytest.raises((ValueError, InvalidOption)):
        run_batch([named], archive / "r.jsonl", TERMS, refuses, Told())
    assert [path.name for path in archive.iterdir()] == ["clips"]


PROGRAM = """
import os, sys, random
from pathlib import Path
from service.batch import run, writing
from service.batch.terms import Terms
from tests.unit.batch.test_run import Told, at_once

folder, where = Path(sys.argv[1]), sys.argv[2]
left = random.Random(int(sys.argv[3])).randrange(1, 8)

def maybe_die(place):
    global left
    if place == where:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)

def engine(terms, pending, keep, stop):
    def kept(number, one, row, answered):
        maybe_die("before a row")
        keep(number, one, row, answered)
        maybe_die("after a row")
    at_once(terms, pending, kept, stop)

real = writing.WRITERS[".jsonl"]
def writer(path, rows):
    def dying():
        for row in rows:
            yield row
            maybe_die("while writing")
    real(path, dying())
writing.WRITERS[".jsonl"] = writer
replace, sync = os.replace, writing._sync_folder
def replaced(source, target):
    if where == "before the result": os.kill(os.getpid(), 9)
    replace(source, target)
    if where == "after the result": os.kill(os.getpid(), 9)
writing.os.replace = replaced
run.run_batch([str(folder / "clips")], folder / "r.jsonl", Terms(()), engine, Told())
"""


def test_killed_anywhere_again_and_again_every_input_has_one_row_at_the_end(archive: Path) -> None:
    """In the middle of writing rows, of writing the result, and just before and after it appears."""
    places = ["before a row", "after a row", "while writing", "before the result", "after the result", "nowhere"]
    for seed, where in enumerate(places):
        command = [sys.executable, "-c", PROGRAM, str(archive), where, str(seed)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == (0 if where == "nowhere" else -9), done.stderr
    named = Counter(sources_in(archive / "r.jsonl"))
    assert set(named) == {str(path) for path in (archive / "clips").iterdir()}
    assert set(named.values()) == {1}
    assert sorted(path.name for path in archive.iterdir()) == ["clips", "r.jsonl"]
