"""Whose turn it is: cheap videos in their order, costly ones apart and never all at once, and nobody forever."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.errors import Draining
from video.children.turns import Turns, num_costly_at_once


def turns_of(num_children: int, clock: list[float] | None = None) -> Turns[int]:
    now_s = clock if clock is not None else [0.0]
    turns = Turns[int](num_children, lambda child: child >= 0, lambda: now_s[0])
    for child in range(num_children):
        turns.offer(child)
    return turns


async def started(turns: Turns[int], *, is_costly: bool) -> "asyncio.Task[int]":
    task = asyncio.create_task(turns.take(is_costly=is_costly))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_of_two_children_one_is_kept_for_cheap_videos() -> None:
    turns = turns_of(2)
    bombs = [await started(turns, is_costly=True) for _ in range(3)]
    assert [bomb.done() for bomb in bombs] == [True, False, False]
    assert await turns.take(is_costly=False) == 1
    assert turns.num_waiting == 2
    turns.offer(bombs[0].result())
    turns.costly_ended()
    assert await bombs[1] == 0
    bombs[2].cancel()


async def test_a_single_child_takes_a_costly_video_when_no_cheap_one_waits() -> None:
    turns = turns_of(1)
    child = await turns.take(is_costly=False)
    bomb = await started(turns, is_costly=True)
    cheap = [await started(turns, is_costly=False) for _ in range(2)]
    for one in cheap:
        turns.offer(child)
        assert await one == child
        assert not bomb.done()
    turns.offer(child)
    assert await bomb == child


async def test_a_costly_video_that_waited_long_goes_before_cheap_ones() -> None:
    now_s = [0.0]
    turns = turns_of(1, now_s)
    child = await turns.take(is_costly=False)
    bomb = await started(turns, is_costly=True)
    now_s[0] = 31.0
    cheap = await started(turns, is_costly=False)
    turns.offer(child)
    assert await bomb == child
    assert not cheap.done()
    cheap.cancel()


async def test_who_leaves_in_the_moment_of_its_turn_passes_it_on() -> None:
    turns = turns_of(1)
    child = await turns.take(is_costly=False)
    leaver, stayer = [await started(turns, is_costly=True) for _ in range(2)]
    turns.offer(child)
    leaver.cancel()
    assert await stayer == child
    assert leaver.cancelled()


async def test_a_child_that_died_while_it_was_free_is_given_to_nobody() -> None:
    turns = turns_of(1)
    turns.offer(-1)
    assert await turns.take(is_costly=False) == 0
    waiting = await started(turns, is_costly=False)
    assert not waiting.done()
    turns.fail(Draining.refused())
    with pytest.raises(Draining):
        await waiting


@given(
    num_children=st.integers(1, 5), acts=st.lists(st.sampled_from(["cheap", "costly", "leave", "done"]), max_size=60)
)
def test_whatever_comes_no_child_is_lost_and_costly_videos_leave_some_to_others(
    num_children: int, acts: list[str]
) -> None:
    async def run() -> None:
        turns = turns_of(num_children)
        waiting: list[tuple[bool, asyncio.Task[int]]] = []
        held: list[tuple[bool, int]] = []

        async def settle() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for one in [one for one in waiting if one[1].done()]:
                waiting.remove(one)
                held.append((one[0], one[1].result()))
            assert sum(is_costly for is_costly, _ in held) <= num_costly_at_once(num_children)
            assert len({child for _, child in held}) == len(held)
            if len(held) < num_children:  # a child is free: only costly ones may wait, and only for their like
                assert all(is_costly for is_costly, _ in waiting)

        def end() -> None:
            is_costly, child = held.pop(0)
            turns.offer(child)
            if is_costly:
                turns.costly_ended()

        for act in acts:
            if act in ("cheap", "costly"):
                is_costly = act == "costly"
                waiting.append((is_costly, asyncio.create_task(turns.take(is_costly=is_costly))))
            elif act == "leave" and waiting:
                _, task = waiting.pop()
                task.cancel()
                await asyncio.wait([task])
            elif act == "done" and held:
                end()
            await settle()
        while held:
            end()
            await settle()
        assert not waiting
        assert turns.num_waiting == 0

    asyncio.run(run())


async def test_an_idle_child_is_taken_only_where_nobody_waits_and_one_is_free() -> None:
    turns = turns_of(1)
    assert turns.has_free
    assert turns.take_idle() == 0
    assert not turns.has_free
    assert turns.take_idle() is None
    waiting = await started(turns, is_costly=False)
    turns.offer(0)
    assert await waiting == 0
    turns.offer(-1)  # it died
    assert not turns.has_free
    assert turns.take_idle() is None
