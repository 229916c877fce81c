"""Turns what a client asked for into a Plan, or says the least price. Knows prices and thresholds, but no model.

Semantics (docs/ARCHITECTURE.md, "Budgets"): `budget_flops` is B of AdaFocusV3's Eq. 7 and bounds the *mean* over
videos through the thresholds; `max_flops` bounds this one video; both are settled here, before anything is spent.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fovea.errors import BudgetTooSmall, InvalidOption, UnknownModel
from models.label_texts import UNNAMED, LabelText
from models.thresholds import GridPoint
from service.engine.pressure import granted_flops
from service.engine.request import Plan
from service.engine.verdict import Terms
from video.clip import ClipRule

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class MeasuredPoint:
    """What answers cost in the mean and how many were right, on videos used for neither training nor calibration."""

    mean_cost_flops: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class OpenSet:
    """How well a model can say that it does not know: its threshold on in_domain, and figures to show."""

    threshold: float
    auroc: float | None
    auroc_synthetic: float
    kept: float
    data: str
    measured_on: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What a loaded bundle offers: its labels, the frames it wants, its price list, its solved budgets.

    `grid` ascends in budget and starts at or below the price of a glance; an untrained bundle's `frontier` is empty.
    Where nothing was `calibrated`, the grid is the full cost alone, the frontier is empty, and all steps are taken.
    """

    name: str
    digest: str  # "sha256:..." of the bundle
    task: str
    labels: tuple[str, ...]
    trained: bool
    clip_rule: ClipRule
    step_flops: tuple[int, ...]  # price of each step
    default_budget_flops: int
    grid: tuple[GridPoint, ...]
    frontier: tuple[MeasuredPoint, ...] = ()
    card: tuple[tuple[str, str], ...] = ()  # the model card: (heading, text)
    calibrated: bool = True  # False: no thresholds were solved; all steps are taken
    scores_calibrated: bool = True  # False: nothing told how sure it may be
    label_offsets_nats: tuple[tuple[float, ...], ...] = ()  # where thresholds differ between labels
    below_majority: bool = False  # True: always saying its sources' most frequent class would be right more often
    open_set: OpenSet | None = None  # None: it cannot say that it does not know
    label_texts: Mapping[str, LabelText] = field(default_factory=dict)  # names for people, where there are some
    step_indices: tuple[tuple[int, ...], ...] | None = None  # frames of the clip that each step may look at; None: all
    glance_indices: tuple[int, ...] = ()  # those of the glance, in however many steps it comes; with `step_indices`
    keyframe_tolerance: float = 0.0  # within which it was trained to take keyframes for its frames; 0: exact ones
    skip_loop_filter: bool = False  # whether its frames may be decoded without the loop filter
    computed_by: str = ""  # runtime and precision: elsewhere answers may differ in their last digits
    paper_flops: int | None = None  # of a whole pass as its own paper counts, to show; no budget knows it

    def text_of(self, label: str) -> LabelText:
        """What people read in place of `label`."""
        return self.label_texts.get(label, UNNAMED)

    @property
    def least_flops(self) -> int:
        """The cheapest answer: step 0."""
        return self.step_flops[0]

    @property
    def full_flops(self) -> int:
        """Every step taken."""
        return sum(self.step_flops)

    def point_at(self, budget_flops: int) -> GridPoint:
        """The grid's last point that `budget_flops` (at least `least_flops`) pays for."""
        affordable = [point for point in self.grid if point.budget_flops <= budget_flops]
        return affordable[-1] if affordable else self.grid[0]

    def levels(self, least_flops: int, budget_flops: int) -> tuple[int, ...]:
        """The solved budgets that may be granted instead of `budget_flops`, rising, none below `least_flops`.

        The last one is what `budget_flops` buys. One that is right no more often than a cheaper one is left out.
        """
        bought = self.point_at(budget_flops)
        best, levels = -math.inf, list[int]()
        for point in self.grid:
            if least_flops <= point.budget_flops < bought.budget_flops and point.solution.accuracy > best:
                best = point.solution.accuracy
                levels.append(point.budget_flops)
        return (*levels, bought.budget_flops)

    def measured_at(self, budget_flops: int) -> MeasuredPoint | None:
        """What was measured of that point, not of a better one below it; None where nothing was."""
        if len(self.frontier) != len(self.grid):  # points of other thresholds than those that are served
            affordable = [point for point in self.frontier if point.mean_cost_flops <= budget_flops]
            return max(affordable, key=lambda point: (point.accuracy, -point.mean_cost_flops), default=None)
        return self.frontier[self.grid.index(self.point_at(budget_flops))]


@dataclass(frozen=True, slots=True)
class RecognitionOptions:
    """What a client asked for, each value of the right type and range by itself."""

    model: str = AUTO
    task: str | None = None
    budget_flops: int | None = None
    max_flops: int | None = None
    deadline_ms: int | None = None
    top_k: int = 5
    min_score: float = 0.0
    abstain: bool = True
    labels: tuple[str, ...] = ()  # those that may be told; none: all
    min_budget_flops: int | None = None  # what is granted at least under load; None: a glance
    picture: bool = False  # whether the answer brings a frame


def plan(options: RecognitionOptions, offers: Sequence[Offer], default: Offer, *, pressure: float = 0.0) -> Plan:
    """Settle which model answers and what it may spend.

    Under `pressure` (`service.engine.pressure`) the thresholds are those of a smaller budget, of the same model.
    Raises UnknownModel (names the known ones), BudgetTooSmall (names the least price), InvalidOption for a label
    that the model does not have, and for a least budget above the budget.
    """
    if options.model == AUTO:
        budget_flops = _or_default(options, default)
        offer = _cheapest_best(options, budget_flops, offers, default)
    else:
        offer = _named(options, offers)
        budget_flops = _or_default(options, offer)
    if not offer.calibrated and options.budget_flops is not None and options.budget_flops < offer.full_flops:
        raise below_all_steps(options.budget_flops, offer)
    for name, flops in (("budget_gflops", options.budget_flops), ("max_gflops", options.max_flops)):
        if flops is not None and flops < offer.least_flops:
            raise _too_small(name, flops, (offer,))
    _check_labels(options.labels, offer)
    least_flops = options.min_budget_flops or 0
    if least_flops > budget_flops:
        raise InvalidOption(
            f"min_budget_gflops={least_flops / 1e9:g} is above the budget of {budget_flops / 1e9:g}; ask for at most "
            "that, or for a larger budget_gflops",
            option="min_budget_gflops",
        )
    granted = granted_flops(pressure, budget_flops, offer.levels(least_flops, budget_flops))
    solution = offer.point_at(granted).solution
    return Plan(
        asked=plan(options, offers, default) if granted < budget_flops else None,
        model=offer.name,
        step_flops=offer.step_flops,
        thresholds_nats=solution.thresholds_nats,
        label_offsets_nats=offer.label_offsets_nats,
        budget_flops=budget_flops,
        granted_flops=granted,
        mean_flops=math.ceil(solution.mean_cost_flops),
        max_flops=options.max_flops,
        deadline_ms=options.deadline_ms,
        top_k=options.top_k,
        max_entropy_nats=math.log(len(offer.labels)),
        terms=Terms(
            min_score=options.min_score,
            abstain=options.abstain,
            known_from=None if offer.open_set is None else offer.open_set.threshold,
            only=options.labels,
        ),
        picture=options.picture,
    )


def _check_labels(labels: tuple[str, ...], offer: Offer) -> None:
    """Raises InvalidOption."""
    for label in labels:
        if label not in offer.labels:
            close = difflib.get_close_matches(label, offer.labels, n=1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise InvalidOption(
                f"labels: {offer.name} has no label {label[:64]!r}; {meant}GET /v1/models/{offer.name} lists them",
                option="labels",
            )


def _named(options: RecognitionOptions, offers: Sequence[Offer]) -> Offer:
    for offer in offers:
        if offer.name == options.model:
            if options.task not in (None, offer.task):
                raise UnknownModel(
                    f"model {options.model!r} answers task {offer.task!r}, not {options.task!r}; "
                    "leave `task` out, or choose model `auto`"
                )
            return offer
    raise UnknownModel.not_loaded(options.model, [AUTO, *sorted(offer.name for offer in offers)])


def _or_default(options: RecognitionOptions, offer: Offer) -> int:
    return options.budget_flops if options.budget_flops is not None else offer.default_budget_flops


def _cheapest_best(options: RecognitionOptions, budget_flops: int, offers: Sequence[Offer], default: Offer) -> Offer:
    """`model=auto`: the best accuracy measured of what B buys, the cheaper on a tie; within one task only.

    Never one that is right less often than the most frequent class of its sources, out of fold.
    Untrained bundles have no measured accuracy: one is taken only where it is the default and nothing better is there.
    """
    task = options.task if options.task is not None else default.task
    candidates = [
        offer
        for offer in offers
        if offer.task == task and offer.trained and offer.calibrated and not offer.below_majority
    ]
    if not candidates and default.task == task and default.calibrated and not default.below_majority:
        candidates = [default]
    if not candidates:
        tasks = ", ".join(sorted({offer.task for offer in offers}))
        raise UnknownModel(
            f"no trained model answers task {task!r}; the tasks here are: {tasks}{_left_out(task, offers)}"
        )
    affordable = [
        offer
        for offer in candidates
        if offer.least_flops <= min(budget_flops, options.max_flops if options.max_flops is not None else budget_flops)
    ]
    if not affordable:
        if options.max_flops is not None and options.max_flops < budget_flops:
            raise _too_small("max_gflops", options.max_flops, candidates)
        raise _too_small("budget_gflops", budget_flops, candidates)

    def rank(offer: Offer) -> tuple[float, float, str]:
        measured = offer.measured_at(budget_flops)
        if measured is None:
            return 0.0, offer.least_flops, offer.name
        return -measured.accuracy, measured.mean_cost_flops, offer.name

    return min(affordable, key=rank)


def _left_out(task: str, offers: Sequence[Offer]) -> str:
    """What `auto` passed by, and why."""
    of_task = [offer for offer in offers if offer.task == task]
    told = ""
    if names := [offer.name for offer in of_task if not offer.calibrated]:
        told += f"; not calibrated, so that `auto` takes none of them: {', '.join(names)}"
    if names := [offer.name for offer in of_task if offer.below_majority]:
        told += (
            "; right less often than the most frequent class, so that `auto` takes none of them: "
            f"{', '.join(names)}; name one to be answered by it"
        )
    return told


def below_all_steps(flops: int, offer: Offer) -> BudgetTooSmall:
    """The refusal of a budget that a model without calibration cannot keep to."""
    least_gflops = offer.full_flops / 1e9
    return BudgetTooSmall(
        f"budget_gflops={flops / 1e9} is below the {least_gflops} GFLOPs of all steps of {offer.name}, which is not "
        f"calibrated: it has no thresholds to keep a mean; ask for at least {least_gflops}, or set max_gflops instead",
        option="budget_gflops",
        least_gflops=least_gflops,
    )


def _too_small(option: str, flops: int, offers: Sequence[Offer]) -> BudgetTooSmall:
    cheapest = min(offers, key=lambda offer: offer.least_flops)
    return BudgetTooSmall.below_glance(option, flops / 1e9, cheapest.name, cheapest.least_flops / 1e9)
