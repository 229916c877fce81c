"""Places, decoding and the device are shared between owners by weight: one greedy owner leaves room for the others."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.errors import Overloaded
from service.engine.admission import Admission
from service.engine.gate import ABOUT_S, Gate
from service.engine.lanes import Lane, Owner, Turns
from service.engine.shares import ASKED_S
from video.children.pace import Estimate
from video.clip import DecodePrice
from video.rate import Rate

GREEDY, MODEST, HEAVY = Owner("greedy"), Owner("modest"), Owner("heavy", 3.0)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def an_admission(clock: Clock, **bounds: int) -> Admission:
    usual = {"max_places": 8, "max_requests": 100, "max_flops": 10**12}
    return Admission(
        **usual | bounds,
        max_costly_decode_s=1000.0,
        num_decoders=2,
        decode_rate=Rate(),
        flop_rate=Rate(),
        clock=clock,
    )


def admitted(admission: Admission, owner: Owner, num: int, flops: int = 1) -> list:
    tickets = []
    for _ in range(num):
        try:
            tickets.append(admission.admit(flops, owner))
        except Overloaded:
            break
    return tickets


def test_one_owner_alone_leaves_room_for_another_that_may_come():
    admission = an_admission(Clock())
    greedy = admitted(admission, GREEDY, 100)
    assert len(greedy) == 6
    assert len(admitted(admission, MODEST, 1)) == 1, "there is a place at once"


def test_once_another_asks_the_greedy_one_gets_nothing_more_until_it_is_below_its_share():
    admission = an_admission(Clock())
    greedy, modest = admitted(admission, GREEDY, 100), admitted(admission, MODEST, 1)
    for ticket in (*greedy[:2], *modest):
        ticket.close()
    with pytest.raises(Overloaded, match=r"greedy has its share of the places for videos to be decoded: 4 of 8"):
        admission.admit(1, GREEDY)
    greedy[2].close()
    assert len(admitted(admission, GREEDY, 100)) == 1
    assert len(admitted(admission, MODEST, 100)) == 4


def test_who_has_not_asked_for_a_while_is_counted_no_more():
    clock = Clock()
    admission = an_admission(clock)
    for ticket in admitted(admission, MODEST, 1):
        ticket.close()
    assert len(admitted(admission, GREEDY, 100)) == 4
    clock.now_s += ASKED_S
    assert len(admitted(admission, GREEDY, 100)) == 2


def test_who_was_refused_counts_and_finds_room_when_it_comes_back():
    admission = an_admission(Clock(), max_places=4)
    first, second = admitted(admission, GREEDY, 3), admitted(admission, HEAVY, 1)
    assert (len(first), len(second)) == (3, 1)
    with pytest.raises(Overloaded, match="all 4 places"):
        admission.admit(1, MODEST)
    first[0].close()
    with pytest.raises(Overloaded, match="greedy has its share"):
        admission.admit(1, GREEDY)
    assert len(admitted(admission, MODEST, 1)) == 1


def test_shares_are_by_weight():
    admission = an_admission(Clock())
    heavy, modest = admitted(admission, HEAVY, 1), admitted(admission, MODEST, 1)
    assert len(heavy) + len(admitted(admission, HEAVY, 100)) == 6
    assert len(modest) + len(admitted(admission, MODEST, 100)) == 2


def test_multiply_adds_and_waiting_requests_are_shared_too():
    admission = an_admission(Clock(), max_places=100, max_flops=1000)
    assert len(admitted(admission, GREEDY, 100, flops=100)) == 7
    assert len(admitted(admission, MODEST, 100, flops=100)) == 3
    admission = an_admission(Clock(), max_places=100, max_requests=8)
    for ticket in admitted(admission, GREEDY, 100):
        ticket.decoded()
    assert (admission.requests, admission.places) == (6, 0)
    assert len(admitted(admission, MODEST, 100)) == 2


def test_costly_videos_of_one_owner_leave_room_for_anothers():
    admission = an_admission(Clock())
    tickets = [*admitted(admission, GREEDY, 4), *admitted(admission, MODEST, 2)]
    estimate = Estimate(DecodePrice(30, 10**9), 5.0)
    tickets[0].wait_apart(estimate)
    tickets[1].wait_apart(estimate)
    with pytest.raises(Overloaded, match="2 costly videos of greedy hold a place already, its share"):
        tickets[2].wait_apart(estimate)
    tickets[4].wait_apart(estimate)
    tickets[0].close()
    tickets[2].wait_apart(estimate)


def test_without_keys_everybody_together_may_hold_everything():
    admission = an_admission(Clock())
    assert len([admission.admit(1) for _ in range(8)]) == 8


@given(st.lists(st.tuples(st.sampled_from([GREEDY, MODEST, HEAVY]), st.integers(1, 400), st.booleans()), max_size=60))
def test_whatever_comes_and_goes_nothing_stays_held(asked):
    admission = an_admission(Clock(), max_flops=1000)
    held = []
    for owner, flops, goes in asked:
        if goes and held:
            held.pop(0).close()
        held += admitted(admission, owner, 1, flops)
        assert admission.places <= admission.max_places
        assert sum(admission.shares.of(one).places for one in (GREEDY, MODEST, HEAVY)) == admission.places
    for ticket in held:
        ticket.close()
    for one in (GREEDY, MODEST, HEAVY):
        of = admission.shares.of(one)
        assert (of.places, of.requests, of.flops, of.costly, of.ahead) == (0, 0, 0, 0, 0)


async def decoded_in_order(gate: Gate, owners: list[Owner]) -> list[str]:
    """One line of videos, all there at once, each decoded as it is let in."""
    order: list[str] = []

    async def decode(owner: Owner) -> None:
        leave = await gate.enter(owner)
        order.append(owner.name)
        await asyncio.sleep(0)
        leave.close()

    await asyncio.gather(*(decode(owner) for owner in owners))
    return order


async def test_a_modest_video_waits_for_one_video_however_many_a_greedy_owner_has_in_line():
    order = await decoded_in_order(Gate(1), [*[GREEDY] * 50, MODEST, MODEST])
    assert [number for number, name in enumerate(order) if name == "modest"] == [1, 3]


async def test_owners_videos_are_let_in_by_weight_and_each_owners_in_its_order():
    order = await decoded_in_order(Gate(2), [*[MODEST] * 40, *[HEAVY] * 40])
    assert Counter(order[:40]) == {"heavy": 30, "modest": 10} or Counter(order[:40]) == {"heavy": 29, "modest": 11}


async def test_who_leaves_the_line_takes_no_place_along():
    gate = Gate(1)
    first = await gate.enter(GREEDY)
    waiting = asyncio.create_task(gate.enter(MODEST))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    first.close()
    first.close()
    async with asyncio.timeout(5):
        second = await gate.enter(GREEDY)
        late = asyncio.create_task(gate.enter(MODEST))
        await asyncio.sleep(0)
        second.close()
        late.cancel()  # let in at the very moment of leaving
        await asyncio.gather(late, return_exceptions=True)
        (await gate.enter(MODEST)).close()


async def test_while_another_is_about_the_last_decoder_is_for_whoever_has_none():
    clock = Clock()
    gate = Gate(2, clock)
    modest = await gate.enter(MODEST)
    first = await gate.enter(GREEDY)
    modest.close()
    second = asyncio.create_task(gate.enter(GREEDY))
    await asyncio.sleep(0)
    assert not second.done(), "modest may come back, and finds a decoder at once"
    async with asyncio.timeout(5):
        (await gate.enter(MODEST)).close()
    assert not second.done()
    first.close()
    async with asyncio.timeout(5):
        (await second).close()


async def test_whoever_has_not_come_for_a_while_has_no_decoder_kept():
    clock = Clock()
    gate = Gate(2, clock)
    (await gate.enter(MODEST)).close()
    clock.now_s += ABOUT_S + 1
    async with asyncio.timeout(5):
        first, second = await gate.enter(GREEDY), await gate.enter(GREEDY)
    first.close()
    second.close()


async def test_while_another_s_video_is_here_an_owner_of_which_the_device_has_enough_does_not_decode():
    ahead = Counter({GREEDY: 4})
    gate = Gate(4, Clock(), lambda owner: ahead[owner])
    modest = await gate.enter(MODEST)
    greedy = asyncio.create_task(gate.enter(GREEDY))
    await asyncio.sleep(0)
    assert not greedy.done(), "modest's is decoded"
    ahead[MODEST] = 1
    modest.close()
    await asyncio.sleep(0)
    assert not greedy.done(), "modest's is on the device"
    ahead[GREEDY] = 3
    async with asyncio.timeout(5):
        (await greedy).close()
    ahead |= {GREEDY: 4, MODEST: 4}
    async with asyncio.timeout(5):
        (await gate.enter(GREEDY)).close()


async def test_one_owner_alone_has_all_decoders():
    gate = Gate(4)
    async with asyncio.timeout(5):
        passes = [await gate.enter(GREEDY) for _ in range(4)]
    for one in passes:
        one.close()


def test_on_the_device_owners_take_turns_within_their_kind_of_work():
    turns = Turns()
    uploads = [Lane("upload", 0.5, GREEDY), Lane("upload", 0.5, MODEST)]
    cameras = [Lane("camera", 0.5, owner) for owner in (GREEDY, HEAVY)]
    served: Counter[tuple[str, str]] = Counter()
    for _ in range(800):
        lane = turns.next([*uploads, *cameras])
        turns.serve(lane, 100)
        served[lane.name, lane.owner.name] += 1
    assert served == {
        ("upload", "greedy"): 200,
        ("upload", "modest"): 200,
        ("camera", "greedy"): 100,
        ("camera", "heavy"): 300,
    }


def test_whoever_comes_back_makes_up_for_turns_of_others_up_to_a_credit():
    greedy, modest = Lane("upload", 0.5, GREEDY), Lane("upload", 0.5, MODEST)
    for credit, expected in ((0.0, ["modest", "greedy"]), (250.0, ["modest", "modest"])):
        turns = Turns()
        for lane in (modest, *[greedy] * 9):
            assert turns.next([lane], owners_credit_flops=credit) == lane
            turns.serve(lane, 100)
        order = []
        for _ in range(2):
            foretold = turns.first([greedy, modest], owners_credit_flops=credit)
            lane = turns.next([greedy, modest], owners_credit_flops=credit)
            assert lane == foretold
            turns.serve(lane, 100)
            order.append(lane.owner.name)
        assert order == expected


def test_an_owner_of_no_weight_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        Owner("nobody", 0)
