"""The JSON of `/v1/jobs` and the data of their events, as pydantic models with examples. Knows no queue.

Times are RFC 3339 in UTC.
"""

from datetime import datetime

from pydantic import Field

from fovea.answers import Problem, RecognitionAnswer, Value
from fovea.timeline_answers import TimelineAnswer
from fovea.words import DeliveryState, JobState, WebhookEvent

JOB_ID = "job_01JD3M8Q4Z6X7V9T2S5R1P0N8K"
WHEN = "2026-11-27T02:00:00.123Z"


class Delivery(Value):
    """One message to the job's receiver. Those that are `dead` were given up: `error` says why."""

    id: str = Field(description="As in its header `webhook-id`.", examples=[f"{JOB_ID}.done"])
    event: WebhookEvent
    state: DeliveryState
    attempts: int = Field(examples=[1])
    status: int | None = Field(description="What the receiver answered last; null: nothing.", examples=[200])
    error: str | None = Field(description="Why the last attempt failed.", examples=[None])
    next_at: datetime | None = Field(description="When it is tried again.", examples=[None])


class JobAnswer(Value):
    """Work that goes on after its request was answered."""

    id: str = Field(examples=[JOB_ID])
    kind: str = Field(examples=["recognition"])
    state: JobState
    progress: float = Field(
        ge=0, le=1, description="Share of what it may cost at most that is spent; 1 once it succeeded.", examples=[0.4]
    )
    attempts: int = Field(
        description="How often it was begun: more than once where a process ended in the middle of it.", examples=[1]
    )
    created_at: datetime = Field(examples=[WHEN])
    started_at: datetime | None = Field(description="The latest attempt.", examples=[WHEN])
    finished_at: datetime | None = Field(examples=[WHEN])
    result: RecognitionAnswer | TimelineAnswer | None = Field(
        default=None, description="The answer, where it succeeded."
    )
    problem: Problem | None = Field(default=None, description="Why it failed, as RFC 9457.")
    deliveries: list[Delivery] = Field(default_factory=list, description="Messages to its `webhook_url`.")


class JobList(Value):
    """The latest first, without their results."""

    jobs: list[JobAnswer]
    next_before: str | None = Field(
        default=None, description="`before` of the next page; null on the last.", examples=[JOB_ID]
    )


class JobStateEvent(Value):
    """Data of `event: state`."""

    state: JobState
    attempts: int
