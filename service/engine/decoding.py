"""How a video comes to its frames: which are looked at first, whose turn it is to decode, and what has been decoded
while it arrived. Knows no HTTP.
"""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from service.engine.admission import Ticket
from service.engine.budget import Offer
from service.engine.early import EarlyDecoding
from service.engine.engine import Engine
from service.engine.gate import Gate
from service.engine.lanes import Lane
from service.engine.request import Plan
from service.engine.still import Still, still_of
from service.engine.telling import Telling
from video.children.pace import Estimate
from video.children.sandbox import Sandbox
from video.clip import Clip, EarlyFrames, FirstLook, FurtherLook


class Decoding:
    """Files to clips, in the sandbox's processes. One event loop's."""

    def __init__(
        self,
        sandbox: Sandbox,
        gate: Gate,
        engine: Engine,
        lane: Lane,
        telling: Telling,
        *,
        on_demand: bool = True,
        keyframe_tolerance: float | None = None,
        skip_loop_filter: bool = True,
        while_uploading: bool = True,
    ) -> None:
        """`lane`: of uploads. `on_demand`: whether a clip may be begun with the glance's frames; else all at once.
        `keyframe_tolerance`: of a `FirstLook`; None: what each model was trained to bear. `skip_loop_filter`: for
        models that bear it. `while_uploading`: whether decoding begins while an upload arrives."""
        self._sandbox = sandbox
        self._gate = gate
        self._engine = engine
        self._lane = lane
        self._telling = telling
        self._on_demand = on_demand
        self._keyframe_tolerance = keyframe_tolerance
        self._skip_loop_filter = skip_loop_filter
        self._while_uploading = while_uploading

    def skips_loop_filter(self, offer: Offer, *, picture: bool = False) -> bool:
        """Whether its frames are decoded without the loop filter: never where one is a `picture` for people, too."""
        return self._skip_loop_filter and offer.skip_loop_filter and not picture

    def first_look(self, offer: Offer, plan: Plan) -> FirstLook | None:
        """The glance's frames, later those of the steps that the plan can take; None: all frames of the clip.

        A glance in two parts is decoded at once: most videos take both, and one pass is cheaper than two (decision
        0090). Where every video goes on after its first step, all frames are decoded at once, unless the keyframes that
        stand in for the glance's frames will do for the others.
        """
        steps = offer.step_indices
        if steps is None:
            return None
        later = tuple(sorted(set().union(*steps[1 : plan.most_steps])))
        tolerance = offer.keyframe_tolerance if self._keyframe_tolerance is None else self._keyframe_tolerance
        stay = 0 < tolerance <= offer.keyframe_tolerance
        skips = self.skips_loop_filter(offer, picture=plan.picture)
        if not self._on_demand or (plan.always_goes_on and not stay):
            return FirstLook(tuple(sorted({*offer.glance_indices, *later})), 0.0, (), skip_loop_filter=skips)
        return FirstLook(offer.glance_indices, tolerance, later, stay, skips)

    def early(self, path: Path, offer: Offer, plan: Plan, expected_bytes: int | None) -> EarlyDecoding | None:
        """For an upload that is about to arrive at `path`, `expected_bytes` of it if that is known; None: not done."""
        if not self._while_uploading:
            return None
        return EarlyDecoding(path, offer.clip_rule, self.first_look(offer, plan), self._sandbox.follow, expected_bytes)

    async def early_frames(
        self, early: EarlyDecoding | None, offer: Offer, look: FirstLook | None
    ) -> EarlyFrames | None:
        """What was decoded while the video arrived; None, too, where the plan is another since."""
        if early is None:
            return None
        if (early.rule, early.look) != (offer.clip_rule, look):
            early.close()
            return None
        waits_s = time.monotonic()
        frames = await early.frames()
        self._telling.followed(waits_s)
        return frames

    async def in_turn(
        self,
        path: Path,
        offer: Offer,
        ticket: Ticket,
        look: FirstLook | FurtherLook | None,
        early: EarlyFrames | None = None,
        *,
        is_for_device: bool = True,
    ) -> Clip:
        """Owners take turns; a video that turns out to be costly steps aside, and waits among its like.

        `is_for_device`: whether a step follows, for which a turn may be kept. Raises VideoError, Overloaded.
        """
        asked_s = time.monotonic()
        leave = await self._gate.enter(ticket.owner)
        self._telling.let_in(asked_s)
        if is_for_device:
            self._engine.expect(replace(self._lane, owner=ticket.owner), self._sandbox.decode_rate.seconds_for(1))

        def step_aside(estimate: Estimate) -> None:
            leave.close()
            ticket.wait_apart(estimate)

        try:
            with self._telling.decoding(offer.name):
                clip = await self._sandbox.decode(
                    path, offer.clip_rule, look, on_costly=step_aside, on_scan=self._telling.scanned, early=early
                )
        finally:
            leave.close()
        if early is not None:
            self._telling.used_early(early, clip)
        return clip

    async def picture_alone(self, path: Path, offer: Offer, ticket: Ticket) -> Still:
        """Of a video that nothing else is decoded of. Raises VideoError, Overloaded."""
        ticket.decodes()
        look = FirstLook((_in_the_middle(offer),), 0.0, ())
        return await picture_of(await self.in_turn(path, offer, ticket, look, is_for_device=False), offer)


async def picture_of(clip: Clip, offer: Offer) -> Still:
    """The middle one of the glance's frames."""
    return await asyncio.to_thread(still_of, clip, _in_the_middle(offer))


def _in_the_middle(offer: Offer) -> int:
    """Every first look decodes it."""
    indices = range(offer.clip_rule.num_frames) if offer.step_indices is None else offer.step_indices[0]
    return indices[len(indices) // 2]
