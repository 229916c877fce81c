"""What a row of the result says: the API's answer less what is of a request alone, or a problem. Knows no file.

An answer's id and its times are left out: they name a request, and differ from run to run. What is left follows from
the video, the model and the options, so that the same archive gives the same table.
"""

from typing import Any, Optional

from pydantic import BaseModel, create_model

from fovea.answers import RecognitionAnswer
from fovea.errors import FoveaError

OF_A_REQUEST = frozenset({"id", "timing_ms", "picture"})


class RowProblem(BaseModel):
    """Why there is no answer: as in the API, `type` is stable, `detail` says the value, the rule and the way out."""

    type: str
    title: str
    detail: str


_FIELDS: dict[str, Any] = {
    name: (Optional[field.annotation], None)  # noqa: UP045 - of a value
    for name, field in RecognitionAnswer.model_fields.items()
    if name not in OF_A_REQUEST
}
Row = create_model(
    "Row",
    __doc__="`source`, and either the answer's fields or `problem`.",
    source=(str, ...),
    problem=(RowProblem | None, None),
    **_FIELDS,
)


def answered(answer: RecognitionAnswer) -> dict[str, Any]:
    """Plain values, without `source`."""
    return answer.model_dump(mode="json", exclude=set(OF_A_REQUEST))


def failed(error: FoveaError) -> dict[str, Any]:
    problem = RowProblem(type=f"/problems/{error.slug}", title=error.title, detail=error.detail)
    return {"problem": problem.model_dump()}
