"""What `bundle.json` and `calibration.json` say, field by field, and the error for a bundle that is not sound.

Knows no network and no tensor. Facts that follow from others are not stored: frames, sizes, glance indices,
normalisation and channel order live in the architecture; costs follow from it; mean costs and accuracies follow from
counts and from the stored calibration set.

Shape suffixes: K steps (step 0: the glance or a part of it).
"""

import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.families import FAMILIES
from models.label_texts import LabelText
from video.clip import Resize

FORMAT: Literal[1] = 1
MANIFEST = "bundle.json"
WEIGHTS = "weights.safetensors"
CALIBRATION = "calibration.json"
CALIBRATION_SET = "calibration.safetensors"
OPEN_SET = "open_set.safetensors"
FILES = (MANIFEST, WEIGHTS, CALIBRATION, CALIBRATION_SET)
"""Of a calibrated bundle; one whose `calibration` is none has no set, one with an open-set score has OPEN_SET, too."""


class BundleError(ValueError):
    """A bundle that cannot be used: which folder, which field, its value, the rule it breaks and the way out."""

    def __init__(self, folder: Path, field: str, value: object, rule: str, way_out: str) -> None:
        shown = repr(value) if len(repr(value)) <= 120 else repr(value)[:117] + "..."
        super().__init__(f"bundle {folder}: {field} is {shown}, but {rule}; {way_out}")
        self.folder = folder
        self.field = field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Architecture(_Strict):
    family: str  # of models.families
    config: dict[str, Any]  # the family's read_config is as strict as this file

    @field_validator("family")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in FAMILIES:
            raise ValueError(f"the known families are {', '.join(FAMILIES)}")
        return name


class Framing(_Strict):
    """How frames reach the size that the architecture asks for: the rest of the clip rule (`video.clip.ClipRule`)."""

    sampling: Literal["uniform", "window"]
    """Frames spread over the whole video, or over `window_s` seconds in its middle."""
    resize: Resize
    source_short_side_px: int | None = Field(gt=0)
    window_s: float | None = Field(default=None, gt=0)
    keyframe_tolerance: float = Field(default=0.0, ge=0, lt=1, exclude_if=lambda tolerance: not tolerance)
    """How far a keyframe may lie from a frame of the glance and stand in for it, in cubes, too, as a share of the
    distance of the glance's frames: it was trained so (decision 0066). 0, as in bundles made before: exact frames."""
    skip_loop_filter: bool = Field(default=False, exclude_if=lambda skips: not skips)
    """Whether its frames may be decoded without the loop filter of H.264: what that costs was measured
    (decision 0082). False, as in bundles made before: with it."""

    @model_validator(mode="after")
    def _has_a_window_or_none(self) -> "Framing":
        if (self.sampling == "window") != (self.window_s is not None):
            raise ValueError("window_s belongs to the sampling 'window', and to no other")
        return self


class Provenance(_Strict):
    """Where the weights come from."""

    data: str = Field(min_length=1)
    recipe: str = Field(min_length=1)
    seed: int = Field(ge=0)
    commit: str | None
    """Of the code that trained them; None where nothing was trained."""


class Card(_Strict):
    """What a reader of the catalogue should know before use."""

    intended_use: str = Field(min_length=1)
    limits: str = Field(min_length=1)


class MeasuredPoint(_Strict):
    """One point of the frontier as counts: its mean cost is recomputed from today's prices."""

    videos_by_last_step_K: tuple[int, ...] = Field(min_length=1)
    correct: int = Field(ge=0)


class Measured(_Strict):
    """Accuracy on data used neither for training nor for calibration."""

    data: str = Field(min_length=1)
    points: tuple[MeasuredPoint, ...] = Field(min_length=1)


class OpenSetFacts(_Strict):
    """Of an open-set score (`models.open_set`): its scalars, and what it is worth. Arrays are in OPEN_SET."""

    data: str = Field(min_length=1)
    """What it was fitted on: the model's classes, and footage of none of them."""
    measured_on: str = Field(min_length=1)
    threshold: float = Field(gt=0, lt=1)
    """Below it, a model says that it does not know."""
    bias: float
    slope: float
    offset: float
    auroc: float | None = Field(ge=0, le=1)
    """Clips of the classes against real footage of none that it was not fitted on; None where none was given."""
    auroc_synthetic: float = Field(ge=0, le=1)
    """The same against synthetic footage; other variants of it than it was fitted on."""
    kept: float = Field(ge=0, le=1)
    """Share of in-domain clips, out of fold, that are at or above the threshold."""


class Description(_Strict):
    """What whoever makes a bundle says about it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    task: str = Field(min_length=1)
    labels: tuple[str, ...] = Field(min_length=2)
    label_texts: dict[str, LabelText] = Field(default_factory=dict, exclude_if=lambda texts: not texts)
    """Names and sentences for people, by label; a label that is not in it has none, as in bundles made before."""
    trained: bool
    architecture: Architecture
    clip: Framing
    default_budget_gflops: float = Field(gt=0)
    """B of Eq. 7 for a request that names none."""
    licence: str = Field(min_length=1)
    provenance: Provenance
    card: Card
    calibration: Literal["solved", "none"] = "solved"
    """none: nobody has run it on videos yet. All steps are taken, no budget below them is promised."""
    measured: Measured | None
    """None where `calibration` is none, and nowhere else."""

    @model_validator(mode="after")
    def _is_measured_where_calibrated(self) -> "Description":
        if (self.calibration == "none") != (self.measured is None):
            raise ValueError("what is calibrated is measured, and what is not calibrated (none) is not (null)")
        return self

    @model_validator(mode="after")
    def _names_its_own_labels(self) -> "Description":
        if strange := sorted(set(self.label_texts) - set(self.labels)):
            raise ValueError(f"label_texts names {strange[0]!r}, which is none of the labels")
        return self


class Manifest(Description):
    """bundle.json: the description, and what `write_bundle` adds."""

    format: Literal[1]
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    open_set: OpenSetFacts | None = None
    """None: the bundle has no open-set score, as those made before there was one."""

    @property
    def files(self) -> tuple[str, ...]:
        missing = () if self.calibration == "solved" else (CALIBRATION_SET,)
        added = () if self.open_set is None else (OPEN_SET,)
        return tuple(file for file in FILES if file not in missing) + added


class SolvedBudget(_Strict):
    budget_flops: int = Field(gt=0)
    thresholds_nats: tuple[float, ...]


class CalibrationFile(_Strict):
    """calibration.json; the set itself is calibration.safetensors (entropy_NK float32, correct_NK uint8, top_label_NK
    int32; bundles made before it was kept have no top_label_NK and are read).

    Of a bundle that is not calibrated: temperatures by rule, and one budget, the full cost, whose thresholds stop
    nothing.
    """

    data: str = Field(min_length=1)
    temperatures_K: tuple[float, ...] = Field(min_length=1)
    exit_rule: Literal["entropy", "entropy_by_label"] = "entropy"
    exit_rule_choice: str | None = Field(default=None, exclude_if=lambda choice: choice is None)
    """How the rule was chosen, in a sentence; None in bundles for which nobody chose."""
    label_offsets_nats: tuple[tuple[float, ...], ...] | None = None
    """Of the rule entropy_by_label (`models.exit_rules`): a row per step but the last, a number per label."""
    majority_share: float | None = Field(default=None, ge=0, le=1)
    """What the most frequent class of each video's source would get right of the set; older bundles have none."""
    num_deals: int = Field(default=1, ge=1, exclude_if=lambda deals: deals == 1)
    """How often groups were dealt into folds: the set has a row a video in each deal, deal by deal."""
    grid: tuple[SolvedBudget, ...] = Field(min_length=1)


ModelT = TypeVar("ModelT", bound=_Strict)


def read_json(folder: Path, file: str, model: type[ModelT]) -> ModelT:
    """The parsed file. Raises BundleError for the first thing that is wrong with it."""
    text = read_bytes(folder, file)
    if file == MANIFEST:
        _check_format(folder, text)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join([file, *map(str, first["loc"])])
        raise BundleError(
            folder, field, first["input"], first["msg"], "correct it or build the bundle again"
        ) from error


def read_bytes(folder: Path, file: str) -> bytes:
    try:
        return (folder / file).read_bytes()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise BundleError(folder, file, reason, f"a bundle holds {', '.join(FILES)}", "build it again") from error


def _check_format(folder: Path, text: bytes) -> None:
    """Before anything else: another format may well have other fields."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BundleError(folder, MANIFEST, str(error), "it must be JSON", "build the bundle again") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise BundleError(
            folder,
            f"{MANIFEST}.format",
            found,
            f"this version reads format {FORMAT}",
            "use a matching version of Fovea",
        )
