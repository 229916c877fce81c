"""What operators ask: alive, ready, and the metrics. Knows no model."""

from fastapi import APIRouter, Request, Response

from fovea.answers import Liveness, Readiness
from fovea.errors import Draining, NotReady, Unavailable
from service.api.edge.parts import metrics_of, pipeline_of
from service.api.edge.problems import refusals

router = APIRouter(tags=["operation"])


@router.get(
    "/livez",
    summary="Whether this process can still do its work; if not, restart it",
    responses=refusals(s503="The engine has ended."),
)
async def livez(request: Request) -> Liveness:
    pipeline = request.app.state.pipeline
    if pipeline is not None and not pipeline.is_alive and not pipeline.admission.draining:
        raise Unavailable.engine_ended()
    return Liveness()


@router.get(
    "/readyz", summary="Whether to send requests here", responses=refusals(s503="Loading, broken, or shutting down.")
)
async def readyz(request: Request) -> Readiness:
    if request.app.state.load_error is not None:
        raise NotReady(f"the service could not start: {request.app.state.load_error}", retry_after_s=30)
    pipeline = pipeline_of(request)
    if pipeline.admission.draining:
        raise Draining.refused()
    if not pipeline.is_alive:
        raise Unavailable.engine_ended()
    return Readiness(load=round(pipeline.admission.load, 3), models=[offer.name for offer in pipeline.catalogue])


@router.get(
    "/metrics",
    response_class=Response,
    summary="Prometheus metrics",
    responses={200: {"description": "Text or OpenMetrics format.", "content": {"text/plain": {}}}},
)
async def metrics(request: Request) -> Response:
    exposition, content_type = metrics_of(request).exposition(request.headers.get("accept", ""))
    return Response(exposition, headers={"Content-Type": content_type})
