"""What is held of the video of one request, and under which key: it may have been seen in several kinds of frames.

Keyframes that may stand in for a glance's frames change what it says, and so may a loop filter that is left out; when
frames are decoded does not. Knows no HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from service.engine.admission import Ticket
from service.engine.budget import Offer
from service.engine.request import Plan
from service.results.results import Found, Results


@dataclass(frozen=True, slots=True)
class HeldVideo:
    """`key`: where its steps are, or will be kept. `skip_loop_filter`: in all frames of it, also those to come."""

    key: str
    found: Found | None  # steps that an earlier request has paid for
    skip_loop_filter: bool

    @classmethod
    async def look_up(
        cls,
        results: Results,
        path: Path,
        plan: Plan,
        offer: Offer,
        ticket: Ticket,
        *,
        keyframe_tolerance: float,
        skip_loop_filter: Sequence[bool],
    ) -> "HeldVideo":
        """`skip_loop_filter`: as this request would have its frames, then as others have them, which will do too: who
        wants a picture finds what is held for who does not, and goes on as that was begun."""
        misses = []
        for skips in dict.fromkeys(skip_loop_filter):
            key = await results.key(path, ticket.owner.name, offer, keyframe_tolerance, skips)
            found = await _find(results, key, plan, ticket)
            if found is not None:
                return cls(key, found, skips)
            misses.append(cls(key, None, skips))
        return misses[0]


async def _find(results: Results, key: str, plan: Plan, ticket: Ticket) -> Found | None:
    """Given back as it was if its client leaves before the run."""
    found = await results.find(key, plan)
    if found is not None and found.paused is not None:
        ticket.when_over_unrun(partial(results.give_back, key, found.paused))
    return found
