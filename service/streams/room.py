"""Whether an owner may subscribe one more camera: its share of those there may be. Pure arithmetic.

Cameras stay for days, so that nobody's share is lent: what one owner took could not be had back when another comes.
"""

import math
from collections.abc import Iterable, Sequence

from fovea.errors import Overloaded
from service.engine.lanes import Owner
from service.streams.subscription import Subscription


def check_room(
    subscribed: Iterable[Subscription], new: Subscription, owners: Sequence[Owner], max_streams: int
) -> None:
    """Raises Overloaded where `new` is one more than its owner's share, by weight among `owners`.

    Who is alone may have all; what is subscribed already is no new one.
    """
    theirs = [one.id for one in subscribed if one.owner == new.owner]
    owner = next((one for one in owners if one.name == new.owner), None)
    if owner is None or new.id in theirs:
        return
    share = max(1, math.floor(max_streams * owner.weight / sum(one.weight for one in owners)))
    if len(theirs) >= share:
        raise Overloaded(
            f"the key {owner.name!r} has its share of the {max_streams} streams there may be, {share}; delete one "
            "first, or have the operator raise FOVEA_MAX_STREAMS or the key's priority",
            max_streams=share,
        )
