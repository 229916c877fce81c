"""The journal of a run: every input once, every row once, whatever happens to the process."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.batch.inputs import Input
from service.batch.journal import Counts, Journal, JournalError, Listed
from tests.conftest import require

TERMS = {"model": "auto", "top_k": "5"}


def inputs(*names: str) -> list[Input]:
    return [Input(name, name.encode()) for name in names]


def test_an_input_is_noted_once_and_keeps_its_first_spelling(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", TERMS)
    assert journal.list_inputs(inputs("a", "b", "a")) == Listed(inputs=2, repeated=1)
    assert journal.list_inputs([Input("./b", b"b"), *inputs("c", "a")]) == Listed(inputs=3, repeated=0)
    assert [one.source for _, one in journal.pending()] == ["a", "b", "c"]
    journal.close()


def test_rows_come_in_the_order_of_the_inputs_and_a_second_answer_changes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", TERMS)
    journal.list_inputs(inputs("a", "b", "c"))
    numbers = {one.source: number for number, one in journal.pending()}
    journal.keep(numbers["c"], {"label": "x"}, answered=True)
    journal.keep(numbers["a"], {"problem": {}}, answered=False)
    journal.keep(numbers["c"], {"label": "other"}, answered=True)
    assert list(journal.rows()) == [{"source": "a", "problem": {}}, {"source": "c", "label": "x"}]
    assert journal.counts() == Counts(answered=1, failed=1)
    assert [one.source for _, one in journal.pending()] == ["b"]
    journal.close()


def test_pending_goes_on_while_rows_are_kept_over_many_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.batch.journal.PAGE", 3)
    journal = Journal(tmp_path / "j", TERMS)
    names = [f"{number:02}" for number in range(20)]
    assert journal.list_inputs(inputs(*names)) == Listed(20, 0)
    seen = []
    for number, one in journal.pending():
        journal.keep(number, {}, answered=True)
        seen.append(one.source)
    assert seen == names
    assert [row["source"] for row in journal.rows()] == names
    journal.close()


def test_what_was_kept_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    with_one = Journal(tmp_path / "j", TERMS)
    with_one.list_inputs(inputs("a", "b"))
    with_one.keep(1, {"label": "x"}, answered=True)
    with_one.close()
    again = Journal(tmp_path / "j", TERMS)
    assert [one.source for _, one in again.pending()] == ["b"]
    again.close()


def test_rows_of_other_options_are_not_mixed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", TERMS)
    journal.list_inputs(inputs("a"))
    journal.close()
    Journal(tmp_path / "j", TERMS | {"top_k": "2"}).close()  # nothing depends on them yet
    journal = Journal(tmp_path / "j", TERMS)
    journal.keep(1, {}, answered=True)
    journal.close()
    with pytest.raises(JournalError, match=r"top_k was 5, now 2.*same options"):
        Journal(tmp_path / "j", TERMS | {"top_k": "2"})


def test_a_video_that_changed_loses_its_row_and_one_that_is_gone_keeps_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", TERMS)
    names = ("same", "changed", "gone", "came")
    journal.list_inputs(Input(name, name.encode(), "" if name == "came" else "1") for name in names)
    for number, one in journal.pending():
        journal.keep(number, {"label": one.source}, answered=True)
    stamps = {"same": "1", "changed": "2", "gone": "", "came": "1"}
    listed = journal.list_inputs(Input(name, name.encode(), stamps[name]) for name in names)
    assert listed == Listed(inputs=4, repeated=0, changed=2)
    assert [one.source for _, one in journal.pending()] == ["changed", "came"]
    for number, one in journal.pending():
        journal.keep(number, {"label": one.source}, answered=True)
    stamps["gone"] = "1"
    listed = journal.list_inputs(Input(name, name.encode(), stamps[name]) for name in names)
    assert listed.changed == 0, "what came back is what it was"
    journal.close()


def test_two_processes_do_not_work_on_one_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", TERMS)
    with pytest.raises(JournalError, match="another process works on"):
        Journal(tmp_path / "j", TERMS)
    journal.close()


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("notes of somebody" * 100)
    with pytest.raises(JournalError, match="is no journal of a run"):
        Journal(tmp_path / "j", TERMS)
    assert (tmp_path / "j").read_text().startswith("notes")


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="choose --out in a folder that you may write to"):
        Journal(tmp_path / "nowhere" / "j", TERMS)


def test_on_a_full_disk_it_says_so_and_holds_what_it_held(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    require(mounted.returncode == 0, "the right to mount a small disk (root)")
    try:
        journal = Journal(disk / "j", TERMS)
        journal.list_inputs(inputs(*map(str, range(1000))))
        kept = [0]

        def fill() -> None:
            for number, _ in journal.pending():
                journal.keep(number, {"label": "long " * 200}, answered=True)
                kept[0] += 1

        with pytest.raises(JournalError, match="make room, then the same command goes on"):
            fill()
        journal.close()
        assert kept[0] > 10
        shutil.copytree(disk, tmp_path, dirs_exist_ok=True)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    journal = Journal(tmp_path / "j", TERMS)
    assert journal.counts().answered == kept[0]
    journal.close()


KILLED = """
import os, sys
from pathlib import Path
from service.batch.journal import Journal
journal = Journal(Path(sys.argv[1]), {})
for number, one in journal.pending():
    journal.keep(number, {"label": one.source}, answered=True)
    if number % 7 == 0:
        os.kill(os.getpid(), 9)
"""


def test_a_killed_process_loses_no_row_that_was_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", {})
    journal.list_inputs(inputs(*map(str, range(20))))
    journal.close()
    for kept in (7, 14):
        done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "j"], check=False)
        assert done.returncode == -9
        journal = Journal(tmp_path / "j", {})
        assert journal.counts().answered == kept
        journal.close()
