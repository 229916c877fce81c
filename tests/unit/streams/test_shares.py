"""Who watches which camera: nobody what he cannot, all as even as that allows, and no more moves than needed."""

import random

from hypothesis import given
from hypothesis import strategies as st

from service.streams.shares import Replica, assign

from . import plain_shares

BOTH = frozenset({"x", "y"})


def replica(models: str = "x", capacity: int = 100, held: str = "") -> Replica:
    return Replica(frozenset(models), capacity, frozenset(held))


def loads(places: dict[str, str], *names: str) -> list[int]:
    return [sum(place == name for place in places.values()) for name in names]


def test_one_replica_watches_all_that_it_can() -> None:
    assert assign({"a": "x", "b": "y"}, {"one": replica("x")}) == {"a": "one"}


def test_alike_replicas_get_alike_shares() -> None:
    places = assign(dict.fromkeys("abcdefg", "x"), {"one": replica(), "two": replica(), "three": replica()})
    assert sorted(loads(places, "one", "two", "three")) == [2, 2, 3]


def test_a_new_replica_gets_its_share_and_no_stream_moves_that_need_not() -> None:
    places = assign(dict.fromkeys("abcd", "x"), {"one": replica(held="abcd"), "two": replica()})
    assert places == {"a": "one", "b": "one", "c": "two", "d": "two"}  # the youngest move
    again = assign(dict.fromkeys("abcd", "x"), {"one": replica(held="abd"), "two": replica(held="c")})
    assert again["c"] == "two"
    assert loads(again, "one", "two") == [2, 2]
    assert assign(dict.fromkeys("abc", "x"), {"one": replica(held="ab"), "two": replica(held="c")}) == {
        "a": "one",
        "b": "one",
        "c": "two",
    }


def test_a_replica_that_left_or_died_leaves_its_streams_to_the_others() -> None:
    assert assign({"a": "x", "b": "x"}, {"two": replica(held="b")}) == {"a": "two", "b": "two"}


def test_unlike_replicas_share_what_each_can_serve() -> None:
    """The one with both models leaves the common ones to the other."""
    streams = dict.fromkeys("abcd", "x") | dict.fromkeys("efgh", "y")
    places = assign(streams, {"both": replica("xy"), "only-x": replica("x")})
    assert places == dict.fromkeys("abcd", "only-x") | dict.fromkeys("efgh", "both")


def test_a_stream_that_only_a_full_replica_can_serve_makes_room_for_itself() -> None:
    places = assign(
        {"a": "x", "b": "x", "c": "y"}, {"both": replica("xy", capacity=2, held="ab"), "only-x": replica("x")}
    )
    assert places["c"] == "both"
    assert loads(places, "both", "only-x") in ([1, 2], [2, 1])


def test_room_is_made_by_way_of_others_where_it_has_to_be() -> None:
    """z is full of x, and x could go to the middle only, which is full of y."""
    replicas = {
        "left": replica("xz", capacity=1, held="a"),
        "middle": replica("xy", capacity=1, held="b"),
        "right": replica("y", capacity=1),
    }
    assert assign({"a": "x", "b": "y", "c": "z"}, replicas) == {"a": "middle", "b": "right", "c": "left"}


def test_the_first_one_up_takes_no_more_than_it_can() -> None:
    assert loads(assign(dict.fromkeys("abcdef", "x"), {"first": replica(capacity=4)}), "first") == [4]


REPLICAS = st.dictionaries(
    st.sampled_from(["one", "two", "three", "four"]),
    st.builds(
        Replica,
        st.frozensets(st.sampled_from("xyz")),
        st.integers(0, 6),
        st.frozensets(st.sampled_from("abcdefghij")),
    ),
    max_size=4,
)


@given(st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from("xyz")), REPLICAS)
def test_nobody_is_given_what_he_cannot_and_nothing_is_left_that_somebody_could(
    streams: dict[str, str], replicas: dict[str, Replica]
) -> None:
    places = assign(streams, replicas)
    for stream, name in places.items():
        assert streams[stream] in replicas[name].models
    served = {name: {stream for stream, place in places.items() if place == name} for name in replicas}
    for name, one in replicas.items():
        assert len(served[name]) <= one.capacity
    for stream in streams.keys() - places.keys():
        for name, one in replicas.items():
            assert streams[stream] not in one.models or len(served[name]) == one.capacity
    for name in replicas:  # no single move makes it more even
        for other, taker in replicas.items():
            movable = any(streams[stream] in taker.models for stream in served[name])
            roomy = len(served[other]) < taker.capacity
            assert not (movable and roomy and len(served[other]) < len(served[name]) - 1)


@given(st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from("xyz")), REPLICAS)
def test_once_everybody_holds_what_he_was_given_nothing_moves(
    streams: dict[str, str], replicas: dict[str, Replica]
) -> None:
    places = assign(streams, replicas)
    settled = {
        name: Replica(one.models, one.capacity, frozenset(stream for stream, place in places.items() if place == name))
        for name, one in replicas.items()
    }
    assert assign(streams, settled) == places


@given(st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from("xyz")), REPLICAS)
def test_the_answer_is_that_of_the_rule_written_plainly(streams: dict[str, str], replicas: dict[str, Replica]) -> None:
    assert assign(streams, replicas) == plain_shares.assign(streams, replicas)


def test_it_is_so_for_many_more_cameras_too() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        streams = {f"c{number:03}": rng.choice("xyz") for number in range(rng.randint(20, 80))}
        replicas = {
            name: Replica(
                frozenset(rng.sample("xyz", rng.randint(1, 3))),
                rng.choice([5, 15, 25, 100]),
                frozenset(rng.sample(sorted(streams), rng.randint(0, len(streams) // 2))),
            )
            for name in rng.sample(["one", "two", "three", "four", "five", "six"], rng.randint(1, 6))
        }
        assert assign(streams, replicas) == plain_shares.assign(streams, replicas), seed
