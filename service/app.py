"""The one place where the service is wired together: settings in, a FastAPI application out.

The lifespan starts and drains: models load while `/readyz` already answers 503; at the end, decode children and the
engine's thread are gone before the process is.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from models.recognizer import ChoosesFrames
from service.addresses.policy import AddressPolicy
from service.api.body.spool import spooled, sweep
from service.api.edge import openapi, problems
from service.api.edge.guard import Guard
from service.api.edge.heads import Heads
from service.api.edge.keyed import Keyed
from service.api.jobs import routes as job_routes
from service.api.jobs.bodies import bodies
from service.api.jobs.telling import Telling
from service.api.models import routes as model_routes
from service.api.operation import health, http_metrics
from service.api.pages import playground, problem_pages
from service.api.recognitions import routes as recognition_routes
from service.api.streams import routes as stream_routes
from service.api.streams import telling as stream_telling
from service.api.streams.events import Following
from service.api.timelines import routes as timeline_routes
from service.api.usage import routes as usage_routes
from service.blobs.store import Blobs
from service.engine.admission import Admission
from service.engine.budget import MeasuredPoint, Offer, OpenSet
from service.engine.engine import Engine
from service.engine.gate import Gate
from service.engine.lanes import Lane
from service.engine.pipeline import Lanes, Pipeline
from service.engine.scheduler import Scheduler
from service.fetch.fetcher import Fetcher
from service.fetch.web import FetchLimits
from service.jobs.desk import Desk, DeskParts
from service.jobs.local_queue import LocalQueue
from service.jobs.once import Once
from service.jobs.queue import Queue
from service.jobs.runner import Runner, RunnerParts
from service.keys.quota import Meter
from service.keys.ring import KeyRing
from service.keys.spending import Accounts
from service.keys.usage import Usage
from service.ledger.base import Ledger, LedgerRefused
from service.ledger.redis_ledger import RedisLedger
from service.ledger.sqlite import SqliteLedger
from service.metrics import Metrics
from service.settings import Settings
from service.streams.ingest import Terms
from service.streams.pool import Pool
from service.streams.sharing import SharedCameras
from service.streams.supervisor import Supervisor
from service.streams.watcher import Parts
from service.timelines.timelines import Timelines, TimelineTerms
from service.webhooks.outbox import Outbox
from service.webhooks.sender import Sender
from service.webhooks.target import TargetPolicy
from video.camera.live import Patience
from video.children.camera_process import CameraProcess
from video.children.capacity import num_children, num_cores
from video.children.sandbox import Sandbox
from video.children.timeline_process import TimelineProcess

if TYPE_CHECKING:
    from models import Model
    from models.bundle_format import OpenSetFacts

log = logging.getLogger(__name__)

JOB_EVENTS_KEPT = 1000  # a recognition has about ten
CAMERAS_PER_CORE = 16  # decision 0009 carried 14 with every frame decoded, 48 of quiet scenes

Loader = Callable[[Settings], Sequence["Model"]]


def create_app(settings: Settings, *, load: Loader | None = None) -> FastAPI:
    """The whole service. `load` replaces the reading of bundles (tests hand in tiny models); it runs in a thread."""
    metrics = Metrics()
    ring = None if settings.api_keys_file is None else KeyRing(settings.api_keys_file)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            opening = asyncio.create_task(_open(app, stack, settings, metrics, ring, load or load_models))
            try:
                yield
            finally:
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)

    app = FastAPI(
        title="Fovea",
        summary="Video recognition with a FLOP budget per request",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load their scripts from elsewhere; `playground` has /docs
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.pipeline = None  # filled once the models are loaded
    app.state.supervisor = None  # at the same time
    app.state.timelines = None  # at the same time
    app.state.following = Following()
    app.state.desk = app.state.once = app.state.outbox = None  # at the same time; no desk: no jobs
    app.state.targets = TargetPolicy(settings.webhook_allowed_networks, http=settings.webhook_http)
    app.state.fetcher = make_fetcher(settings)
    app.state.accounts = None  # at the same time, or before
    app.state.load_error = None  # filled when they cannot be
    app.add_middleware(Keyed, ring=ring)  # innermost: what a browser asks beforehand, and HEAD, are answered around it
    app.add_middleware(Heads)  # each is inside of the next
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=[
                "X-Request-ID",
                "Retry-After",
                "Location",
                "Preference-Applied",
                "RateLimit",
                "RateLimit-Policy",
            ],
        )
    app.add_middleware(Guard, hosts=(settings.host, *settings.allowed_hosts), origins=settings.allowed_origins)
    app.add_middleware(http_metrics.HttpMetrics, metrics=metrics)
    problems.install(app)
    for part in (
        recognition_routes,
        timeline_routes,
        job_routes,
        stream_routes,
        model_routes,
        usage_routes,
        health,
        problem_pages,
    ):
        app.include_router(part.router)
    playground.install(app)
    openapi.install(app)
    return app


async def _open(
    app: FastAPI,
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    metrics: Metrics,
    ring: KeyRing | None,
    load: Loader,
) -> None:
    try:
        if num_swept := await asyncio.to_thread(sweep, settings.spool_dir):
            log.info("removed %d uploads that a killed process left in %s", num_swept, settings.spool_dir)
        ledger = await stack.enter_async_context(open_ledger(settings))
        accounts = await stack.enter_async_context(open_accounts(settings, metrics, ledger, ring))
        app.state.accounts = accounts
        pipeline = await stack.enter_async_context(open_pipeline(settings, metrics, load))
        app.state.once = await stack.enter_async_context(open_once(settings, ledger))
        app.state.outbox = await stack.enter_async_context(open_outbox(settings, metrics, ledger, app.state.targets))
        streams = open_streams(settings, metrics, pipeline, ledger, accounts, app.state.outbox)
        app.state.supervisor = await stack.enter_async_context(streams)
        app.state.timelines = timelines = make_timelines(settings, metrics, pipeline, accounts)
        stack.push_async_callback(timelines.close)
        if settings.redis_url is None or settings.blobs_url is not None:
            jobs = open_jobs(settings, metrics, pipeline, ledger, timelines, accounts, app.state.outbox)
            app.state.desk = await stack.enter_async_context(jobs)
        app.state.pipeline = pipeline
        log.info("ready: %s", ", ".join(offer.name for offer in app.state.pipeline.catalogue))
    except LedgerRefused as error:
        log.error("the service could not start: %s", error)
        app.state.load_error = str(error)
    except Exception as error:  # the task's edge: `/readyz` tells, and the log holds the trace
        log.exception("the service could not start")
        app.state.load_error = str(error)


@contextlib.asynccontextmanager
async def open_pipeline(settings: Settings, metrics: Metrics, load: Loader | None = None) -> AsyncIterator[Pipeline]:
    """Load the models and start everything that recognises; end it all on the way out. Needs no HTTP."""
    num_decoders = settings.decode_children or num_children(settings.decode_address_space_bytes)
    sandbox = Sandbox(
        num_children=num_decoders,
        limits=settings.video_limits(),
        timeout_s=settings.decode_timeout_s,
        address_space_bytes=settings.decode_address_space_bytes,
        costly_s=settings.costly_decode_s,
        on_estimate=lambda estimate: metrics.decode_estimate_seconds.observe(estimate.seconds),
    )
    loaded = await _load_beside(sandbox, partial(load or load_models, settings))
    engine = Engine(
        {model.bundle.name: model.recognizer for model in loaded},
        Scheduler(
            max_batch_flops=settings.max_batch_flops,
            max_batch_size=settings.max_batch_size,
        ),
        metrics,
        open_sets={model.bundle.name: model.bundle.open_set for model in loaded if model.bundle.open_set is not None},
    )
    admission = Admission(
        max_places=settings.max_decode_places,
        max_requests=settings.max_requests,
        max_flops=settings.max_queued_flops,
        max_costly_decode_s=settings.max_costly_decode_s,
        num_decoders=num_decoders,
        decode_rate=sandbox.decode_rate,
        flop_rate=engine.flop_rate,
    )
    offers = [_offer(model) for model in loaded]
    for offer in offers:
        metrics.model_loaded(offer.name, offer.digest, offer.task, trained=offer.trained)
    metrics.decode_places_used.set_function(lambda: admission.places)
    metrics.costly_decode_seconds.set_function(lambda: admission.costly_decode_s)
    metrics.reserved_flops.set_function(lambda: admission.flops)
    engine.start()
    try:
        yield Pipeline(
            offers=offers,
            engine=engine,
            lanes=_lanes(settings),
            sandbox=sandbox,
            admission=admission,
            gate=Gate(num_decoders),
            metrics=metrics,
            keyframe_tolerance=settings.keyframe_tolerance if settings.decode_on_demand else None,
        )
    finally:
        admission.draining = True
        await asyncio.to_thread(engine.stop)
        await sandbox.close()


async def _load_beside(sandbox: Sandbox, load: Callable[[], Sequence["Model"]]) -> Sequence["Model"]:
    """The models, and decoding children that have started meanwhile: neither waits for the other."""
    starting = asyncio.create_task(sandbox.start())
    try:
        loaded = await asyncio.to_thread(load)
        await starting
    except BaseException:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await sandbox.close()
        raise
    return loaded


def load_models(settings: Settings) -> list["Model"]:
    """Every bundle that can be found: the default first, then trained ones. Raises ValueError when there is none.

    Brings OpenVINO, or torch, which takes seconds to import: not before it is needed, so that the service listens at
    once.
    """
    from models import available_models
    from models.loading import load_models as load_bundles
    from models.runtime import RuntimeConfig

    runtime = RuntimeConfig(
        name=settings.runtime,
        precision=settings.precision,
        num_threads=settings.num_threads,
        cache_dir=settings.cache_dir,
    )
    found = available_models(*settings.bundles, shipped=settings.shipped_bundles)
    names = list(found)
    default = settings.default_model
    if default is not None and default not in names:
        raise ValueError(f"FOVEA_DEFAULT_MODEL={default!r} is not among the bundles found: {', '.join(names)}")
    if not names:
        raise ValueError(
            f"no bundle in {', '.join(map(str, settings.bundles))}; point FOVEA_BUNDLES at yours, or let those that "
            "ship be served: FOVEA_SHIPPED_BUNDLES=true"
        )
    models = load_bundles(found.values(), runtime)
    return sorted(models, key=lambda model: (model.bundle.name != default, not model.bundle.trained))


def _lanes(settings: Settings) -> Lanes:
    timelines, cameras = settings.timeline_share, settings.camera_share
    return Lanes(
        uploads=Lane("upload", (1 - timelines) * (1 - cameras)),
        cameras=Lane("camera", (1 - timelines) * cameras),
        timelines=Lane("timeline", timelines),
    )


def make_timelines(
    settings: Settings, metrics: Metrics, pipeline: Pipeline, accounts: Accounts | None = None
) -> Timelines:
    """What makes timelines with this pipeline. Needs no HTTP."""
    return Timelines(
        pipeline,
        metrics,
        TimelineTerms(settings.timeline_limits(), settings.max_timelines, settings.max_window_s),
        partial(
            TimelineProcess.start,
            address_space_bytes=settings.decode_address_space_bytes,
            silence_s=settings.decode_timeout_s,
        ),
        accounts,
    )


def _usual_capacity(settings: Settings) -> int:
    """Cameras of one replica: alone it has to watch them all."""
    return settings.max_streams if settings.redis_url is None else CAMERAS_PER_CORE * num_cores()


def _offer(model: "Model") -> Offer:
    """What the engine's side needs to know of a bundle, as plain values."""
    bundle = model.bundle
    return Offer(
        name=bundle.name,
        digest=bundle.digest,
        task=bundle.task,
        labels=bundle.labels,
        trained=bundle.trained,
        calibrated=bundle.calibrated,
        clip_rule=bundle.clip_rule,
        step_flops=model.recognizer.step_flops,
        scores_calibrated=bundle.scores_calibrated,
        paper_flops=bundle.paper_flops,
        default_budget_flops=bundle.default_budget_flops,
        grid=bundle.grid.points,
        glance_indices=model.recognizer.glance_indices if isinstance(model.recognizer, ChoosesFrames) else None,
        label_offsets_nats=bundle.label_offsets_nats,
        below_majority=bundle.below_majority,
        open_set=None if bundle.open_set is None else _open_set(bundle.open_set.facts),
        # what random weights reach by chance is no measurement of a model
        frontier=tuple(MeasuredPoint(flops, accuracy) for flops, accuracy in bundle.frontier) if bundle.trained else (),
        card=bundle.card,
    )


def _open_set(facts: "OpenSetFacts") -> OpenSet:
    return OpenSet(facts.threshold, facts.auroc, facts.auroc_synthetic, facts.kept, facts.data, facts.measured_on)


@contextlib.asynccontextmanager
async def open_ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """What outlives a request: in Redis where replicas share it, else in a file. Raises LedgerRefused."""
    redis_url = settings.redis_url
    ledger: Ledger
    ledger = SqliteLedger(settings.state_dir) if redis_url is None else RedisLedger(redis_url.get_secret_value())
    try:
        await ledger.open()
        yield ledger
    finally:
        await ledger.close()


def make_fetcher(settings: Settings) -> Fetcher:
    """Private networks have to be named, also where the service listens on loopback alone: a URL comes from anybody."""
    return Fetcher(
        policy=AddressPolicy(
            settings.url_allowed_networks, settings.url_ports, private=False, kind="videos", prefix="FOVEA_URL"
        ),
        limits=FetchLimits(
            max_bytes=settings.max_upload_bytes,
            timeout_s=settings.upload_timeout_s,
            silence_s=settings.url_silence_s,
            min_bytes_per_s=settings.min_upload_bytes_per_s,
        ),
        http=settings.url_http,
        buckets=settings.url_s3_buckets,
        ca_file=settings.url_ca_file,
    )


@contextlib.asynccontextmanager
async def open_accounts(
    settings: Settings, metrics: Metrics, ledger: Ledger, ring: KeyRing | None
) -> AsyncIterator[Accounts]:
    """What keys use: limited where replicas share it, counted in the ledger; brought there on the way out."""
    redis_url = settings.redis_url
    accounts = Accounts(Meter(None if redis_url is None else redis_url.get_secret_value()), Usage(metrics), ring)
    counting = asyncio.create_task(accounts.usage.run(ledger.counters()))
    try:
        yield accounts
    finally:
        await accounts.close()
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)


@contextlib.asynccontextmanager
async def open_streams(
    settings: Settings,
    metrics: Metrics,
    pipeline: Pipeline,
    ledger: Ledger,
    accounts: Accounts,
    outbox: Outbox | None = None,
) -> AsyncIterator[Supervisor]:
    """Look after the subscribed cameras with this pipeline; hand them over on the way out."""
    terms = Terms(
        policy=AddressPolicy(
            settings.stream_allowed_networks, settings.stream_ports, private=not settings.listens_beyond_loopback
        ),
        patience=Patience(
            settings.stream_connect_timeout_s, settings.stream_open_timeout_s, settings.stream_stall_timeout_s
        ),
        limits=settings.video_limits(),
        backoff_cap_s=settings.stream_backoff_cap_s,
        auth_retry_s=settings.stream_auth_retry_s,
        least_keyframes=settings.stream_keyframes_per_window,
        ca_file=None if settings.stream_ca_file is None else str(settings.stream_ca_file),
        verify=settings.stream_tls_verify,
    )
    rate = settings.stream_gflops_per_s
    parts = Parts(
        pipeline=pipeline,
        book=ledger.book("stream", events_kept=settings.stream_events_kept),
        pool=Pool(None if rate is None else rate * 1e9),
        metrics=metrics,
        terms=terms,
        camera_metrics=settings.camera_metrics,
        accounts=accounts,
        start_process=SharedCameras(
            partial(CameraProcess.start, address_space_bytes=settings.decode_address_space_bytes)
        ).start,
        announce=None if outbox is None else partial(stream_telling.tell, outbox),
    )
    supervisor = Supervisor(
        parts,
        lease_s=settings.stream_lease_s,
        max_streams=settings.max_streams,
        capacity=settings.max_replica_streams or _usual_capacity(settings),
    )
    supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.close()


@contextlib.asynccontextmanager
async def open_once(settings: Settings, ledger: Ledger) -> AsyncIterator[Once]:
    """Answers that are given once, by the client's key."""
    once = Once(ledger.book("key", events_kept=1), retention_s=settings.idempotency_retention_s)
    once.start()
    try:
        yield once
    finally:
        await once.close()


@contextlib.asynccontextmanager
async def open_outbox(
    settings: Settings, metrics: Metrics, ledger: Ledger, targets: TargetPolicy
) -> AsyncIterator[Outbox | None]:
    """Messages to receivers; None where there is no secret to sign them with."""
    if settings.webhook_secret is None:
        yield None
        return
    timeout_s = settings.webhook_timeout_s
    outbox = Outbox(
        ledger.book("webhook", events_kept=settings.webhook_attempts),
        open_queue(settings, "webhooks", concurrency=settings.webhook_concurrency, lease_s=timeout_s + 10),
        Sender(targets, settings.webhook_secret.get_secret_value(), timeout_s=timeout_s),
        metrics,
        attempts=settings.webhook_attempts,
        backoff_s=settings.webhook_backoff_s,
        timeout_s=timeout_s,
        retention_s=settings.job_retention_s,
    )
    outbox.start()
    try:
        yield outbox
    finally:
        await outbox.close()


@contextlib.asynccontextmanager
async def open_jobs(
    settings: Settings,
    metrics: Metrics,
    pipeline: Pipeline,
    ledger: Ledger,
    timelines: Timelines,
    accounts: Accounts,
    outbox: Outbox | None,
) -> AsyncIterator[Desk]:
    """Take jobs and do them; on the way out hand back what is not done."""
    url = settings.blobs_url
    blobs = Blobs.in_folder(settings.state_dir / "blobs") if url is None else Blobs(url)
    book, cancels = ledger.book("job", events_kept=JOB_EVENTS_KEPT), ledger.book("cancel", events_kept=1)
    runner = Runner(
        RunnerParts(
            book=book,
            cancels=cancels,
            blobs=blobs,
            bodies=bodies(pipeline, timelines, accounts, settings),
            problem=lambda error, job_id: json.dumps(problems.problem_of(error, job_id)),
            spooled=partial(spooled, settings.spool_dir),
            tell=Telling(outbox).tell,
            metrics=metrics,
        ),
        lease_s=settings.job_lease_s,
        max_attempts=settings.job_max_attempts,
    )
    queue = open_queue(settings, "jobs", concurrency=settings.job_concurrency, lease_s=settings.job_lease_s)
    desk = Desk(
        DeskParts(book=book, cancels=cancels, blobs=blobs, queue=queue, runner=runner, metrics=metrics),
        lease_s=settings.job_lease_s,
        max_jobs=settings.max_jobs,
        retention_s=settings.job_retention_s,
        drain_s=settings.drain_timeout_s,
    )
    desk.start()
    try:
        yield desk
    finally:
        await desk.close()


def open_queue(settings: Settings, name: str, *, concurrency: int, lease_s: float) -> Queue:
    """Between replicas in Redis, else in this process. Not started yet."""
    if settings.redis_url is None:
        return LocalQueue(concurrency=concurrency)
    from service.jobs.redis_queue import RedisQueue

    return RedisQueue(settings.redis_url.get_secret_value(), name, concurrency=concurrency, lease_s=lease_s)
