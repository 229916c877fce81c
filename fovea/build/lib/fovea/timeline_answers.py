"""The JSON of timelines and of their events, as pydantic models with examples. Knows no engine and no HTTP.

The service fills them, the client reads them. GFLOPs are 10^9 multiply-adds; times are seconds of the video.
"""

from typing import Literal

from pydantic import Field

from fovea.answers import Prediction, Value


class Segment(Value):
    """Data of an event-stream's `segment`, too: a stretch of the video with one label."""

    start_s: float = Field(examples=[12.5])
    end_s: float = Field(examples=[15.0])
    label: str | None = Field(
        description="Of its windows; null where they abstain (as recognitions do), or nothing was looked at.",
        examples=["tennis_serve"],
    )
    display_name: str | None = Field(
        default=None,
        description="`label` for people; absent where there is no label, or the model's bundle names none.",
        examples=["Tennis serve"],
        exclude_if=lambda name: name is None,
    )
    predictions: list[Prediction] = Field(
        description="Mean over its windows, likeliest first; those below min_score are left out."
    )
    entropy_nats: float | None = Field(description="Mean over its windows; null where there is none.", examples=[0.4])
    spent_gflops: float = Field(examples=[6.2])
    windows: int = Field(description="How many it was made of.", examples=[5])

    @property
    def name(self) -> str | None:
        """For people: the display name, or the label where there is none; None where there is no label."""
        return self.display_name or self.label


class TimelineProgress(Value):
    """Data of an event-stream's `progress`: how far it is."""

    done_s: float = Field(description="Of the video.", examples=[300.0])
    duration_s: float = Field(examples=[1200.0])
    spent_gflops: float = Field(examples=[210.5])
    segments: int = Field(description="Told so far.", examples=[31])


class TimelinePoint(Value):
    """A window, or a few in a row: of a long video at most 2000 points are told."""

    time_s: float = Field(description="The middle of what it stands for.", examples=[13.0])
    label: str | None = Field(examples=["tennis_serve"])
    score: float = Field(
        description="Of the likeliest label that may be told, also where it is below min_score.", examples=[0.91]
    )
    entropy_nats: float | None = Field(examples=[0.35])
    spent_gflops: float = Field(description="Up to there.", examples=[44.0])


class TimelineEnd(Value):
    reason: Literal["complete", "deadline", "broken", "quota"] = Field(
        description="complete: the whole video; deadline: out of time; broken: the file cannot be read on; "
        "quota: the key has used up a limit"
    )
    at_s: float = Field(description="Of the video: so far it was looked at.", examples=[1200.0])
    detail: str | None = Field(description="Why it did not get further, or what is missing.", examples=[None])


class TimelineWindows(Value):
    count: int = Field(examples=[1197])
    full: int = Field(description="Looked at with the frames that a window needs.", examples=[410])
    carried: int = Field(description="Nothing had changed: they say what the one before said.", examples=[780])
    scouted: int = Field(description="There was credit for a glance at keyframes alone.", examples=[7])
    unpaid: int = Field(description="There was none: nothing is said of them.", examples=[0])


class TimelineCompute(Value):
    budget_gflops: float | None = Field(description="For all; null where none was asked for.", examples=[400.0])
    budget_gflops_per_s: float | None = Field(description="For each second of the video.", examples=[None])
    max_gflops: float | None = Field(description="For one look.", examples=[None])
    spent_gflops: float = Field(examples=[331.7])
    windows: TimelineWindows


class TimelineVideo(Value):
    duration_s: float = Field(examples=[1200.0])
    width: int = Field(description="As displayed, in pixels.", examples=[1280])
    height: int = Field(examples=[720])
    codec: str = Field(examples=["h264"])
    frames: int = Field(description="That the file holds.", examples=[30000])
    frames_decoded: int = Field(examples=[9120])
    frames_damaged: int = Field(examples=[0])
    clock_breaks: int = Field(
        description="Times that its clock restarted or jumped; times told here run on.", examples=[0]
    )
    keyframe_interval_s: float | None = Field(description="In the mean.", examples=[1.0])


class TimelineTimingMs(Value):
    upload: float = Field(examples=[1200.0])
    total: float = Field(examples=[95000.0])


class TimelineAnswer(Value):
    """When what happens, with its own account of what it cost."""

    id: str = Field(examples=["tml_01JD3M8Q4Z6X7V9T2S5R1P0N8K"])
    model: str = Field(examples=["adafocus-v3-compact"])
    bundle: str = Field(description="Digest of the model's files.", examples=["sha256:9f86d081884c7d65"])
    task: str = Field(examples=["sports-actions"])
    trained: bool = Field(description="false: the weights are random, the labels mean nothing.")
    calibrated: bool = Field(description="false: scores are a guess.")
    window_s: float = Field(description="As it was: no longer than the video.", examples=[4.0])
    stride_s: float = Field(description="As it was: a whole number of the window's frames.", examples=[1.0])
    min_score: float = Field(examples=[0.5])
    segments: list[Segment]
    curve: list[TimelinePoint]
    end: TimelineEnd
    compute: TimelineCompute
    video: TimelineVideo
    timing_ms: TimelineTimingMs
