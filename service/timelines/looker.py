"""Looks at one window of a long video after the other, as closely as it is worth. Knows no HTTP.

A scout goes first, at keyframes alone. Where they show the same, nothing else is decoded, and windows say what the
first of them said. Where something moves, the windows' own frames are decoded: the window that holds the most of it is
looked at with all steps, as far as the budget allows, and those around it with a glance. Where something has moved for
long without a change, a glance at keyframes decides whether the window says what the one before said.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from fovea.words import Decode, ExitReason
from models.recognizer import Shared
from service.engine.pipeline import Pipeline
from service.engine.request import Plan, Recognition
from service.engine.scheduler import exit_reason
from service.keys.spending import Spending
from service.streams.attention import Attention, Sight
from service.streams.windows import Window
from service.timelines.ahead import Ahead
from service.timelines.plan import TimelinePlan, WindowGrid
from service.timelines.purse import Purse
from service.timelines.reel import Reel
from service.timelines.values import Looks, Sighting
from video.children.timeline_process import TimelineProcess
from video.file.cells import FileFacts

LEAST_KEYFRAMES = 1  # in a window: what lasts as long as a window is not passed by

MAX_AHEAD_WINDOWS = 4  # that keyframes are read ahead


@dataclass(slots=True)
class _View:
    """What was seen last in one mode, and the features of its frames."""

    memory: dict[int, Any] = field(default_factory=dict)
    keys_T: tuple[int, ...] = ()
    recognition: Recognition | None = None


class Looker:
    """At one video. `looks` and `size_px` tell what was done and seen so far."""

    def __init__(
        self,
        pipeline: Pipeline,
        process: TimelineProcess,
        plan: TimelinePlan,
        grid: WindowGrid,
        facts: FileFacts,
        spending: Callable[[], Spending],
    ) -> None:
        """`spending`: on whose account the next look is."""
        self._spending = spending
        self._pipeline, self._plan, self._grid, self._facts = pipeline, plan, grid, facts
        self._rate = plan.flops_per_s(facts.duration_s)
        self.purse = Purse(self._rate)
        self._offer = pipeline.offer(plan.look.model)
        self._glance_plan = plan.look.glance_alone
        self._whole_plan, self._beside_plan = self._plans()
        decode = plan.options.decode
        self._attention = Attention(
            decode,
            window_s=grid.window_s,
            least_keyframes=LEAST_KEYFRAMES,
        )
        self._scouts = decode is Decode.AUTO and self._attention.is_enough(facts.keyframe_interval_s)
        self._chooses = decode is Decode.AUTO  # how closely; else all windows are looked at alike
        self._reel = Reel(
            process, grid.cell_s, grid.num_frames, cells_ahead=_cells_ahead(grid, facts) if self._scouts else 0
        )
        self._ahead = Ahead(self._reel, grid, keyframes_alone=decode is Decode.KEYFRAMES)
        self._scouted, self._closer = _View(), _View()
        self._latest: Recognition | None = None  # what the latest window said
        self.looks = Looks()
        self.size_px = 0, 0  # as displayed

    async def look(self, number: int) -> Sighting:
        """At window `number`; they go forward. Raises VideoError kin, Unavailable."""
        first = self._grid.first_cell(number)
        is_last = number == self._grid.num_windows - 1  # it ends with the video, but for a part of a cell
        end_s = math.inf if is_last else float((first + self._grid.num_frames) * self._grid.cell_s)
        self.purse.reach(min(self._facts.duration_s, end_s))
        spent_before = self.purse.spent_flops
        scouted = await self._ahead.scout(number) if self._scouts else None
        decides = False
        if scouted is None or not await self._is_quiet(scouted, first):
            before = self._latest
            window, decides = await self._ahead.see(number)
            is_beside = self._chooses and not decides and window is not None and _moves(window)
            kept_flops = 0 if is_last else self._whole_plan.most_flops  # for the next that decides
            close, glanced = await self._look(window, decides, kept_flops if is_beside else None), None
            if close is None and scouted is not None and not is_beside:  # else what decides is to have the credit
                glanced = await self._recognise(scouted, self._glance_plan, self._scouted)
            self._latest = close or glanced
            as_before = self._scouts and close is not None and close is before
            self._note("carried" if as_before else "full" if close else "scouted" if glanced else "unpaid")
            self._attend(close, first)
        else:
            self._note("carried")
        self._ahead.forget(number)
        return self._sighting(number, self.purse.spent_flops - spent_before, decides)

    async def _look(self, window: Window | None, decides: bool, kept_beside: int | None) -> Recognition | None:
        """At a window's own pictures, as closely as it is worth; None where it has none, or there is no credit.

        `kept_beside`: FLOPs that a window beside one that decides leaves; None: it is none.
        """
        if window is None:
            return None
        if kept_beside is not None:
            return await self._recognise(window, self._beside_plan, self._closer, kept_beside)
        if self._chooses and decides:
            return await self._recognise(window, self._whole_plan, self._closer)
        kept_flops = self._glance_plan.most_flops if self._scouts else 0
        return await self._recognise(window, self._plan.look, self._closer, kept_flops)

    async def _is_quiet(self, scouted: Window, first: int) -> bool:
        """Whether something moves, and has done so for long without a change, and the scene goes on as it was."""
        if self._attention.mode == "all" or self._latest is None or self._reel.stands_still(first):
            return False
        glanced = await self._recognise(scouted, self._glance_plan, self._scouted)
        if glanced is None:
            return False
        sight = Sight(glanced.verdict.label, glanced.steps[0].entropy_nats, settled=True)
        return self._attention.note(sight, self._facts.keyframe_interval_s) == "keyframes"

    def _attend(self, close: Recognition | None, first: int) -> None:
        """After a still scene all that moves is news; later one label and a steady entropy are none."""
        if close is None or self._reel.stands_still(first):
            self._attention.start_anew()
        else:
            self._attention.note(self._sight(close), self._facts.keyframe_interval_s)

    def _sight(self, close: Recognition) -> Sight:
        """What its glance says, however many steps were taken: that of the windows beside it says no more."""
        glance = replace(close, steps=close.steps[:1])
        step, plan = glance.steps[0], self._plan.look
        top = int(step.probabilities_C.argmax())
        reason = exit_reason(plan, 0, step.entropy_nats, step.flops, late=False, label=top)
        return Sight(glance.verdict.label, step.entropy_nats, settled=reason not in (None, ExitReason.CEILING))

    async def _recognise(self, window: Window, plan: Plan, view: _View, kept_flops: int = 0) -> Recognition | None:
        """None where there is no credit, but for what others are to have. A window of the same pictures as the one
        before says the same."""
        newest = window.pictures_T[-1]
        self.size_px = newest.width_px, newest.height_px
        if view.recognition is not None and view.keys_T == window.keys_T:
            return view.recognition
        affordable = self._affordable(plan, kept_flops)
        if affordable is None:
            return None
        clip = window.clip(self._facts.codec, 0, self._pipeline.offer(plan.model).clip_rule.num_crops)
        shared = Shared(window.keys_T, view.memory)
        with self._spending() as spending:
            spending.model = affordable.model
            await spending.reserve(affordable.most_flops)
            lane = self._pipeline.lanes.timelines
            recognition = await self._pipeline.look(
                affordable, clip, shared, spending.owner, lane=lane, on_spend=spending.spend
            )
            await spending.settle()  # the next window reserves from what is left
        self.purse.spend(recognition.spent_flops)
        view.keys_T, view.recognition = window.keys_T, recognition
        return recognition

    def _plans(self) -> tuple[Plan, Plan]:
        """For a window that decides: all steps. For those beside one: a glance, or what a window's share of the budget
        pays for, if that is more."""
        offer, share_flops = self._offer, int((self._rate or 0) * self._grid.stride_s)
        if not offer.calibrated:
            return self._plan.look, self._glance_plan
        whole = self._planned(budget_flops=offer.full_flops)
        if share_flops <= offer.least_flops:
            return whole, self._glance_plan
        return whole, self._planned(budget_flops=min(share_flops, offer.full_flops))

    def _affordable(self, plan: Plan, kept_flops: int) -> Plan | None:
        """The plan as far as there is credit."""
        if self._rate is None:
            return plan
        least_flops = plan.step_flops[0]
        most_flops = self._offer.full_flops if plan.max_flops is None else plan.max_flops
        if len(plan.step_flops) == 1:
            most_flops = least_flops
        granted = self.purse.grant(least_flops, most_flops, kept_flops=kept_flops)
        if granted is None or len(plan.step_flops) == 1:
            return None if granted is None else plan
        if not self._offer.calibrated:
            return self._planned(max_flops=granted)
        budget_flops = min(granted, max(plan.budget_flops, int(self._rate * self._grid.stride_s)))
        return self._planned(budget_flops=budget_flops, max_flops=granted)

    def _planned(self, *, budget_flops: int | None = None, max_flops: int | None = None) -> Plan:
        """Of one look, within these; None: as the client has it."""
        each = replace(self._plan.options.each, model=self._plan.look.model, task=None, deadline_ms=None)
        if budget_flops is not None:
            each = replace(each, budget_flops=budget_flops)
        return self._pipeline.plan(each if max_flops is None else replace(each, max_flops=max_flops))

    def _sighting(self, number: int, spent_flops: int, decides: bool) -> Sighting:
        last = self._grid.num_windows - 1
        start_s = 0.0 if number == 0 else (self._middle_s(number - 1) + self._middle_s(number)) / 2
        is_last = number == last
        end_s = self._facts.duration_s if is_last else (self._middle_s(number) + self._middle_s(number + 1)) / 2
        latest = self._latest
        return Sighting(
            start_s=start_s,
            end_s=max(start_s, end_s),
            probabilities_C=None if latest is None else latest.steps[-1].probabilities_C,
            entropy_nats=0.0 if latest is None else latest.steps[-1].entropy_nats,
            spent_flops=spent_flops,
            label=None if latest is None else latest.verdict.label,
            likeliest=None if latest is None else latest.likeliest,
            decides=decides,
        )

    def _middle_s(self, number: int) -> float:
        return float((self._grid.first_cell(number) + self._grid.num_frames / 2) * self._grid.cell_s)

    def _note(self, how: str) -> None:
        """`how`: the name of a count of `Looks`."""
        self.looks = replace(self.looks, windows=self.looks.windows + 1, **{how: getattr(self.looks, how) + 1})


def _moves(window: Window) -> bool:
    return len(set(window.keys_T)) > 1


def _cells_ahead(grid: WindowGrid, facts: FileFacts) -> int:
    """As far as the next keyframe usually is, behind the windows that are decoded before their turn."""
    interval_s = facts.keyframe_interval_s or 0.0
    ahead = grid.num_frames // 2 + math.ceil(1.5 * interval_s / float(grid.cell_s)) + 1
    return min(MAX_AHEAD_WINDOWS * grid.num_frames, ahead)
