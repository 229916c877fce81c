"""Turns streams' values into the API's JSON. Knows both sides, and no HTTP."""

from datetime import UTC, datetime

from pydantic import BaseModel

from fovea import stream_answers as schemas
from fovea.words import Decode, StreamState
from service.api.recognitions.answers import recognition_answer
from service.engine.pipeline import Pipeline
from service.streams.status import Counts, Look, Source, Status, Trouble
from service.streams.subscription import Subscription


class Report(BaseModel):
    """Where a stream stands, as its replica tells the others."""

    status: schemas.StreamStatus
    counts: schemas.StreamCounts


class Words:
    """The wording of events and reports: `service.streams.watcher.Wording`."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def result(self, look: Look) -> str:
        recognition = recognition_answer(look.recognition, self._pipeline.offer(look.recognition.plan.model))
        told = [prediction for prediction in recognition.predictions if prediction.score >= look.min_score]
        return schemas.ResultEvent(
            stream=look.stream,
            captured_at=_when(look.captured_at_s),
            frame_age_s=round(look.frame_age_s, 3),
            epoch=look.epoch,
            window=schemas.Window(
                start_s=round(look.window.start_s, 6), end_s=round(look.window.end_s, 6), partial=look.window.partial
            ),
            decode=Decode(look.window.mode),
            frames=schemas.Frames(
                decoded=look.frames_decoded,
                dropped=look.frames_dropped,
                distinct=len(set(look.window.keys_T)),
                reused=look.frames_reused,
            ),
            windows_dropped=look.windows_dropped,
            recognition=recognition.model_copy(update={"predictions": told}),
        ).model_dump_json()

    def state(self, stream: str, status: Status) -> str:
        return schemas.StateEvent(stream=stream, **dict(status_answer(status))).model_dump_json()

    def report(self, status: Status, counts: Counts) -> str:
        told = schemas.StreamCounts(
            results=counts.results,
            windows_dropped=counts.windows_dropped,
            frames_decoded=counts.frames_decoded,
            frames_dropped=counts.frames_dropped,
            reconnects=counts.reconnects,
            spent_gflops=counts.spent_flops / 1e9,
        )
        return Report(status=status_answer(status), counts=told).model_dump_json()

    def epoch_of(self, report: str) -> int:
        return Report.model_validate_json(report).status.epoch


def status_answer(status: Status) -> schemas.StreamStatus:
    return schemas.StreamStatus(
        state=status.state,
        since=_when(status.since_s),
        error=None if status.trouble is None else _error(status.trouble),
        epoch=status.epoch,
        decode=Decode(status.mode),
        video=None if status.source is None else _video(status.source),
    )


def stream_answer(
    subscription: Subscription, report: str | None, last_event_id: str | None, unread_s: float, now_s: float
) -> schemas.Stream:
    """`report` as its replica gave it; None where no replica has taken the stream up. `now_s` is wall-clock."""
    if report is None:
        waiting = Status(StreamState.WAITING, subscription.created_s, None, 0, "all", None)
        told = Report(status=status_answer(waiting), counts=NO_COUNTS)
    else:
        told = Report.model_validate_json(report)
    ttl_s = subscription.ttl_s
    return schemas.Stream(
        id=subscription.id,
        url=str(subscription.url),
        model=subscription.model,
        task=subscription.task,
        budget_gflops=subscription.budget_flops / 1e9,
        max_gflops=None if subscription.max_flops is None else subscription.max_flops / 1e9,
        window_s=subscription.window_s,
        stride_s=round(subscription.stride_s, 6),
        grid_s=round(float(subscription.cell_s), 6),
        top_k=subscription.top_k,
        min_score=subscription.min_score,
        on=subscription.on,
        decode=subscription.decode,
        transport=subscription.transport,
        ttl_s=ttl_s,
        created_at=_when(subscription.created_s),
        expires_at=None if ttl_s is None else _when(now_s + ttl_s - unread_s),
        status=told.status,
        counts=told.counts,
        last_event_id=last_event_id,
    )


NO_COUNTS = schemas.StreamCounts(
    results=0, windows_dropped=0, frames_decoded=0, frames_dropped=0, reconnects=0, spent_gflops=0
)


def _error(trouble: Trouble) -> schemas.StreamError:
    return schemas.StreamError(
        error_class=trouble.error_class,
        detail=trouble.detail,
        attempts=trouble.attempts,
        retry_at=None if trouble.retry_at_s is None else _when(trouble.retry_at_s),
    )


def _video(source: Source) -> schemas.StreamVideo:
    interval_s = source.keyframe_interval_s
    return schemas.StreamVideo(
        width=source.width_px,
        height=source.height_px,
        codec=source.codec,
        keyframe_interval_s=None if interval_s is None else round(interval_s, 3),
    )


def _when(wall_s: float) -> datetime:
    return datetime.fromtimestamp(round(wall_s, 3), UTC)
