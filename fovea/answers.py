"""The JSON of the API, as pydantic models with examples. Knows no engine and no HTTP.

The service fills them, the client reads them. Money is GFLOPs here (10^9 multiply-adds), times are
milliseconds or seconds as the names say.
"""

import base64
from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from fovea.words import AbstainReason, ExitReason


class Value(BaseModel):
    """What all of them are: frozen, and NaN never becomes JSON."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


def _is_none(value: object) -> bool:
    return value is None


class NamedLabel(Value):
    """A label and what people read in its place."""

    label: str = Field(examples=["tennis_serve"])
    display_name: str | None = Field(
        default=None,
        description="The label for people; absent where the model's bundle names none.",
        examples=["Tennis serve"],
        exclude_if=_is_none,
    )

    @property
    def name(self) -> str:
        """For people: the display name, or the label where there is none."""
        return self.display_name or self.label


class Prediction(NamedLabel):
    score: float = Field(description="Tempered probability.", examples=[0.93])


class Box(Value):
    """Normalised to the displayed (rotated) source frame: (0, 0) is its upper left corner, (1, 1) its lower right."""

    x: float = Field(ge=0, le=1, examples=[0.31])
    y: float = Field(ge=0, le=1, examples=[0.2])
    w: float = Field(ge=0, le=1, examples=[0.4])
    h: float = Field(ge=0, le=1, examples=[0.5])


class CubePlace(Value):
    pts_s: tuple[float, float] = Field(description="Times of its first and last frame.", examples=[(0.8, 0.93)])
    box: Box


class StepTaken(Value):
    step: int = Field(description="0 is the glance, or its first part.", examples=[1])
    kind: str = Field(description="glance or cube", examples=["cube"])
    gflops: float = Field(description="What this step cost.", examples=[0.24])
    entropy_nats: float = Field(description="Uncertainty after it.", examples=[0.8])
    frames_decoded: int = Field(
        default=0,
        description="Frames of an upload decoded for this step; 0 where all that it looks at was there already, and "
        "of a camera's window.",
        examples=[8],
    )
    held: bool = Field(
        default=False,
        description="true: an earlier request has paid for it; else absent.",
        exclude_if=lambda held: not held,
    )
    top: Prediction
    cube: CubePlace | None = Field(
        default=None,
        description="What the step looked at; absent for the glance.",
        exclude_if=lambda cube: cube is None,
    )


class StepEvent(StepTaken):
    """Data of an event-stream's `step`: the step, and where the answer stands after it."""

    spent_gflops: float = Field(
        description="What this request has spent so far: on all steps but those held.", examples=[0.68]
    )
    predictions: list[Prediction]


class Exit(Value):
    reason: ExitReason = Field(
        description="confident: entropy at or below the step's threshold; budget: at this budget every video stops "
        "at this step, sure or not; ceiling: the next step would pass max_gflops; deadline: out of time; exhausted: no "
        "step left; undecoded: the frames of the next step could not be decoded, `detail` says why"
    )
    step: int = Field(examples=[2])
    entropy_nats: float = Field(examples=[0.21])
    detail: str | None = Field(
        default=None,
        description="What failed, where the reason is undecoded; else absent.",
        exclude_if=lambda detail: detail is None,
    )


class Compute(Value):
    budget_gflops: float = Field(description="B: bounds the mean over videos.", examples=[1.2])
    budget_granted_gflops: float | None = Field(
        default=None,
        description="B as it was granted: less than budget_gflops while the service was busy. null: of a camera's "
        "window.",
        examples=[1.2],
    )
    max_gflops: float | None = Field(description="Bounds this video; null where none was asked for.", examples=[None])
    spent_gflops: float = Field(
        description="What this request spent; 0 where the answer is cached. Counts against quotas.", examples=[0.91]
    )
    total_gflops: float | None = Field(
        default=None,
        description="What all steps cost together, those that an earlier request has paid for included. Absent of a "
        "camera's window.",
        examples=[0.91],
        exclude_if=lambda gflops: gflops is None,
    )
    resumed_from_step: int | None = Field(
        default=None,
        description="The last step that an earlier request has paid for; this one took those after it. Absent where it "
        "took all of them, or none.",
        examples=[1],
        exclude_if=lambda step: step is None,
    )
    steps: list[StepTaken]


class Video(Value):
    duration_s: float = Field(examples=[2.0])
    width: int = Field(description="As displayed, in pixels.", examples=[1920])
    height: int = Field(examples=[1080])
    codec: str = Field(examples=["h264"])
    frames_decoded: int = Field(examples=[61])
    frames_sampled: int = Field(description="Distinct frames taken for the model to look at.", examples=[16])
    frames_damaged: int = Field(
        default=0, description="Found damaged while decoding; the model did not see them.", examples=[0]
    )
    frames_missing: int = Field(
        default=0, description="Frames that the file speaks of, and that are not there.", examples=[0]
    )
    clock_breaks: int = Field(
        default=0,
        description="Times that the file's clock restarted or jumped, as in recordings appended to each other; all "
        "times told here run on.",
        examples=[0],
    )
    decode_gpixels: float = Field(
        default=0.0,
        description="Price of decoding, known before it began: pixels of the frames it needs at most, in 10^9; 0 of a "
        "camera's window.",
        examples=[0.12],
    )


class TimingMs(Value):
    upload: float = Field(examples=[12.0])
    decode: float = Field(description="All of it, waiting for a decoding process included.", examples=[80.0])
    queue: float = Field(description="Decoded, and waiting for the device.", examples=[3.0])
    inference: float = Field(examples=[22.0])
    total: float = Field(examples=[118.0])
    decode_steps: list[float] = Field(
        default=[],
        description="`decode`, step by step: up to the glance, then for each further step that needed more frames; "
        "empty of a camera's window.",
        examples=[[62.0, 18.0]],
    )


class Picture(Value):
    """A small frame from the middle of the video, as displayed."""

    jpeg_base64: str = Field(description="A JPEG, as Base64 (RFC 4648, section 4).", examples=["/9j/4AAQSkZJRg=="])
    width: int = Field(description="Pixels of it.", examples=[320])
    height: int = Field(examples=[180])
    pts_s: float = Field(description="When the video shows it.", examples=[1.06])
    box: Box = Field(description="The part of the source frame that it shows: what the model was shown.")

    @property
    def jpeg(self) -> bytes:
        return base64.b64decode(self.jpeg_base64)


class RecognitionAnswer(Value):
    """The answer, with its own account of what it cost."""

    id: str = Field(examples=["rec_01JD3M8Q4Z6X7V9T2S5R1P0N8K"])
    model: str = Field(examples=["adafocus-v3-compact"])
    bundle: str = Field(description="Digest of the model's files.", examples=["sha256:9f86d081884c7d65"])
    task: str = Field(examples=["sports-actions"])
    trained: bool = Field(description="false: the weights are random, the labels mean nothing.")
    calibrated: bool = Field(
        default=True,
        description="false: its calibration clips cannot tell how sure it is; scores are a guess.",
    )
    label: str | None = Field(
        default=None,
        description="The answer: the best of `predictions`. null where it abstains; then `reason` says why.",
        examples=["tennis_serve"],
    )
    display_name: str | None = Field(
        default=None,
        description="`label` for people; absent where there is no label, or the model's bundle names none.",
        examples=["Tennis serve"],
        exclude_if=_is_none,
    )
    reason: AbstainReason | None = Field(
        default=None,
        description="Why `label` is null; absent where it is not. not_known: not one of the things the model knows; "
        "below_min_score: the best score is below min_score.",
        examples=["not_known"],
        exclude_if=lambda reason: reason is None,
    )
    in_domain: float | None = Field(
        default=None,
        description="How likely the video shows something of the kind the model was trained on, in [0, 1], were both "
        "as frequent. Absent: the model's bundle has no open-set score.",
        examples=[0.97],
        exclude_if=lambda in_domain: in_domain is None,
    )
    predictions: list[Prediction] = Field(
        description="The likeliest labels whose score is at least min_score, also where the answer abstains."
    )
    cached: bool = Field(
        default=False,
        description="true: the same video was answered before with the same key, and nothing was spent; else absent.",
        exclude_if=lambda cached: not cached,
    )
    exit: Exit
    compute: Compute
    video: Video
    timing_ms: TimingMs
    picture: Picture | None = Field(
        default=None,
        description="Where `picture=true` asked for it, and a frame could be had; else absent.",
        exclude_if=_is_none,
    )


class Problem(BaseModel):
    """RFC 9457. Further members hold the facts of the problem, such as `option` or `least_gflops`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Stable; what to switch on.", examples=["/problems/budget-too-small"])
    title: str = Field(examples=["The budget is below the cheapest answer"])
    status: int = Field(examples=[422])
    detail: str = Field(
        description="The value, the rule and the way out.",
        examples=["budget_gflops=0.1 is below the 0.362484 GFLOPs that the first step of adafocus-v3-compact costs; …"],
    )
    instance: str = Field(examples=["urn:fovea:request:req_01JD3M8Q4Z6X7V9T2S5R1P0N8K"])


class RecognitionList(Value):
    """What several videos of one request came to, in their order."""

    recognitions: list[RecognitionAnswer | Problem]


class KeyUsage(Value):
    """What one key used of one model."""

    key: str | None = Field(description="The key's name; null: without a key.", examples=["front-desk"])
    model: str = Field(examples=["adafocus-v3-compact"])
    requests: int = Field(description="Answers, windows of cameras among them.", examples=[120])
    gflops: float = Field(description="Spent, also by requests that were left before their answer.", examples=[142.8])


class UsageReport(Value):
    """Data of `GET /v1/usage`; days are UTC's."""

    first_day: date
    last_day: date
    usage: list[KeyUsage]


class Liveness(Value):
    status: str = Field(default="alive", examples=["alive"])


class Readiness(Value):
    status: str = Field(default="ready", examples=["ready"])
    load: float = Field(
        default=0.0,
        description="How full the fullest bound is, as X-Fovea-Load: at 1 whoever comes is refused.",
        examples=[0.25],
    )
    models: list[str] = Field(examples=[["adafocus-v3-compact"]])


class PlaygroundFacts(Value):
    """What the playground page wants to know besides the API."""

    max_upload_bytes: int
    clips: list[str] = Field(description="Names of videos under /playground/clips/.")
