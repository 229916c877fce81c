"""Every Prometheus collector, in one place. Knows what is counted, not how it comes about.

Who tells: `api.accounting` finishes requests, `pipeline` tells of decoding and answers, `engine` of batches and FLOPs,
`keys.usage` of who spent them, `streams.watcher` of cameras, `api.http_metrics` of HTTP. Labels are bounded: models
are those loaded and keys those of the file, never what a client wrote. An `exemplar`
names the trace of what was measured; the OpenMetrics format tells it.
"""

from importlib.metadata import version
from typing import Literal, TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from service.engine.request import Recognition

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series, and nobody asks for them

Outcome: TypeAlias = Literal["ok", "invalid", "rejected", "expired", "cancelled", "error"]
"""How a request ended: answered; refused as it stands (4xx); refused for now (429, 503); out of time before there was
an answer; left by its client; failed by us (5xx)."""

Kind: TypeAlias = Literal["recognition", "timeline"]

NO_MODEL = "none"  # the model label of requests that ended before a model was settled

# Wall-clock of whole requests and of decoding: 5 ms for a tiny cached clip up to a minute of a slow upload.
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# A job's life: a tiny clip with nobody waiting up to a night of them.
JOB_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)
# One batch on the device: 1 ms on a GPU up to 2.5 s for a full glance batch on a small CPU.
DEVICE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
# From a compact model's glance (0.1 GFLOPs) to a fixed-cost giant's (600), about two buckets to a doubling at most.
FLOPS = tuple(int(gflops * 1e9) for gflops in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 800))
# Spent over budget: 1 is "exactly B"; B bounds the mean, so single videos lie on both sides.
RATIO = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2, 4)
# Granted over asked for: 1 in quiet times; the first step of the shipped model is a third of its default budget.
GRANTED = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.999, 1.0)
# Cubes are few; 18 is the most of the paper's models.
CUBES = (0, 1, 2, 3, 4, 6, 8, 12, 18)
# Batch sizes, by doubling.
BATCH = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The collectors of one application, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        Info("fovea_build", "What runs here.", registry=registry).info({"version": version("fovea-server")})
        self.model_info = Gauge(
            "fovea_model_info",
            "1 for each loaded model.",
            ["model", "bundle", "task", "trained"],
            registry=registry,
        )
        self.requests_total = Counter(
            "fovea_requests_total", "Recognition requests, by how they ended.", ["model", "outcome"], registry=registry
        )
        self.request_duration_seconds = Histogram(
            "fovea_request_duration_seconds",
            "Wall-clock of a recognition request, from its first byte to its end, whatever its outcome.",
            registry=registry,
            buckets=REQUEST_SECONDS,
        )
        self.queue_wait_seconds = Histogram(
            "fovea_queue_wait_seconds",
            "Time an answered request spent decoded and waiting for the device.",
            registry=registry,
            buckets=REQUEST_SECONDS,
        )
        self.decode_seconds = Histogram(
            "fovea_decode_seconds",
            "Time to decode one video up to its glance, waiting for a decoding process included.",
            registry=registry,
            buckets=REQUEST_SECONDS,
        )
        self.further_decode_seconds = Histogram(
            "fovea_further_decode_seconds",
            "Time to decode more frames of a video that went on after its first step, waiting included.",
            registry=registry,
            buckets=REQUEST_SECONDS,
        )
        self._of_frames(registry)
        self.decode_estimate_seconds = Histogram(
            "fovea_decode_estimate_seconds",
            "What decoding one video was estimated to take, once its packets were read; refused ones count.",
            registry=registry,
            buckets=REQUEST_SECONDS,
        )
        self.inference_seconds = Histogram(
            "fovea_inference_seconds",
            "Time of one batch on the device.",
            ["kind"],
            registry=registry,
            buckets=DEVICE_SECONDS,
        )
        self.time_to_first_result_seconds = Histogram(
            "fovea_time_to_first_result_seconds",
            "Time from the end of the upload to the glance's answer.",
            registry=registry,
            buckets=REQUEST_SECONDS,
        )
        self.flops_total = Counter(
            "fovea_flops_total",
            "Multiply-adds spent, for answers and for requests that ended without one.",
            ["model"],
            registry=registry,
        )
        self.key_requests_total = Counter(
            "fovea_key_requests_total",
            "Answers, windows of cameras among them, by the name of the key; none: without one.",
            ["key", "model"],
            registry=registry,
        )
        self.key_flops_total = Counter(
            "fovea_key_flops_total",
            "Multiply-adds spent, by the name of the key that asked.",
            ["key", "model"],
            registry=registry,
        )
        self.request_flops = Histogram(
            "fovea_request_flops",
            "Multiply-adds spent on one answer.",
            ["model"],
            registry=registry,
            buckets=FLOPS,
        )
        self.budget_used_ratio = Histogram(
            "fovea_budget_used_ratio",
            "Multiply-adds of an answer over its budget B as granted; B bounds the mean of this, not each video.",
            registry=registry,
            buckets=RATIO,
        )
        self.budget_granted_ratio = Histogram(
            "fovea_budget_granted_ratio",
            "Budget that an answer was granted over the one that was asked for; below 1: the service was busy.",
            registry=registry,
            buckets=GRANTED,
        )
        self.cubes_used = Histogram(
            "fovea_cubes_used", "Cubes looked at for one answer.", registry=registry, buckets=CUBES
        )
        self.exits_total = Counter(
            "fovea_exits_total", "Answers, by why they stopped where they did.", ["model", "reason"], registry=registry
        )
        self.abstained_total = Counter(
            "fovea_abstained_total",
            "Answers without a label, by why: not_known (in_domain below the model's threshold) or below_min_score.",
            ["model", "reason"],
            registry=registry,
        )
        self.batch_size = Histogram(
            "fovea_batch_size", "Videos in one batch on the device.", ["kind"], registry=registry, buckets=BATCH
        )
        self.requests_waiting = Gauge(
            "fovea_requests_waiting", "Decoded videos that wait for their next step.", registry=registry
        )
        self.requests_awaiting_frames = Gauge(
            "fovea_requests_awaiting_frames",
            "Videos between two steps that wait for frames to be decoded; they count as waiting, too.",
            registry=registry,
        )
        self.requests_running = Gauge(
            "fovea_requests_running", "Videos in the batch that is on the device.", registry=registry
        )
        self._of_room(registry)
        self.timelines_running = Gauge(
            "fovea_timelines_running",
            "Timelines being uploaded or at work; at FOVEA_MAX_TIMELINES more are refused.",
            registry=registry,
        )
        self.timeline_requests_total = Counter(
            "fovea_timeline_requests_total",
            "Timeline requests, by how they ended.",
            ["model", "outcome"],
            registry=registry,
        )
        self.timelines_total = Counter(
            "fovea_timelines_total",
            "Timelines that were answered, by how far they got: complete, deadline, broken or quota.",
            ["ended"],
            registry=registry,
        )
        self.timeline_video_seconds_total = Counter(
            "fovea_timeline_video_seconds_total", "Seconds of video that timelines were made of.", registry=registry
        )
        self.timeline_windows_total = Counter(
            "fovea_timeline_windows_total",
            "Windows of timelines: looked at with all their frames (full), carried on because nothing had changed "
            "(carried), seen by a scout alone (scouted), or not paid for (unpaid).",
            ["look"],
            registry=registry,
        )
        self.timeline_frames_decoded_total = Counter(
            "fovea_timeline_frames_decoded_total", "Frames decoded for timelines.", registry=registry
        )
        self.state_up = Gauge(
            "fovea_state_up",
            "Whether Redis, or the file in FOVEA_STATE_DIR, could be used when it was needed last: 1 or 0.",
            registry=registry,
        )
        self.stream_state = Gauge(
            "fovea_stream_state", "Streams that this replica watches, by state.", ["state"], registry=registry
        )
        self.stream_reconnects_total = Counter(
            "fovea_stream_reconnects_total",
            "Times that a camera was lost or could not be opened, by why.",
            ["error_class"],
            registry=registry,
        )
        self.stream_frames_decoded_total = Counter(
            "fovea_stream_frames_decoded_total",
            "Frames of cameras that were decoded, by what was decoded of them: all or keyframes.",
            ["mode"],
            registry=registry,
        )
        self.stream_frames_dropped_total = Counter(
            "fovea_stream_frames_dropped_total", "Frames of cameras that were not used.", ["reason"], registry=registry
        )
        self.windows_dropped_total = Counter(
            "fovea_stream_windows_dropped_total",
            "Windows that were not recognised: the next was there (busy), no credit was left (budget), or a failure.",
            ["reason"],
            registry=registry,
        )
        self.stream_frame_age_seconds = Histogram(
            "fovea_stream_frame_age_seconds",
            "From the arrival of a window's newest picture to its result.",
            registry=registry,
            buckets=REQUEST_SECONDS,
        )
        self.camera_up = Gauge(
            "fovea_camera_up",
            "Whether pictures of a camera arrive, 1 or 0, by its name; with FOVEA_CAMERA_METRICS, where it is watched.",
            ["camera", "stream"],
            registry=registry,
        )
        self.jobs = Gauge(
            "fovea_jobs_kept", "Jobs that are kept, over all replicas, by state.", ["state"], registry=registry
        )
        self.job_queue_age_seconds = Gauge(
            "fovea_job_queue_age_seconds",
            "Age of the job that has waited longest for somebody to begin it; 0 where none waits.",
            registry=registry,
        )
        self.jobs_total = Counter(
            "fovea_jobs_total", "Jobs that this replica has ended, by how.", ["kind", "state"], registry=registry
        )
        self.job_seconds = Histogram(
            "fovea_job_seconds",
            "From the acceptance of a job to its end.",
            registry=registry,
            buckets=JOB_SECONDS,
        )
        self.webhook_deliveries_total = Counter(
            "fovea_webhook_deliveries_total",
            "Messages to receivers: delivered, failed and tried again later, or given up (dead).",
            ["outcome"],
            registry=registry,
        )
        self._of_held_answers(registry)
        self._of_the_broker(registry)
        self.http_server_request_duration_seconds = Histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP requests, as OpenTelemetry's http.server.request.duration.",
            ["http_request_method", "http_route", "http_response_status_code"],
            registry=registry,
            buckets=REQUEST_SECONDS,
        )

    def _of_frames(self, registry: CollectorRegistry) -> None:
        self.frames_decoded_total = Counter(
            "fovea_frames_decoded_total",
            "Frames of uploads that were decoded, by the kind of step that needed them: glance or focus.",
            ["kind"],
            registry=registry,
        )
        self.early_frames_total = Counter(
            "fovea_early_frames_total",
            "Frames that were decoded while their upload arrived and then asked for: used, or unused as others were "
            "wanted.",
            ["outcome"],
            registry=registry,
        )

    def _of_the_broker(self, registry: CollectorRegistry) -> None:
        self.mqtt_up = Gauge(
            "fovea_mqtt_up", "Whether the broker of FOVEA_MQTT_URL is connected: 1 or 0.", registry=registry
        )
        self.mqtt_messages_total = Counter(
            "fovea_mqtt_messages_total",
            "Messages to the broker: sent, or dropped because it was away or too slow.",
            ["outcome"],
            registry=registry,
        )

    def _of_held_answers(self, registry: CollectorRegistry) -> None:
        self.saved_flops_total = Counter(
            "fovea_saved_flops_total",
            "Multiply-adds of answers that were not spent, because their steps were held.",
            ["model"],
            registry=registry,
        )
        self.result_cache_lookups_total = Counter(
            "fovea_result_cache_lookups_total",
            "Videos that were looked for among those answered before: nothing was to be computed (hit), only the steps "
            "after those held (resumed), or all of it (miss).",
            ["outcome"],
            registry=registry,
        )
        self.result_cache_bytes = Gauge(
            "fovea_result_cache_bytes",
            "Bytes of answers that are held here; the oldest go at FOVEA_RESULT_CACHE_BYTES.",
            registry=registry,
        )
        self.resumable_bytes = Gauge(
            "fovea_resumable_bytes",
            "Bytes of videos between two steps that are held here to go on from; the oldest go at FOVEA_RESUME_BYTES.",
            registry=registry,
        )

    def _of_room(self, registry: CollectorRegistry) -> None:
        """What admission bounds, and how full it is."""
        self.decode_places_used = Gauge(
            "fovea_decode_places_used",
            "Requests being uploaded or decoded, or that may need more frames; at FOVEA_MAX_DECODE_PLACES more are "
            "refused.",
            registry=registry,
        )
        self.costly_decode_seconds = Gauge(
            "fovea_costly_decode_seconds",
            "Estimated seconds of decoding of costly videos that wait or decode; at FOVEA_MAX_COSTLY_DECODE_S more are "
            "refused.",
            registry=registry,
        )
        self.reserved_flops = Gauge(
            "fovea_reserved_flops",
            "Multiply-adds that admitted requests may still spend; at FOVEA_MAX_QUEUED_GFLOPS more are refused.",
            registry=registry,
        )
        self.load = Gauge(
            "fovea_load",
            "How full the fullest bound of admission is, as X-Fovea-Load; at 1 whoever comes is refused.",
            registry=registry,
        )
        self.pressure = Gauge(
            "fovea_pressure",
            "The same, smoothed over two seconds and without uploads that wait for nothing of ours: from 0.25 on "
            "budgets are granted in part.",
            registry=registry,
        )
        self.waiting_decode_seconds = Gauge(
            "fovea_waiting_decode_seconds",
            "Until the videos that are here are decoded, costly ones apart, at the speed measured; at FOVEA_MAX_WAIT_S "
            "more are refused.",
            registry=registry,
        )
        self.waiting_compute_seconds = Gauge(
            "fovea_waiting_compute_seconds",
            "Until the device has done what admitted requests are expected to need; at FOVEA_MAX_WAIT_S more are "
            "refused.",
            registry=registry,
        )
        self.waiting_flops = Gauge(
            "fovea_waiting_flops",
            "Multiply-adds that admitted requests are expected to spend yet, in the mean.",
            registry=registry,
        )
        self.refusals_total = Counter(
            "fovea_refusals_total",
            "Videos refused for want of room, by what was full: wait, places, requests, flops, share (of the key) or "
            "costly.",
            ["bound"],
            registry=registry,
        )

    def model_loaded(self, name: str, bundle: str, task: str, *, trained: bool) -> None:
        """`bundle`: its digest."""
        self.model_info.labels(model=name, bundle=bundle, task=task, trained=str(trained).lower()).set(1)

    def batch_ran(self, kind: str, size: int, seconds: float) -> None:
        """A batch of `size` videos was on the device for `seconds`; `kind` is glance or focus."""
        self.batch_size.labels(kind=kind).observe(size)
        self.inference_seconds.labels(kind=kind).observe(seconds)

    def recognized(self, recognition: Recognition, exemplar: dict[str, str] | None = None) -> None:
        """An answer is complete. Its FLOPs were counted as they were spent, in `flops_total`."""
        plan, spent_flops = recognition.plan, recognition.spent_flops
        if not recognition.cached:
            self.queue_wait_seconds.observe(recognition.timing.queue_s, exemplar)
        self.request_flops.labels(model=plan.model).observe(spent_flops)
        self.saved_flops_total.labels(model=plan.model).inc(recognition.total_flops - spent_flops)
        self.budget_used_ratio.observe(recognition.total_flops / plan.budget_granted_flops)
        self.budget_granted_ratio.observe(plan.budget_granted_flops / plan.budget_flops)
        self.cubes_used.observe(sum(step.cube is not None for step in recognition.steps))
        self.exits_total.labels(model=plan.model, reason=recognition.exit_reason).inc()
        if (why := recognition.verdict.reason) is not None:
            self.abstained_total.labels(model=plan.model, reason=why).inc()

    def timeline_ended(self, ended: str, video_s: float, frames_decoded: int, windows: dict[str, int]) -> None:
        """A timeline is answered. `windows` by how they were looked at."""
        self.timelines_total.labels(ended=ended).inc()
        self.timeline_video_seconds_total.inc(video_s)
        self.timeline_frames_decoded_total.inc(frames_decoded)
        for look, count in windows.items():
            self.timeline_windows_total.labels(look=look).inc(count)

    def job_ended(self, kind: str, state: str, seconds: float) -> None:
        """A job came to its end here, `seconds` after it was accepted. `kind` is one of those that are known."""
        self.jobs_total.labels(kind=kind, state=state).inc()
        self.job_seconds.observe(seconds)

    def finished(
        self,
        model: str,
        outcome: Outcome,
        seconds: float,
        kind: Kind = "recognition",
        exemplar: dict[str, str] | None = None,
    ) -> None:
        """A request came to its end, whichever it was; `model` is NO_MODEL where none was settled."""
        if kind == "timeline":
            self.timeline_requests_total.labels(model=model, outcome=outcome).inc()
            return
        self.requests_total.labels(model=model, outcome=outcome).inc()
        self.request_duration_seconds.observe(seconds, exemplar)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All of it in the format the scraper's Accept header prefers, and that format's content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
