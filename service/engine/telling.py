"""What metrics and traces hear of a video on its way through the pipeline. Knows no HTTP."""

import time
from contextlib import AbstractContextManager

from fovea.errors import DeadlineBeforeGlance
from service.engine.request import Plan, Recognition, Request, Step
from service.metrics import Metrics
from service.tracing.tracing import Tracing
from video.clip import Clip, EarlyFrames


class Telling:
    """Every number is told once, where it is known. One event loop's."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing
        self._least_first_result_s: float | None = None  # the fastest glance seen, from the end of its upload

    def decoding(self, model: str) -> AbstractContextManager[None]:
        """The span of it."""
        return self._tracing.span("decode", model=model)

    def window(self, lane: str, parent: str | None) -> AbstractContextManager[None]:
        """The span of a camera's window, or another's whose `lane` it is; `parent`: see `Tracing.span`."""
        return self._tracing.span("window", parent=parent, lane=lane)

    def let_in(self, asked_s: float) -> None:
        """It was a video's turn to decode."""
        self._tracing.record("queue", asked_s, time.monotonic(), waits_for="decoding")

    def scanned(self, started_s: float, ended_s: float) -> None:
        """Its packets were read, before the first frame was decoded."""
        self._tracing.record("scan", started_s, ended_s)

    def decoded(self, clip: Clip, took_s: float) -> None:
        """What its first look wants."""
        self._metrics.decode_seconds.observe(took_s, self._tracing.exemplar())
        self._metrics.frames_decoded_total.labels(kind="glance").inc(clip.info.frames_decoded)

    def followed(self, since_s: float) -> None:
        """The child that followed its upload is through with it."""
        self._tracing.record("early", since_s, time.monotonic())

    def used_early(self, early: EarlyFrames, clip: Clip) -> None:
        """What of the frames that were decoded while it arrived is in the clip."""
        used = clip.info.frames_early
        self._metrics.early_frames_total.labels(outcome="used").inc(used)
        self._metrics.early_frames_total.labels(outcome="unused").inc(len(early.packets) - used)

    def decoded_more(self, more: Clip) -> None:
        """What a further step looks at."""
        self._metrics.frames_decoded_total.labels(kind="focus").inc(more.info.frames_decoded)

    def tried_more(self, took_s: float) -> None:
        """Whether frames came of it or not."""
        self._metrics.further_decode_seconds.observe(took_s)

    def first_result(self, after_s: float) -> None:
        """Its glance is done, so long after the end of its upload."""
        self._metrics.time_to_first_result_seconds.observe(after_s, self._tracing.exemplar())
        if self._least_first_result_s is None or after_s < self._least_first_result_s:
            self._least_first_result_s = after_s

    def step(self, request: Request, step: Step, free_s: float, ended_s: float) -> None:
        """A step that was taken, and the wait before it, since `free_s`."""
        self._tracing.record("queue", free_s, max(free_s, step.began_s), waits_for="device")
        self._tracing.record(
            "glance" if step.cube is None else "cube",
            step.began_s,
            ended_s,
            model=request.plan.model,
            step=step.step,
            gflops=step.flops / 1e9,
            budget_gflops=request.plan.budget_flops / 1e9,
            spent_gflops=sum(one.flops for one in request.steps[: step.step + 1] if not one.held) / 1e9,
            entropy_nats=step.entropy_nats,
        )

    def answer(self, recognition: Recognition) -> None:
        """The end, with all numbers."""
        self._metrics.recognized(recognition, self._tracing.exemplar())
        self._tracing.tell(
            recognition=recognition.id,
            model=recognition.plan.model,
            budget_gflops=recognition.plan.budget_flops / 1e9,
            spent_gflops=recognition.spent_flops / 1e9,
            steps=len(recognition.steps),
            exit_reason=str(recognition.exit_reason),
        )

    def deadline_before_glance(self, plan: Plan) -> DeadlineBeforeGlance:
        """Names the least time that a first result has taken so far."""
        least_s = self._least_first_result_s
        measured = (
            "no video was answered yet, so the least time is not known"
            if least_s is None
            else f"the fastest so far took {least_s * 1000:.0f} ms"
        )
        return DeadlineBeforeGlance(
            f"deadline_ms={plan.deadline_ms} passed before the glance was done; {measured}; "
            "give it more time, or leave the deadline out",
            retry_after_s=1,
            deadline_ms=plan.deadline_ms,
            least_ms=None if least_s is None else round(least_s * 1000),
        )
