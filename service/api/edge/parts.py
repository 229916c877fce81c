"""Where the routes find the service's parts: `app.state`, filled by `service.app`. Knows nothing else of the wiring."""

from fastapi import Request

from fovea.errors import NotReady, Unavailable
from service.api.edge.negotiation import forbids_storing
from service.engine.pipeline import Pipeline
from service.jobs.desk import Desk
from service.jobs.once import Once
from service.keys.key import Key
from service.keys.spending import Accounts, Spending
from service.metrics import Metrics
from service.settings import Settings
from service.streams.supervisor import Supervisor
from service.timelines.timelines import Timelines
from service.tracing.tracing import Tracing
from service.webhooks.outbox import Outbox
from service.webhooks.target import TargetPolicy


def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def metrics_of(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


def tracing_of(request: Request) -> Tracing:
    tracing: Tracing = request.app.state.tracing
    return tracing


def pipeline_of(request: Request) -> Pipeline:
    """The pipeline, once the models are loaded. Raises NotReady while they are not, or cannot be."""
    pipeline: Pipeline | None = request.app.state.pipeline
    if pipeline is not None:
        return pipeline
    if request.app.state.load_error is not None:
        raise NotReady("the service could not start; /readyz tells its operator why", retry_after_s=30)
    raise NotReady("the models are still loading; try again in a moment", retry_after_s=2)


def supervisor_of(request: Request) -> Supervisor:
    """The streams, once the models are loaded. Raises as `pipeline_of`."""
    pipeline_of(request)
    supervisor: Supervisor = request.app.state.supervisor
    return supervisor


def desk_of(request: Request) -> Desk:
    """The jobs, once the models are loaded. Raises as `pipeline_of`, and Unavailable where there can be none."""
    pipeline_of(request)
    desk: Desk | None = request.app.state.desk
    if desk is None:
        raise Unavailable(
            "there are no jobs here: replicas that share a Redis need a place for uploads that all of them reach, and "
            "FOVEA_BLOBS_URL names none; ask without `Prefer: respond-async`"
        )
    return desk


def once_of(request: Request) -> Once:
    """The answers that are given once. Raises as `pipeline_of`."""
    pipeline_of(request)
    once: Once = request.app.state.once
    return once


def outbox_of(request: Request) -> Outbox | None:
    """The messages to receivers; None where there is no secret to sign them with."""
    outbox: Outbox | None = request.app.state.outbox
    return outbox


def targets_of(request: Request) -> TargetPolicy:
    """Which receivers may be told."""
    targets: TargetPolicy = request.app.state.targets
    return targets


def accounts_of(request: Request) -> Accounts:
    """Where spending is counted, once the models are loaded. Raises as `pipeline_of`."""
    pipeline_of(request)
    accounts: Accounts = request.app.state.accounts
    return accounts


def key_of(request: Request) -> Key | None:
    """The key that it was asked with; None where the service has no keys. Set by `keyed`."""
    key: Key | None = request.state.key
    return key


def spending_of(request: Request) -> Spending:
    """What this request spends, on its key's account. Raises as `pipeline_of`."""
    return accounts_of(request).spending(key_of(request))


def tell_standings(request: Request, spending: Spending) -> None:
    """The headers of the answer will say where the key stands in its limits, as of now."""
    of_requests = [one for one in request.state.standings if one.bound.unit == "requests"]
    request.state.standings = [*of_requests, *spending.standings]


def timelines_of(request: Request) -> Timelines:
    """What makes timelines, once the models are loaded. Raises as `pipeline_of`."""
    pipeline_of(request)
    timelines: Timelines = request.app.state.timelines
    return timelines


def request_id_of(request: Request) -> str:
    """The id under which this request stands in the log; set by `http_metrics`."""
    request_id: str = request.state.request_id
    return request_id


def no_store_of(request: Request) -> bool:
    """Whether nothing is to be held of it, and what is held is not to be used."""
    return forbids_storing(request.headers.getlist("cache-control"))


def client_of(request: Request) -> str:
    """The address that the request came from: the nearest proxy's, where there is one."""
    return "unknown" if request.client is None else request.client.host
