"""Where the routes find the service's parts: `app.state`, filled by `service.app`. Knows nothing else of the wiring."""

from fastapi import Request

from fovea.errors import NotReady
from service.engine.pipeline import Pipeline
from service.keys.key import Key
from service.keys.spending import Accounts, Spending
from service.metrics import Metrics
from service.settings import Settings
from service.streams.supervisor import Supervisor
from service.timelines.timelines import Timelines


def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def metrics_of(request: Request) -> Metrics:
    metrics: Metrics = request.app.state.metrics
    return metrics


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


def timelines_of(request: Request) -> Timelines:
    """What makes timelines, once the models are loaded. Raises as `pipeline_of`."""
    pipeline_of(request)
    timelines: Timelines = request.app.state.timelines
    return timelines


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


def request_id_of(request: Request) -> str:
    """The id under which this request stands in the log; set by `http_metrics`."""
    request_id: str = request.state.request_id
    return request_id


def client_of(request: Request) -> str:
    """The address that the request came from: the nearest proxy's, where there is one."""
    return "unknown" if request.client is None else request.client.host
