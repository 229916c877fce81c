"""The JSON of models: what each knows, costs and scores, and what a budget means to it. Knows no engine and no HTTP."""

from pydantic import Field

from fovea.answers import NamedLabel, Value


class FrontierPoint(Value):
    gflops: float = Field(description="Mean cost measured on validation videos.", examples=[0.98])
    accuracy: float = Field(
        description="On validation videos, seen neither in training nor in calibration.", examples=[0.81]
    )


class Thresholds(Value):
    """What a budget means to a model: it stops after step k when the entropy is at most entropy_nats[k], and where
    thresholds differ between labels, at most entropy_nats[k] + label_offsets_nats[k][i], i being the place of the
    likeliest label in `labels`."""

    budget_gflops: float = Field(description="The budget asked about.", examples=[1.3])
    solved_for_gflops: float = Field(description="The solved budget that holds for it.", examples=[1.2])
    entropy_nats: list[float] = Field(examples=[[0.42, 0.61]])
    label_offsets_nats: list[list[float]] = Field(
        default=[],
        description="For each step before the last, a number for each of `labels`, in their order. Empty: thresholds "
        "are the same for all labels.",
        examples=[[]],
    )
    mean_gflops: float = Field(examples=[1.18])
    accuracy: float | None = Field(
        description="On the calibration videos, which are of places that it had not learnt from. Null where nothing "
        "was calibrated.",
        examples=[0.58],
    )


class Accuracies(Value):
    """How often a model is right at a budget, measured twice. The two differ where places and people of the validation
    videos occur in what was learnt, too: the first is what to expect in a new place."""

    on_new_places: float | None = Field(
        description="Out of fold: of the calibration videos, each answered by a network that had learnt from no video "
        "of its place; the mean over the deals of the folds, of which the card tells how many. Null where "
        "nothing was calibrated. Thresholds were solved on these videos: expect a little less elsewhere.",
        examples=[0.58],
    )
    on_validation_videos: float | None = Field(
        description="Of videos seen neither in training nor in calibration, whose places may have been. Null where "
        "nothing was measured at such a cost.",
        examples=[0.69],
    )


class ModelSummary(Value):
    name: str = Field(examples=["adafocus-v3-compact"])
    bundle: str = Field(examples=["sha256:9f86d081884c7d65"])
    task: str = Field(examples=["sports-actions"])
    trained: bool
    default: bool = Field(description="Whether `auto` starts from this model's task and budget.")
    num_labels: int = Field(examples=[101])
    least_gflops: float = Field(description="The cheapest answer: step 0.", examples=[0.362484])
    full_gflops: float = Field(description="Every step taken.", examples=[1.979083])
    default_budget_gflops: float = Field(examples=[1.116897])


class OpenSet(Value):
    """How well a model can say that it does not know."""

    threshold: float = Field(description="An answer whose in_domain is below it abstains.", examples=[0.6])
    auroc: float | None = Field(
        description="How often a clip of the model's kind gets a higher in_domain than real footage of none of its "
        "classes; null: not measured, only synthetic footage was given.",
        examples=[0.99],
    )
    auroc_synthetic: float = Field(description="The same against synthetic footage.", examples=[0.999])
    kept: float = Field(description="Share of clips of the model's kind that it does not abstain on.", examples=[0.95])
    data: str = Field(description="What it was fitted on.")
    measured_on: str = Field(description="What the figures were measured on.")


class LabelDetail(NamedLabel):
    """A label, what people read in its place, and what it looks like."""

    description: str | None = Field(
        default=None,
        description="What it looks like, in a sentence; absent: the bundle says nothing of it.",
        examples=["A player throws the ball up and hits it above the head to begin a point."],
        exclude_if=lambda text: text is None,
    )


class ModelDetail(ModelSummary):
    labels: list[str] = Field(examples=[["tennis_serve", "tennis_smash"]])
    label_details: list[LabelDetail] = Field(default=[], description="The same labels in the same order, with names.")
    step_gflops: list[float] = Field(description="The price of each step.", examples=[[0.362484, 0.362606]])
    paper_gflops: float | None = Field(
        description="Of a Video Mobile-Former: its price as its paper counts it, with norms. Budgets never use it.",
        examples=[None],
    )
    num_frames: int = Field(description="Frames sampled from a video.", examples=[16])
    accuracies: Accuracies = Field(description="For `budget_gflops`, or the default budget.")
    frontier: list[FrontierPoint] = Field(description="Measured; empty for an untrained model.")
    thresholds: Thresholds = Field(description="For `budget_gflops`, or the default budget.")
    open_set: OpenSet | None = Field(
        default=None, description="null: the bundle has no open-set score, and its answers no in_domain."
    )
    card: dict[str, str] = Field(description="The model card, by heading.", examples=[{"Licence": "Apache-2.0"}])


class ModelList(Value):
    models: list[ModelSummary]
