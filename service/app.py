"""The one place where the service is wired together: settings in, a FastAPI application out.

The lifespan starts and drains: models load while `/readyz` already answers 503; at the end, decode children and the
engine's thread are gone before the process is.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from service.api.body.spool import sweep
from service.api.edge import openapi, problems
from service.api.edge.guard import Guard
from service.api.edge.heads import Heads
from service.api.edge.keyed import Keyed
from service.api.edge.load import LOAD_HEADER
from service.api.jobs import routes as job_routes
from service.api.models import routes as model_routes
from service.api.operation import health, http_metrics
from service.api.pages import playground, problem_pages
from service.api.recognitions import routes as recognition_routes
from service.api.streams import routes as stream_routes
from service.api.streams.events import Following
from service.api.timelines import routes as timeline_routes
from service.api.usage import routes as usage_routes
from service.engine.pipeline import Pipeline
from service.keys.ring import KeyRing
from service.ledger.base import LedgerRefused
from service.metrics import Metrics
from service.settings import Settings
from service.tracing.tracing import Tracing
from service.webhooks.target import TargetPolicy
from service.wiring.keeping import open_accounts, open_ledger, open_once, open_peers, open_results
from service.wiring.recognising import Loader, load_models, make_timelines, open_pipeline
from service.wiring.tracing import make_tracing
from service.wiring.watching import open_publisher, open_streams
from service.wiring.working import make_fetcher, open_jobs, open_outbox

log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    *,
    load: Loader | None = None,
    tracing: Tracing | None = None,
    when_ready: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The whole service. `load` replaces the reading of bundles (tests hand in tiny models); it runs in a thread.

    `tracing` replaces what the settings say. `when_ready` is called once all is there, before `/readyz` says so.
    Raises SettingsError where traces are wanted and cannot be sent.
    """
    metrics = Metrics()
    tracing = tracing or make_tracing(settings)
    ring = None if settings.api_keys_file is None else KeyRing(settings.api_keys_file)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(tracing.close)
            opening = asyncio.create_task(_open(app, stack, settings, metrics, ring, load or load_models, when_ready))
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
        telemetry=tracing.of_requests(),
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.tracing = tracing
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
                LOAD_HEADER,
                "Location",
                "Preference-Applied",
                "RateLimit",
                "RateLimit-Policy",
            ],
        )
    app.add_middleware(Guard, hosts=(settings.host, *settings.allowed_hosts), origins=settings.allowed_origins)
    app.add_middleware(http_metrics.HttpMetrics, metrics=metrics, tracing=tracing, load=lambda: _load_of(app))
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


def _load_of(app: FastAPI) -> float | None:
    pipeline: Pipeline | None = app.state.pipeline
    return None if pipeline is None else pipeline.admission.load


async def _open(
    app: FastAPI,
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    metrics: Metrics,
    ring: KeyRing | None,
    load: Loader,
    when_ready: Callable[[], None],
) -> None:
    try:
        if num_swept := await asyncio.to_thread(sweep, settings.spool_dir):
            log.info("removed %d uploads that a killed process left in %s", num_swept, settings.spool_dir)
        ledger = await stack.enter_async_context(open_ledger(settings))
        accounts = await stack.enter_async_context(open_accounts(settings, metrics, ledger, ring))
        app.state.accounts = accounts
        results = await stack.enter_async_context(open_results(settings, metrics))
        opening = open_pipeline(settings, metrics, load, app.state.tracing, results)
        pipeline = await stack.enter_async_context(opening)
        await stack.enter_async_context(open_peers(settings, ledger, pipeline.admission))
        app.state.once = await stack.enter_async_context(open_once(settings, ledger, accounts))
        outbox = open_outbox(settings, metrics, ledger, app.state.targets, app.state.tracing)
        app.state.outbox = await stack.enter_async_context(outbox)
        publisher = await stack.enter_async_context(open_publisher(settings, metrics))
        streams = open_streams(settings, metrics, pipeline, ledger, accounts, app.state.outbox, publisher)
        app.state.supervisor = await stack.enter_async_context(streams)
        app.state.timelines = timelines = make_timelines(settings, metrics, pipeline, accounts)
        stack.push_async_callback(timelines.close)
        if settings.redis_url is None or settings.blobs_url is not None:
            jobs = open_jobs(
                settings, metrics, pipeline, ledger, timelines, accounts, app.state.outbox, app.state.tracing
            )
            app.state.desk = await stack.enter_async_context(jobs)
        when_ready()
        app.state.pipeline = pipeline
        log.info("ready: %s", ", ".join(offer.name for offer in app.state.pipeline.catalogue))
    except LedgerRefused as error:
        log.error("the service could not start: %s", error)
        app.state.load_error = str(error)
    except Exception as error:  # the task's edge: `/readyz` tells, and the log holds the trace
        log.exception("the service could not start")
        app.state.load_error = str(error)
