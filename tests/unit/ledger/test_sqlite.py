"""What only the ledger in a file has to stand: ends of every kind, and files that are not what they should be."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fovea.errors import Unavailable
from service.ledger.base import BEFORE_ALL, Book, LedgerRefused, Note, Record, id_key
from service.ledger.memory import MemoryLedger
from service.ledger.sqlite import FILE, VERSION, SqliteLedger
from tests.conftest import require

from .conftest import KEPT, LEASE_S

RESULT = Note("result", "{}")


def python(program: str, *arguments: Path) -> str:
    """Run a program in a process of its own; what it says of its errors."""
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stderr


def until_killed(program: str, *arguments: Path, lines: int) -> list[str]:
    """Kill it once it has said so many lines; all that it said."""
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        return said + [line.strip() for line in process.stdout if line.endswith("\n")]


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)


async def opened(folder: Path) -> tuple[SqliteLedger, Book]:
    ledger = SqliteLedger(folder)
    await ledger.open()
    return ledger, ledger.book("stream", events_kept=KEPT)


async def test_records_events_and_reports_outlive_the_process_and_leases_do_not(tmp_path: Path) -> None:
    ledger, book = await opened(tmp_path)
    await book.add(Record("a", "text"), 10)
    await book.take("a", "token-1", LEASE_S)
    first = await book.append("a", "token-1", RESULT, report="live")
    await ledger.close()

    ledger, book = await opened(tmp_path)
    assert await book.records() == [Record("a", "text")]
    assert await book.report("a") == "live"
    assert await book.take("a", "token-2", LEASE_S)
    second = await book.append("a", "token-2", RESULT)
    assert [event.id for event in await book.events("a", BEFORE_ALL)] == [first, second]
    await ledger.close()


async def test_a_removed_record_stays_removed(tmp_path: Path) -> None:
    ledger, book = await opened(tmp_path)
    await book.add(Record("a", "text"), 10)
    await book.remove("a", Note("state", "deleted"))
    await ledger.close()

    ledger, book = await opened(tmp_path)
    assert await book.records() == []
    assert [event.data for event in await book.events("a", BEFORE_ALL)] == ["deleted"]
    assert await book.add(Record("a", "text"), 10) == "removed"
    await ledger.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_ids_rise_though_the_clock_is_put_back(kind: str, tmp_path: Path) -> None:
    times = iter([1000.0, 1000.0, 900.0, 900.0, 1000.5])

    def wall() -> float:
        return next(times)

    ledger = MemoryLedger(wall=wall) if kind == "memory" else SqliteLedger(tmp_path, wall=wall)
    await ledger.open()
    book = ledger.book("stream", events_kept=KEPT)
    if kind == "memory":
        next(times)  # the other one looks at the clock in `add`, to sweep
    await book.add(Record("a", ""), 1)
    await book.take("a", "token", LEASE_S)
    ids = [await book.append("a", "token", RESULT) for _ in range(4)]
    assert ids == ["1000000-0", "1000000-1", "1000000-2", "1000500-0"]
    await ledger.close()


async def test_whatever_was_answered_outlives_kill_9(tmp_path: Path) -> None:
    """A process appends as fast as it can, and says which ids it got, until it is killed."""
    program = """
        import asyncio, sys
        from pathlib import Path
        from service.ledger.base import Note, Record
        from service.ledger.sqlite import SqliteLedger

        async def main():
            ledger = SqliteLedger(Path(sys.argv[1]))
            await ledger.open()
            book = ledger.book("stream", events_kept=100_000)
            await book.add(Record("a", "text"), 1)
            await book.take("a", "token", 1000)
            while True:
                for told in await asyncio.gather(*(book.append("a", "token", Note("result", "{}")) for _ in range(5))):
                    print(told, flush=True)

        asyncio.run(main())
    """
    told = until_killed(program, tmp_path, lines=60)
    ledger, book = await opened(tmp_path)
    kept = [event.id for event in await book.events("a", BEFORE_ALL, limit=100_000)]
    assert kept[: len(told)] == sorted(told, key=id_key)
    assert len(set(kept)) == len(kept)
    await ledger.close()


async def test_every_commit_is_synced_to_the_disk_so_that_it_outlives_a_power_cut(tmp_path: Path) -> None:
    ledger, _ = await opened(tmp_path)
    for name, value in (("synchronous", 2), ("journal_mode", "wal")):  # 2 is FULL
        assert await ledger._database.run(lambda file, name=name: file.execute(f"PRAGMA {name}").fetchone()) == (value,)
    await ledger.close()


async def test_one_file_serves_one_process_and_the_second_is_told_so(tmp_path: Path) -> None:
    ledger, book = await opened(tmp_path)
    await book.add(Record("a", "text"), 1)
    with pytest.raises(LedgerRefused, match=r"another process uses it; one FOVEA_STATE_DIR serves one process"):
        await opened(tmp_path)
    program = (
        "import asyncio, sys; from pathlib import Path; from service.ledger.sqlite import SqliteLedger; "
        "asyncio.run(SqliteLedger(Path(sys.argv[1])).open())"
    )
    assert "another process uses it" in python(program, tmp_path)
    assert await book.records() == [Record("a", "text")]
    await ledger.close()


async def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    ledger, book = await opened(tmp_path)
    await book.add(Record("a", "text"), 1)
    await ledger.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as file:
        file.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(LedgerRefused, match=f"has format {VERSION + 1}, this Fovea reads format {VERSION}"):
        await opened(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


async def test_another_programs_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as file:
        file.execute("CREATE TABLE theirs (one)")
        file.commit()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(LedgerRefused, match="another program's SQLite file"):
        await opened(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


async def test_a_damaged_file_is_refused_and_left_for_a_person_to_look_at(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database " * 1000)
    with pytest.raises(LedgerRefused, match=r"not a database: the file is damaged; restore a copy"):
        await opened(tmp_path)
    assert (tmp_path / FILE).read_bytes() == b"no database " * 1000


async def test_a_file_damaged_in_the_middle_is_noticed_when_it_is_opened(tmp_path: Path) -> None:
    ledger, book = await opened(tmp_path)
    for number in range(50):
        await book.add(Record(f"{number:02}", "text " * 300), 100)
    await ledger.close()
    whole = bytearray((tmp_path / FILE).read_bytes())
    whole[8192:-8192] = os.urandom(len(whole) - 16384)
    (tmp_path / FILE).write_bytes(whole)
    with pytest.raises(LedgerRefused, match="the file is damaged"):
        await opened(tmp_path)


@pytest.mark.parametrize("what", ["a file in place of the folder", "a folder in place of the file"])
async def test_a_place_where_no_file_can_be_is_refused(what: str, tmp_path: Path) -> None:
    if what == "a file in place of the folder":
        (tmp_path / "state").write_text("")
        folder = tmp_path / "state"
    else:
        folder = tmp_path
        (folder / FILE).mkdir()
    with pytest.raises(LedgerRefused, match="FOVEA_STATE_DIR"):
        await opened(folder)


async def test_a_file_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    require(os.geteuid() == 0, "root, to become a user who may not write")
    ledger, _ = await opened(tmp_path)
    await ledger.close()
    program = """
        import asyncio, os, sys
        from pathlib import Path
        from service.ledger.sqlite import SqliteLedger
        folder = os.open(sys.argv[1], os.O_RDONLY)
        os.fchdir(folder)
        os.setuid(65534)
        asyncio.run(SqliteLedger(Path(".")).open())
    """
    for path in (tmp_path, tmp_path / FILE):
        path.chmod(0o555 if path.is_dir() else 0o444)
    told = python(program, tmp_path)
    assert "LedgerRefused" in told
    assert "this process may not write there" in told


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    made = subprocess.run(command, capture_output=True, check=False)
    require(made.returncode == 0, "the right to mount a small disk (root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_is_told_and_nothing_that_was_answered_is_lost(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, book = await opened(small_disk)
    kept: list[str] = []

    async def fill() -> None:
        while True:
            name = f"{len(kept):03}"
            await book.add(Record(name, "text " * 500), 1000)
            kept.append(name)

    with pytest.raises(Unavailable, match="make room on the disk of FOVEA_STATE_DIR"):
        await fill()
    assert len(kept) > 10
    with pytest.raises(Unavailable):
        await fill()
    told = [record for record in caplog.records if "make room" in record.getMessage()]
    assert len(told) == 1, "once is enough, as long as it lasts"
    assert [record.id for record in await book.records()] == kept
    enlarge(small_disk)
    assert await book.add(Record("more", "text " * 500), 1000) == "added"  # without a restart
    await ledger.close()
    ledger, book = await opened(small_disk)
    assert [record.id for record in await book.records()] == [*kept, "more"]
    await ledger.close()


async def test_what_one_asker_does_wrong_is_not_the_others_trouble(tmp_path: Path) -> None:
    """They may well share a commit."""
    ledger, book = await opened(tmp_path)
    await book.add(Record("a", ""), 10)
    await book.take("a", "token", LEASE_S)
    answers = await asyncio.gather(
        book.append("a", "token", RESULT),
        ledger._database.run(lambda file: file.execute("SELECT nonsense FROM nowhere")),
        book.append("a", "token", RESULT),
        return_exceptions=True,
    )
    assert isinstance(answers[1], Unavailable)
    assert [event.id for event in await book.events("a", BEFORE_ALL)] == [answers[0], answers[2]]
    await ledger.close()
