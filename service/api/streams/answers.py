"""From what streams keep to the API's JSON: the one place where the two meet. Knows both sides, and no HTTP."""

from datetime import UTC, datetime

from fovea import answers as api
from fovea import stream_answers as schemas
from fovea.words import Decode, StreamState
from service.engine.summary import Place, Scored, StepSummary, Summary
from service.streams.status import Counts, Report, Result, Source, Status, Trouble
from service.streams.subscription import Subscription
from service.webhooks.target import shown


def stream_answer(
    subscription: Subscription, report: Report | None, last_event_id: str | None, unread_s: float, now_s: float
) -> schemas.Stream:
    """`report` is None where no replica has taken the stream up. `now_s` is wall-clock."""
    waiting = Report(Status(StreamState.WAITING, subscription.created_s, None, 0, "all", None), Counts())
    told = report or waiting
    ttl_s, webhook = subscription.ttl_s, subscription.webhook
    return schemas.Stream(
        id=subscription.id,
        name=subscription.name,
        labels=dict(subscription.labels),
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
        abstain=subscription.abstain,
        on=subscription.on,
        decode=subscription.decode,
        transport=subscription.transport,
        clock=subscription.clock,
        connect_timeout_s=subscription.connect_timeout_s,
        open_timeout_s=subscription.open_timeout_s,
        stall_timeout_s=subscription.stall_timeout_s,
        ttl_s=ttl_s,
        webhook_url=None if webhook is None else shown(webhook.url),
        webhook_events=[] if webhook is None else list(webhook.events),
        created_at=_when(subscription.created_s),
        expires_at=None if ttl_s is None else _when(now_s + ttl_s - unread_s),
        status=status_answer(told.status),
        counts=_counts(told.counts),
        last_event_id=last_event_id,
    )


def state_event(stream: str, status: Status) -> schemas.StateEvent:
    return schemas.StateEvent(stream=stream, **dict(status_answer(status)))


def result_event(stream: str, result: Result) -> schemas.ResultEvent:
    return schemas.ResultEvent(
        stream=stream,
        captured_at=_when(result.captured_s),
        frame_age_s=round(result.frame_age_s, 3),
        epoch=result.epoch,
        window=schemas.Window(start_s=round(result.start_s, 6), end_s=round(result.end_s, 6), partial=result.partial),
        decode=Decode(result.mode),
        frames=schemas.Frames(
            decoded=result.frames_decoded,
            dropped=result.frames_dropped,
            distinct=result.frames_distinct,
            reused=result.frames_reused,
        ),
        windows_dropped=result.windows_dropped,
        recognition=_recognition(result.recognition),
    )


def status_answer(status: Status) -> schemas.StreamStatus:
    return schemas.StreamStatus(
        state=status.state,
        since=_when(status.since_s),
        error=None if status.trouble is None else _error(status.trouble),
        epoch=status.epoch,
        decode=Decode(status.mode),
        video=None if status.source is None else _video(status.source),
    )


def _counts(counts: Counts) -> schemas.StreamCounts:
    return schemas.StreamCounts(
        results=counts.results,
        windows_dropped=counts.windows_dropped,
        frames_decoded=counts.frames_decoded,
        frames_dropped=counts.frames_dropped,
        reconnects=counts.reconnects,
        spent_gflops=counts.spent_flops / 1e9,
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
        clock=source.clock,
    )


def _recognition(kept: Summary) -> api.RecognitionAnswer:
    """As an upload is answered; see `service.api.recognitions.answers`."""
    last, video, timing = kept.steps[-1], kept.video, kept.timing
    return api.RecognitionAnswer(
        id=kept.id,
        model=kept.model,
        bundle=kept.digest,
        task=kept.task,
        trained=kept.trained,
        calibrated=kept.scores_calibrated,
        label=kept.label,
        display_name=kept.display_name,
        reason=kept.reason,
        in_domain=None if kept.in_domain is None else round(kept.in_domain, 6),
        predictions=[_prediction(scored) for scored in kept.likeliest],
        exit=api.Exit(reason=kept.exit_reason, step=last.step, entropy_nats=round(last.entropy_nats, 6)),
        compute=api.Compute(
            budget_gflops=kept.budget_flops / 1e9,
            max_gflops=None if kept.max_flops is None else kept.max_flops / 1e9,
            spent_gflops=sum(step.flops for step in kept.steps) / 1e9,
            steps=[_step(step) for step in kept.steps],
        ),
        video=api.Video(
            duration_s=round(video.duration_s, 3),
            width=video.width_px,
            height=video.height_px,
            codec=video.codec,
            frames_decoded=video.frames_decoded,
            frames_sampled=video.frames_sampled,
        ),
        timing_ms=api.TimingMs(
            upload=_ms(timing.upload_s),
            decode=_ms(timing.decode_s),
            queue=_ms(timing.queue_s),
            inference=_ms(timing.inference_s),
            total=_ms(timing.total_s),
        ),
    )


def _step(step: StepSummary) -> api.StepTaken:
    return api.StepTaken(
        step=step.step,
        kind="glance" if step.place is None else "cube",
        gflops=step.flops / 1e9,
        entropy_nats=round(step.entropy_nats, 6),
        top=_prediction(step.top),
        cube=None if step.place is None else _cube(step.place),
    )


def _prediction(scored: Scored) -> api.Prediction:
    return api.Prediction(label=scored.label, display_name=scored.display_name, score=scored.probability)


def _cube(place: Place) -> api.CubePlace:
    return api.CubePlace(
        pts_s=(round(place.first_pts_s, 3), round(place.last_pts_s, 3)),
        box=api.Box(x=place.x, y=place.y, w=place.w, h=place.h),
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _when(wall_s: float) -> datetime:
    return datetime.fromtimestamp(round(wall_s, 3), UTC)
