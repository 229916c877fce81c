"""What several videos of one request came to, each in its place. Knows no connection."""

from fovea._problems import error_of_problem, parsed
from fovea.answers import RecognitionAnswer, RecognitionList
from fovea.errors import DeadlineBeforeGlance, FoveaError, ServerProblem, VideoError

OF_ONE_VIDEO = (VideoError, DeadlineBeforeGlance)
"""What a list of one video has in its place, and does not raise: as if there had been others beside it."""


def each_of(text: str | bytes, url: str) -> list[RecognitionAnswer | FoveaError]:
    """Problems become the errors they stand for. Raises ServerProblem where it is not what the API promises."""
    return [
        one if isinstance(one, RecognitionAnswer) else _error(one.model_dump())
        for one in parsed(RecognitionList, text, url).recognitions
    ]


def _error(problem: dict[str, object]) -> FoveaError:
    return error_of_problem(problem) or ServerProblem(f"a problem that cannot be read: {problem}")
