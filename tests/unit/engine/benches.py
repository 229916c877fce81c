"""An engine without its thread, a recognizer whose answers are known, and what a request heard."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.recognizer import Cube, Frames
from service.engine.engine import Engine
from service.engine.request import EngineEvent, FramesNeeded, Request, Step
from service.engine.scheduler import Scheduler
from service.metrics import Metrics
from video.clip import ClipRule

from .making import COSTS, GLANCE


@dataclass(frozen=True)
class KnownState:
    step: int
    entropy_nats: float
    clip: Frames

    @property
    def probabilities_C(self):
        return np.float32([0.5, 0.5])

    @property
    def cube(self):
        return Cube(0, 0, 0, 1, 2, 2) if self.step else None


class KnownRecognizer:
    """Entropy falls by 0.25 nats a step from what the clip's first byte says. Notes every batch it is given."""

    clip_rule = ClipRule(2, 4, 4, "stretch")
    step_flops = COSTS

    def __init__(self, broken_batches: Sequence[int] = ()) -> None:
        self.batches: list[tuple[int, ...]] = []  # the steps of each batch's rows
        self._broken_batches = broken_batches

    def glance(self, clips_THWC: Sequence[Frames]) -> list[KnownState]:
        return self._answer([KnownState(0, float(clip.flat[0]) / 128, clip) for clip in clips_THWC])

    def focus(self, states: Sequence[KnownState]) -> list[KnownState]:
        return self._answer(
            [replace(state, step=state.step + 1, entropy_nats=state.entropy_nats - 0.25) for state in states]
        )

    def _answer(self, states: list[KnownState]) -> list[KnownState]:
        self.batches.append(tuple(state.step for state in states))
        if len(self.batches) - 1 in self._broken_batches:
            raise RuntimeError("the device is on fire")
        return states


class Listener:
    """What one request heard."""

    def __init__(self) -> None:
        self.events: list[EngineEvent] = []

    def __call__(self, event: EngineEvent) -> None:
        assert not self.over, "an event after the exit"
        self.events.append(event)

    @property
    def over(self) -> bool:
        return bool(self.events) and not isinstance(self.events[-1], Step | FramesNeeded)

    @property
    def steps(self) -> list[Step]:
        return [event for event in self.events if isinstance(event, Step)]


class Bench:
    """An engine without its thread: `add` requests, `run` turns until nothing waits."""

    def __init__(
        self, recognizer: KnownRecognizer | None = None, scheduler: Scheduler | None = None, **limits: int
    ) -> None:
        self.recognizer = recognizer or KnownRecognizer()
        made = Scheduler(**{"max_batch_flops": 64 * GLANCE, "max_batch_size": 64} | limits)
        self.scheduler = made if scheduler is None else scheduler
        self.metrics = Metrics()
        self.now_s = 0.0
        self.engine = Engine({"m": self.recognizer}, self.scheduler, self.metrics, clock=lambda: self.now_s)

    def add(self, request: Request) -> Listener:
        request.emit = Listener()
        self.metrics.requests_waiting.inc()
        self.scheduler.add([request])
        return request.emit

    def run(self) -> None:
        while len(self.scheduler):
            self.engine.step()

    def deliver(self) -> None:
        """What came in is taken in."""
        self.engine._inbox.put(None)
        assert not self.engine._receive()

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0
