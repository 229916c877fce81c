"""Admission: two bounds, a Retry-After that is computed, and nothing that stays reserved."""

from contextlib import ExitStack, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.errors import Draining, Overloaded
from service.engine.admission import Admission, Ticket
from service.engine.lanes import ANYBODY, Owner
from video.children.pace import Estimate
from video.clip import DecodePrice
from video.rate import Rate


def an_admission(
    max_places: int = 2,
    max_flops: int = 1000,
    max_requests: int = 100,
    max_costly_decode_s: float = 10.0,
    num_decoders: int = 2,
    decode_rate: Rate | None = None,
    flop_rate: Rate | None = None,
) -> Admission:
    return Admission(
        max_places=max_places,
        max_requests=max_requests,
        max_flops=max_flops,
        max_costly_decode_s=max_costly_decode_s,
        num_decoders=num_decoders,
        decode_rate=decode_rate or Rate(),
        flop_rate=flop_rate or Rate(),
    )


def a_rate(amount: float, seconds: float) -> Rate:
    rate = Rate()
    rate.observe(amount, seconds)
    return rate


def test_a_video_holds_its_place_until_it_is_decoded():
    admission = an_admission(max_places=1)
    with admission.admit(10) as ticket:
        with pytest.raises(Overloaded, match="all 1 places"):
            admission.admit(10)
        ticket.decoded()
        with admission.admit(10):
            assert admission.requests == 2


def test_a_video_that_may_be_decoded_further_keeps_its_place_but_waits_for_nothing():
    admission, freed = an_admission(max_places=2), []
    with admission.admit(10) as ticket:
        ticket.when_place_is_free(lambda: freed.append("upload"))
        ticket.wait_apart(Estimate(DecodePrice(1, 1), 5.0))
        ticket.begun()
        assert (admission.places, admission.costly_decode_s, freed) == (1, 0.0, [])
        ticket.decoded()
        assert (admission.places, freed) == (0, ["upload"])
    assert freed == ["upload"], "once"


def test_a_request_that_ends_gives_back_its_place_and_its_upload():
    admission, freed = an_admission(), []
    with admission.admit(10) as ticket:
        ticket.when_place_is_free(lambda: freed.append("upload"))
        ticket.begun()
    assert (admission.places, freed) == (0, ["upload"])


def test_flops_are_promised_until_they_are_spent_or_the_request_ends():
    admission = an_admission(max_flops=100)
    with admission.admit(80) as ticket:
        ticket.decoded()
        with pytest.raises(Overloaded, match="already promised"):
            admission.admit(30)
        ticket.spend(40)
        with admission.admit(30):
            assert admission.flops == 70
    assert (admission.flops, admission.places, admission.requests) == (0, 0, 0)


def test_requests_that_wait_for_their_answer_are_bounded_however_cheap_they_are():
    admission = an_admission(max_requests=2)
    with admission.admit(1) as first, admission.admit(1) as second:
        first.decoded()
        second.decoded()
        with pytest.raises(Overloaded, match="2 requests are not answered yet"):
            admission.admit(1)
    with admission.admit(1):
        assert admission.requests == 1


def test_a_request_larger_than_the_whole_capacity_is_admitted_alone():
    admission = an_admission(max_flops=100)
    with admission.admit(500), pytest.raises(Overloaded):
        admission.admit(1)


def test_retry_after_is_the_larger_of_queued_decoding_and_queued_flops_over_their_measured_rates():
    decode_s, flops_per_s = 6.0, 10.0
    admission = an_admission(decode_rate=a_rate(1, decode_s), flop_rate=a_rate(flops_per_s, 1.0))
    admission.admit(40)
    admission.admit(40)
    with pytest.raises(Overloaded, match="try again in 8 s") as refusal:  # 80 FLOPs at 10/s; decoding needs only 6 s
        admission.admit(40)
    assert refusal.value.retry_after_s == 8

    slow_decoding = an_admission(decode_rate=a_rate(1, 60.0), flop_rate=a_rate(flops_per_s, 1.0))
    slow_decoding.admit(40)
    slow_decoding.admit(40)
    with pytest.raises(Overloaded) as refusal:  # 2 videos of 60 s over 2 decoders
        slow_decoding.admit(40)
    assert refusal.value.retry_after_s == 60


def test_retry_after_is_at_least_a_second_while_nothing_was_measured():
    admission = an_admission(max_places=0)
    with pytest.raises(Overloaded) as refusal:
        admission.admit(1)
    assert refusal.value.retry_after_s == 1


def test_while_draining_nobody_is_admitted():
    admission = an_admission()
    admission.draining = True
    with pytest.raises(Draining):
        admission.admit(1)


@given(
    st.lists(
        st.tuples(st.integers(1, 400), st.booleans(), st.floats(0, 1)),
        max_size=20,
    )
)
def test_whatever_happened_to_them_nothing_stays_reserved_when_all_requests_ended(requests):
    admission = an_admission(max_places=8)
    tickets = []
    for flops, decoded, share in requests:
        try:
            ticket = admission.admit(flops)
        except Overloaded:
            assert admission.places == admission.max_places or admission.flops + flops > admission.max_flops
            continue
        tickets.append(ticket)
        if decoded:
            ticket.decoded()
        ticket.spend(int(share * flops))
    for ticket in tickets:
        ticket.close()
        ticket.close()  # closing twice is closing once
    assert (admission.flops, admission.places, admission.requests) == (0, 0, 0)


def an_estimate(seconds: float) -> Estimate:
    return Estimate(DecodePrice(frames=100, pixels=int(seconds * 1e9)), seconds)


def test_costly_videos_leave_half_of_the_places_to_others():
    admission = an_admission(max_places=4, max_costly_decode_s=1000.0)
    tickets = [admission.admit(10) for _ in range(3)]
    tickets[0].wait_apart(an_estimate(5.0))
    tickets[1].wait_apart(an_estimate(5.0))
    with pytest.raises(Overloaded, match="2 costly videos hold a place already, half of all 4"):
        tickets[2].wait_apart(an_estimate(5.0))
    tickets[0].decoded()
    assert (admission.places, admission.costly_decode_s) == (2, 5.0)
    tickets[2].wait_apart(an_estimate(5.0))


def test_costly_videos_beyond_the_seconds_they_may_wait_for_are_refused_with_their_price():
    admission = an_admission(max_places=9, max_costly_decode_s=10.0, num_decoders=2)
    tickets = [admission.admit(10) for _ in range(3)]
    tickets[0].wait_apart(an_estimate(5.0))
    tickets[1].wait_apart(an_estimate(4.5))
    with pytest.raises(Overloaded, match=r"about 2 s \(2 gigapixels in 100 frames\)") as refusal:
        tickets[2].wait_apart(an_estimate(2.0))
    assert refusal.value.retry_after_s == 10  # 9.5 s of decoding by one of two children
    assert refusal.value.extra == {"decode_s": 2.0, "decode_gpixels": 2.0}
    for ticket in tickets:
        ticket.close()
    assert (admission.places, admission.costly_decode_s) == (0, 0)


def test_a_video_dearer_than_all_of_the_room_is_taken_where_no_other_waits():
    admission = an_admission(max_costly_decode_s=10.0)
    with admission.admit(10) as alone:
        alone.wait_apart(an_estimate(50.0))
        assert admission.costly_decode_s == 50.0


def test_retry_after_counts_the_decoders_that_costly_videos_leave():
    admission = an_admission(max_places=2, decode_rate=a_rate(1, 5.5), num_decoders=2)
    admission.admit(10).wait_apart(an_estimate(5.0))
    admission.admit(10)
    with pytest.raises(Overloaded) as refusal:
        admission.admit(10)
    assert refusal.value.retry_after_s == 6


@given(st.lists(st.floats(0.1, 20.0), max_size=30))
def test_whatever_is_costly_no_more_waits_than_may_and_nothing_stays(costs):
    admission = an_admission(max_places=30, max_costly_decode_s=30.0)
    tickets = []
    for seconds in costs:
        ticket = admission.admit(1)
        try:
            ticket.wait_apart(an_estimate(seconds))
        except Overloaded:
            ticket.close()
        else:
            tickets.append(ticket)
        assert admission.costly_decode_s <= 30.0 + 1e-9
    for ticket in tickets:
        ticket.close()
    assert (admission.places, admission.requests, admission.costly_decode_s) == (0, 0, 0)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def a_timed_admission(decode_s: float = 0.3, max_wait_s: float = 1.5, **given: Any) -> tuple[Admission, Clock]:
    """64 places, two decoders, and videos that take `decode_s` each."""
    clock = Clock()
    usual: dict[str, Any] = {"max_places": 64, "max_requests": 256, "max_flops": 10**12, "flop_rate": Rate()}
    admission = Admission(
        **usual | given,
        max_costly_decode_s=100.0,
        num_decoders=2,
        decode_rate=a_rate(1, decode_s),
        max_wait_s=max_wait_s,
        clock=clock,
    )
    return admission, clock


class TestSecondsOfWaiting:
    def test_no_more_are_admitted_than_can_be_decoded_in_time_however_many_places_are_free(self):
        admission, _ = a_timed_admission(decode_s=0.5, max_wait_s=1.5)
        for _ in range(6):
            admission.admit(1).decodes()
        with pytest.raises(Overloaded, match=r"would wait for 1.5 s, of at most 1.5 s; try again in 2 s") as refusal:
            admission.admit(1)
        assert (admission.places, refusal.value.retry_after_s) == (6, 2)

    def test_what_is_decoded_is_waited_for_no_more_and_what_lacks_frames_is_again(self):
        admission, _ = a_timed_admission(decode_s=0.3)
        with admission.admit(1) as ticket:
            ticket.decodes()
            assert admission.backlog.decode_s == pytest.approx(0.15)
            ticket.begun()
            assert admission.backlog.decode_s == 0
            ticket.decodes()
            assert admission.backlog.decode_s == pytest.approx(0.15)
        ticket.decodes()
        assert admission.backlog.decode_s == 0, "its request is over"

    def test_a_fast_upload_counts_at_once_and_a_slow_one_only_when_it_is_here(self):
        admission, clock = a_timed_admission(decode_s=0.3)
        with admission.admit(1) as ticket:
            assert admission.backlog.decode_s == pytest.approx(0.15)
            clock.now_s += 2
            assert admission.backlog.decode_s == 0
            ticket.decodes()
            assert admission.backlog.decode_s == pytest.approx(0.15)

    def test_the_device_is_waited_for_by_what_is_expected_not_by_the_most_that_may_be_spent(self):
        admission, _ = a_timed_admission(decode_s=0.001, max_wait_s=2.0, flop_rate=a_rate(100, 1.0))
        with admission.admit(1000, expected_flops=150) as ticket:
            assert admission.backlog.compute_s == pytest.approx(1.5)
            ticket.spend(100)
            assert admission.backlog.compute_s == pytest.approx(0.5)
            ticket.spend(100)
            assert admission.backlog.compute_s == 0, "dearer than the mean"
            assert admission.flops == 800
            ticket.reserve(900, expected_flops=200)
            with pytest.raises(Overloaded, match="would wait for 2 s"):
                admission.admit(1)

    def test_before_anything_is_measured_nobody_is_refused_for_it(self):
        admission = an_admission(max_places=64)
        assert len([admission.admit(1) for _ in range(64)]) == 64

    def test_who_weighs_less_is_refused_at_a_shorter_wait(self):
        admission, _ = a_timed_admission(decode_s=0.5, max_wait_s=2.0, max_places=1000, max_requests=1000)
        light, heavy = Owner("light", 1.0), Owner("heavy", 4.0)
        admission.check_open(heavy)
        tickets = [admission.admit(1, light) for _ in range(5)]
        with pytest.raises(Overloaded, match=r"of at most 1.25 s for light, others going first"):
            tickets.append(admission.admit(1, light))
        admission.check_open(heavy)

    @given(st.floats(0.01, 100), st.floats(0.01, 100), st.integers(0, 40))
    def test_where_one_of_less_weight_finds_room_so_does_one_of_more(self, one, other, waiting):
        admission, _ = a_timed_admission(max_places=1000)
        light, heavy = Owner("light", min(one, other)), Owner("heavy", max(one, other))
        for _ in range(waiting):
            Ticket(admission, 1)
        for owner in (heavy, light):
            with suppress(Overloaded):
                admission.check_open(owner)  # now both count
        try:
            admission.check_open(light)
        except Overloaded:
            return
        admission.check_open(heavy)

    def test_a_slow_device_makes_nobody_wait_for_ever_once_nothing_is_queued(self):
        admission, _ = a_timed_admission(decode_s=1000.0, max_wait_s=1.0)
        with admission.admit(1) as ticket:
            ticket.decodes()
            with pytest.raises(Overloaded):
                admission.admit(1)
        with admission.admit(1):
            pass


class TestLoad:
    def test_is_how_full_the_fullest_bound_is_and_at_one_whoever_comes_is_refused(self):
        admission, _ = a_timed_admission(decode_s=0.5, max_wait_s=1.0, max_requests=20)
        assert admission.load == 0
        for number in range(1, 5):
            admission.admit(1)
            assert admission.load == pytest.approx(number / 4)
        with pytest.raises(Overloaded):
            admission.admit(1)

    def test_places_that_slow_uploads_hold_are_told_but_lower_no_budget(self):
        admission, clock = a_timed_admission(max_places=4)
        for _ in range(4):
            admission.admit(1)
        clock.now_s += 60
        assert admission.load == 1
        assert admission.pressure() < 0.05

    def test_uploads_that_are_only_stored_are_told_but_lower_no_budget(self):
        admission, clock = a_timed_admission(max_places=4)
        with ExitStack() as stored:
            for _ in range(4):
                stored.enter_context(admission.place())
            for _ in range(100):
                clock.now_s += 0.1
                felt = admission.pressure()
            assert (admission.load, felt) == (1, 0)

    def test_one_that_is_draining_tells_others_that_it_is_full(self):
        admission, _ = a_timed_admission()
        assert admission.told_load == 0
        admission.draining = True
        assert (admission.told_load, admission.load) == (1, 0)

    def test_those_who_are_refused_are_felt_too(self):
        admission, clock = a_timed_admission(max_requests=1)
        admission.admit(1)
        for _ in range(100):
            clock.now_s += 0.1
            with pytest.raises(Overloaded):
                admission.check_open(ANYBODY)
        assert admission.pressure() > 0.95

    def test_places_that_videos_hold_which_wait_for_us_are_pressure(self):
        admission, clock = a_timed_admission(decode_s=0.001, max_places=4)
        for _ in range(3):
            admission.admit(1).decodes()
        for _ in range(100):
            clock.now_s += 0.1
            felt = admission.pressure()
        assert felt == pytest.approx(0.75, abs=0.01)

    def test_a_refusal_names_a_replica_that_has_room(self):
        admission, _ = a_timed_admission(max_places=1)
        admission.admit(1)
        admission.others_load = lambda: 0.9
        with pytest.raises(Overloaded, match="try again in 1 s"):
            admission.admit(1)
        admission.others_load = lambda: 0.2
        with pytest.raises(Overloaded, match="another replica has room") as refusal:
            admission.admit(1)
        assert refusal.value.extra == {"others_load": 0.2}

    def test_jobs_leave_half_of_the_wait_and_of_the_places_to_those_who_wait(self):
        admission, _ = a_timed_admission(decode_s=0.5, max_wait_s=2.0)
        tickets = [admission.admit(1) for _ in range(3)]
        assert admission.has_room_for_later
        tickets.append(admission.admit(1))
        assert not admission.has_room_for_later

    def test_refusals_are_told_by_the_bound_that_was_met(self):
        met: list[str] = []
        admission, _ = a_timed_admission(max_requests=2, max_flops=100, on_refusal=met.append)
        admission.admit(60)
        for _ in range(2):
            with pytest.raises(Overloaded):
                admission.admit(60)
        admission.admit(1)
        with pytest.raises(Overloaded):
            admission.check_open(ANYBODY)
        assert met == ["flops", "flops", "requests"]


@given(st.lists(st.sampled_from(["decodes", "begun", "decoded", "spend", "reserve", "close"]), max_size=40), st.data())
def test_whatever_happens_in_whatever_order_the_backlog_is_never_negative_and_empty_at_the_end(steps, data):
    admission, _ = a_timed_admission(max_places=1000, flop_rate=a_rate(100, 1.0), max_wait_s=10**6)
    tickets = [admission.admit(50, expected_flops=20) for _ in range(3)]
    left = {ticket: 50 for ticket in tickets}
    for step in steps:
        ticket = data.draw(st.sampled_from(tickets))
        match step:
            case "spend" if left[ticket]:
                ticket.spend(10)
                left[ticket] -= 10
            case "reserve" if left[ticket]:
                ticket.reserve(left[ticket], expected_flops=5)
            case "close":
                ticket.close()
                left[ticket] = 0
            case "decodes" | "begun" | "decoded":
                getattr(ticket, step)()
        assert admission.backlog.expected_flops >= 0
        assert 0 <= admission.backlog.decode_s <= 0.45
    for ticket in tickets:
        ticket.close()
    assert (admission.backlog.wait_s, admission.backlog.expected_flops, admission.load) == (0, 0, 0)
