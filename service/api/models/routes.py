"""GET /v1/models: what is loaded, what it costs and what it was measured to reach. Knows no file."""

from fastapi import APIRouter, Request, Response

from fovea.errors import BudgetTooSmall, InvalidOption, UnknownModel
from fovea.model_answers import ModelDetail, ModelList
from service.api.edge.parts import pipeline_of, request_id_of
from service.api.edge.problems import refusals, response_to
from service.api.models.answers import model_detail, model_summary
from service.api.recognitions.options import OPTIONS, flops_option
from service.engine.budget import below_all_steps

router = APIRouter(tags=["models"])

BUDGET = "budget_gflops"


@router.get("/v1/models", summary="The loaded models", responses=refusals(s503="Still loading."))
async def list_models(request: Request) -> ModelList:
    offers = pipeline_of(request).catalogue
    return ModelList(models=[model_summary(offer, default=offer is offers[0]) for offer in offers])


@router.get(
    "/v1/models/{name}",
    response_model=ModelDetail,
    summary="One model: prices, labels, frontier, and the thresholds of a budget",
    responses=refusals(s404="No such model.", s422="The budget cannot be.", s503="Still loading."),
    openapi_extra={
        "parameters": [
            {
                "name": BUDGET,
                "in": "query",
                "schema": OPTIONS[BUDGET][0],
                "description": "The budget whose thresholds to show; absent: the model's default.",
                "example": OPTIONS[BUDGET][2],
            }
        ]
    },
)
async def show_model(request: Request, name: str) -> ModelDetail | Response:
    pipeline = pipeline_of(request)
    try:
        offer = pipeline.offer(name)
    except UnknownModel as error:  # here the name is the address, not an option
        return response_to(error, request_id_of(request), status=404)
    query = request.query_params
    if (odd := set(query) - {BUDGET}) or len(query.multi_items()) > 1:
        raise InvalidOption(f"{', '.join(sorted(odd)) or BUDGET}: the one option here is {BUDGET}, given once")
    budget_flops = flops_option(BUDGET, query)
    if budget_flops is None:
        budget_flops = offer.default_budget_flops
    elif budget_flops < offer.least_flops:
        raise BudgetTooSmall.below_glance(BUDGET, query[BUDGET], name, offer.least_flops / 1e9)
    elif not offer.calibrated and budget_flops < offer.full_flops:
        raise below_all_steps(budget_flops, offer)
    return model_detail(offer, budget_flops, default=offer is pipeline.catalogue[0])
