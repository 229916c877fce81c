"""Exits that keep a part of what the exit before them said: nothing that was computed is thrown away.

After Zero Time Waste (Wolczyk et al., NeurIPS 2021), whose exits weigh the answers of all before them in a geometric
mean. Their weights are learned; ours is one number, the same for all exits and classes. Knows no network.
"""

from collections.abc import Iterable, Sequence

from models.runtime.base import Array


def recycled(own_BC: Array, before_BC: Array, share: float) -> Array:
    """logits_BC of an exit whose head says `own_BC`, where the exit before it answered `before_BC`."""
    return own_BC if share == 0 else (1 - share) * own_BC + share * before_BC


def answered(own: Iterable[Array], share: float) -> Sequence[Array]:
    """logits_BC that every exit answers, of what the heads of all exits say, in their order; the first stands alone."""
    given: list[Array] = []
    for own_BC in own:
        given.append(recycled(own_BC, given[-1], share) if given else own_BC)
    return given
