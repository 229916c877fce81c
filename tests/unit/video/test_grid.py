"""Which frame stands for which cell: the same as in a file, chosen while the frames come in."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from video.camera.grid import Grid
from video.file.sampling import PacketFacts, choose


def fed(cell_s: Fraction, times_s: list[Fraction], end_s: Fraction) -> dict[int, int | None]:
    """Cell to the number of its frame, once everything before `end_s` has come."""
    grid: Grid[int] = Grid(cell_s)
    settled = [cell for number, time_s in enumerate(times_s) for cell in grid.frame(time_s, number)]
    settled += list(grid.advance(end_s))
    assert [cell.index for cell in settled] == list(range(len(settled)))  # each once, in order
    return {cell.index: cell.frame for cell in settled}


def test_a_cells_frame_is_the_one_nearest_to_its_middle_the_earlier_on_a_tie() -> None:
    times_s = [Fraction(number, 10) for number in range(20)]
    assert fed(Fraction(1, 2), times_s, Fraction(2)) == {0: 2, 1: 7, 2: 12, 3: 17}
    assert fed(Fraction(1), times_s, Fraction(2)) == {0: 5, 1: 15}
    assert fed(Fraction(1, 5), times_s[:4], Fraction(2, 5)) == {0: 1, 1: 3}
    assert fed(Fraction(3, 10), times_s[:6], Fraction(3, 5)) == {0: 1, 1: 4}  # 0.15 lies between 0.1 and 0.2


def test_a_cell_is_settled_as_soon_as_nothing_nearer_can_come() -> None:
    grid: Grid[str] = Grid(Fraction(1))
    assert list(grid.frame(Fraction(0), "a")) == []
    assert list(grid.frame(Fraction(2, 5), "b")) == []
    (cell,) = grid.frame(Fraction(7, 10), "c")
    assert (cell.index, cell.frame, cell.time_s) == (0, "b", Fraction(2, 5))


def test_a_cell_without_a_frame_says_so() -> None:
    assert fed(Fraction(1), [Fraction(0), Fraction(3)], Fraction(4)) == {0: 0, 1: None, 2: None, 3: 1}


def test_what_comes_for_a_settled_cell_is_late() -> None:
    grid: Grid[str] = Grid(Fraction(1))
    list(grid.frame(Fraction(0), "a"))
    assert [cell.frame for cell in grid.advance(Fraction(2))] == ["a", None]
    assert grid.is_late(Fraction(3, 2))
    assert list(grid.frame(Fraction(3, 2), "late")) == []
    assert not grid.is_late(Fraction(2))


@given(
    st.integers(1, 8),
    st.integers(1, 30),
    st.integers(1, 40),
    st.integers(1, 60),
)
def test_at_a_constant_rate_a_cell_has_the_frame_that_a_file_would_give(
    num_cells: int, cell_ticks: int, gap: int, count: int
) -> None:
    """A file of the same frames, sampled into as many segments as there are cells."""
    ticks = num_cells * cell_ticks
    pts = [index * gap for index in range(count) if index * gap < ticks]
    cells = fed(Fraction(cell_ticks), [Fraction(one) for one in pts], Fraction(ticks))
    # one more frame is no keyframe, so that the file is not sampled by keyframes alone
    packets = [PacketFacts(one, 1, index == 0, True) for index, one in enumerate(pts)]
    targets = choose(packets, 0, ticks, num_cells).targets
    for index in range(num_cells):
        if cells[index] is not None and num_cells > 1:
            assert cells[index] == targets[index]
