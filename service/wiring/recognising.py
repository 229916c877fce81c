"""What recognises: models, engine, decoding children, and timelines made of them. Needs no HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from models.recognizer import ChoosesFrames
from service.engine.admission import Admission
from service.engine.budget import MeasuredPoint, Offer, OpenSet
from service.engine.decoding import Decoding
from service.engine.engine import Engine
from service.engine.gate import Gate
from service.engine.lanes import Lane, Lanes
from service.engine.pipeline import Pipeline
from service.engine.scheduler import Scheduler
from service.engine.telling import Telling
from service.keys.spending import Accounts
from service.metrics import Metrics
from service.results.results import Results
from service.settings import Settings
from service.timelines.timelines import Timelines, TimelineTerms
from service.tracing.tracing import Tracing, Untraced
from video.children.capacity import num_children
from video.children.sandbox import Sandbox
from video.children.timeline_process import TimelineProcess

if TYPE_CHECKING:
    from models import Model
    from models.bundle_format import OpenSetFacts

Loader = Callable[[Settings], Sequence["Model"]]


@contextlib.asynccontextmanager
async def open_pipeline(
    settings: Settings,
    metrics: Metrics,
    load: Loader | None = None,
    tracing: Tracing | None = None,
    results: Results | None = None,
) -> AsyncIterator[Pipeline]:
    """Load the models and start everything that recognises; end it all on the way out. Needs no HTTP.

    `results`: where steps are kept for whoever asks again; None: nowhere.
    """
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
        max_wait_s=settings.max_wait_s,
        on_refusal=lambda bound: metrics.refusals_total.labels(bound=bound).inc(),
    )
    offers = [offer_of(model) for model in loaded]
    for offer in offers:
        metrics.model_loaded(offer.name, offer.digest, offer.task, trained=offer.trained)
    metrics.decode_places_used.set_function(lambda: admission.places)
    metrics.costly_decode_seconds.set_function(lambda: admission.costly_decode_s)
    metrics.reserved_flops.set_function(lambda: admission.flops)
    metrics.load.set_function(lambda: admission.load)
    metrics.pressure.set_function(admission.pressure)
    metrics.waiting_decode_seconds.set_function(lambda: admission.backlog.decode_s)
    metrics.waiting_compute_seconds.set_function(lambda: admission.backlog.compute_s)
    metrics.waiting_flops.set_function(lambda: admission.backlog.expected_flops)
    engine.start()
    try:
        lanes, telling = _lanes(settings), Telling(metrics, tracing or Untraced())
        decoding = Decoding(
            sandbox,
            Gate(num_decoders, num_ahead=lambda owner: admission.shares.of(owner).ahead),
            engine,
            lanes.uploads,
            telling,
            on_demand=settings.decode_on_demand,
            keyframe_tolerance=settings.keyframe_tolerance,
            skip_loop_filter=settings.skip_loop_filter,
            while_uploading=settings.decode_while_uploading,
        )
        yield Pipeline(
            offers=offers,
            engine=engine,
            lanes=lanes,
            admission=admission,
            decoding=decoding,
            telling=telling,
            gives_way=settings.degrade,
            results=results,
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


def offer_of(model: "Model") -> Offer:
    """What the engine's side needs to know of a bundle, as plain values."""
    bundle = model.bundle
    chooses = model.recognizer if isinstance(model.recognizer, ChoosesFrames) else None
    return Offer(
        name=bundle.name,
        digest=bundle.digest,
        computed_by=model.computed_by,
        task=bundle.task,
        labels=bundle.labels,
        label_texts=bundle.label_texts,
        trained=bundle.trained,
        calibrated=bundle.calibrated,
        clip_rule=bundle.clip_rule,
        step_flops=model.recognizer.step_flops,
        scores_calibrated=bundle.scores_calibrated,
        paper_flops=bundle.paper_flops,
        default_budget_flops=bundle.default_budget_flops,
        grid=bundle.grid.points,
        step_indices=chooses.step_indices if chooses else None,
        glance_indices=chooses.glance_indices if chooses else (),
        keyframe_tolerance=bundle.keyframe_tolerance,
        skip_loop_filter=bundle.skip_loop_filter,
        label_offsets_nats=bundle.label_offsets_nats,
        below_majority=bundle.below_majority,
        open_set=None if bundle.open_set is None else _open_set(bundle.open_set.facts),
        # what random weights reach by chance is no measurement of a model
        frontier=tuple(MeasuredPoint(flops, accuracy) for flops, accuracy in bundle.frontier) if bundle.trained else (),
        card=bundle.card,
    )


def _open_set(facts: "OpenSetFacts") -> OpenSet:
    return OpenSet(facts.threshold, facts.auroc, facts.auroc_synthetic, facts.kept, facts.data, facts.measured_on)
