"""A bundle on disk: a folder that makes a model usable, read strictly and written whole or not at all.

Knows no runtime and builds no network: prices come from the architecture, everything else from the folder.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.bundle_format import FORMAT, MANIFEST, OPEN_SET, WEIGHTS, BundleError, Description, Manifest, OpenSetFacts
from models.calibration import Calibration, calibration_files, read_calibration
from models.families import find_family
from models.family import ModelConfig
from models.label_texts import LabelText
from models.listing import read_listing
from models.open_set import OpenSetScore
from models.open_set_file import open_set_file, read_open_set
from models.prices import Prices, count_prices
from models.thresholds import BudgetGrid
from video.clip import ClipRule

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A sound bundle. `digest` names its files, byte for byte; `step_flops[k]` is the price of step k."""

    folder: Path
    digest: str
    manifest: Manifest
    config: ModelConfig
    step_flops: tuple[int, ...]
    calibration: Calibration
    paper_flops: int | None
    """To show beside the price: what the model's own paper would print, where it counts otherwise."""
    open_set: OpenSetScore | None = None
    """None: it cannot say that it does not know."""

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def task(self) -> str:
        return self.manifest.task

    @property
    def labels(self) -> tuple[str, ...]:
        return self.manifest.labels

    @property
    def label_texts(self) -> Mapping[str, LabelText]:
        """Names and sentences for people, of the labels that have some."""
        return self.manifest.label_texts

    @property
    def trained(self) -> bool:
        return self.manifest.trained

    @property
    def calibrated(self) -> bool:
        """False: all steps are always taken, and no accuracy is known."""
        return self.manifest.calibration == "solved"

    @property
    def grid(self) -> BudgetGrid:
        return self.calibration.grid

    @property
    def scores_calibrated(self) -> bool:
        """Whether a calibration set could tell how sure the model may be."""
        return self.calibrated and self.calibration.warning is None

    @property
    def label_offsets_nats(self) -> tuple[tuple[float, ...], ...]:
        """By how much thresholds differ between labels (`models.exit_rules`); empty under plain Eq. 7."""
        offsets = self.calibration.offsets
        return () if offsets is None else offsets.nats

    @property
    def default_budget_flops(self) -> int:
        """B of Eq. 7 for a request that names none."""
        return round(self.manifest.default_budget_gflops * 1e9)

    @property
    def clip_rule(self) -> ClipRule:
        rule = self.manifest.clip
        height_px, width_px = self.config.frame_size
        return ClipRule(
            self.config.num_frames, height_px, width_px, rule.resize, rule.source_short_side_px, rule.window_s
        )

    @property
    def keyframe_tolerance(self) -> float:
        """How far keyframes that stand in for the glance's frames may lie, as it was trained; 0: exact frames."""
        return self.manifest.clip.keyframe_tolerance

    @property
    def skip_loop_filter(self) -> bool:
        """Whether its frames may be decoded without the loop filter."""
        return self.manifest.clip.skip_loop_filter

    @property
    def below_majority(self) -> bool:
        """Whether always saying the most frequent class of a video's source is right more often, out of fold."""
        return self.calibration.below_majority

    @property
    def _told_accuracy(self) -> str | None:
        calibration = self.calibration
        share = calibration.majority_share
        if share is None or not len(calibration.correct_NK):
            return None
        return (
            f"right in at most {calibration.best_accuracy:.1%} of these videos{_told_deals(calibration)}, where always "
            f"saying the most frequent class of each source is right in {share:.1%}"
            + ("; right less often than that: model `auto` never takes it" if self.below_majority else "")
        )

    @property
    def frontier(self) -> tuple[tuple[float, float], ...]:
        """Measured (mean FLOPs per video, accuracy) points, on data used neither for training nor for calibration."""
        spent_K = [sum(self.step_flops[: k + 1]) for k in range(len(self.step_flops))]
        points = []
        for point in self.manifest.measured.points if self.manifest.measured else ():
            num_videos = sum(point.videos_by_last_step_K)
            flops = sum(n * spent for n, spent in zip(point.videos_by_last_step_K, spent_K, strict=True))
            points.append((flops / num_videos, point.correct / num_videos))
        return tuple(points)

    @property
    def card(self) -> tuple[tuple[str, str], ...]:
        """The model card: (heading, text), in the order in which to read it."""
        facts, origin = self.manifest, self.manifest.provenance
        measured = facts.measured
        return (
            ("Intended use", facts.card.intended_use),
            ("Limits", facts.card.limits),
            ("Measured on", measured.data if measured else "nothing yet"),
            (
                "Calibrated on",
                "; ".join(filter(None, (self.calibration.data, self.calibration.warning, self._told_accuracy))),
            ),
            ("Exit rule", self.calibration.told_exit_rule),
            ("Open set", told_open_set(self.manifest.open_set)),
            ("Training data", origin.data),
            ("Recipe", f"{origin.recipe}; seed {origin.seed}; commit {origin.commit or 'none'}"),
            ("Licence", facts.licence),
        )

    @classmethod
    def read(cls, folder: Path, prices: Prices | None = None) -> "Bundle":
        """Read and check everything but the tensors, which `load_model` checks. Raises BundleError.

        `prices` of this architecture, counted by this code; None: they are counted now, with torch.
        """
        listing = read_listing(folder)
        manifest = listing.manifest
        config = _read_config(folder, manifest)
        prices = prices or count_prices(config)
        step_flops = prices.step_flops
        solved = manifest.calibration == "solved"
        calibration = read_calibration(folder, step_flops, config.num_classes, solved=solved)
        _check_budget(folder, manifest, calibration.grid.least_flops, step_flops)
        _check_measured(folder, manifest, len(step_flops))
        open_set = read_open_set(folder, manifest.open_set, config.num_classes)
        return cls(folder, listing.digest, manifest, config, step_flops, calibration, prices.paper_flops, open_set)


def _told_deals(calibration: Calibration) -> str:
    """How far one deal of the folds is from the mean that is told, at the budget with the most right answers."""
    if calibration.num_deals == 1:
        return ""
    best = max(calibration.grid.points, key=lambda point: point.solution.accuracy)
    shares = calibration.accuracy_by_deal(best)
    return f" (from deal to deal {min(shares):.1%} to {max(shares):.1%})"


def told_open_set(facts: OpenSetFacts | None) -> str:
    """A sentence for the model card."""
    if facts is None:
        return "no score: any video gets one of the labels; fovea fit-open-set adds one"
    real = "not measured on real footage" if facts.auroc is None else f"AUROC {facts.auroc:.3f} on real footage"
    return (
        f"fitted on {facts.data}; {real}, {facts.auroc_synthetic:.3f} on synthetic footage ({facts.measured_on}); "
        f"threshold {facts.threshold:.3f}, which keeps {facts.kept:.0%} of in-domain clips"
    )


def write_bundle(
    parent: Path,
    description: Description,
    weights: "Mapping[str, Tensor]",
    calibration: Calibration,
    *,
    replace: bool = False,
    open_set: OpenSetScore | None = None,
) -> Bundle:
    """Write `parent / description.name`. It appears complete and checked, or not at all.

    Raises BundleError for contents that do not fit each other, and for a folder that stands there already unless
    `replace`.
    """
    from safetensors.torch import save  # noqa: PLC0415  # whoever writes one has torch; whoever reads one need not

    folder = parent / description.name
    if folder.exists() and not replace:
        raise BundleError(folder, "folder", str(folder), "a bundle is not overwritten", "remove it or choose a name")
    weights_bytes = save({name: tensor.contiguous() for name, tensor in weights.items()})
    manifest = Manifest(
        **{name: getattr(description, name) for name in Description.model_fields},
        format=FORMAT,
        weights_sha256=hashlib.sha256(weights_bytes).hexdigest(),
        open_set=None if open_set is None else open_set.facts,
    )
    files = {
        MANIFEST: (manifest.model_dump_json(indent=1) + "\n").encode(),
        WEIGHTS: weights_bytes,
        **calibration_files(calibration),
        **({} if open_set is None else {OPEN_SET: open_set_file(open_set)}),
    }
    parent.mkdir(parents=True, exist_ok=True)
    # A dot folder beside its place: the rename stays on one file system, and available_models() looks past it.
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=parent) as scratch:
        fresh = Path(scratch) / description.name
        fresh.mkdir()
        for file, content in files.items():
            (fresh / file).write_bytes(content)
        Bundle.read(fresh)
        if folder.exists():
            os.rename(folder, Path(scratch) / "replaced")
        os.rename(fresh, folder)
    return Bundle.read(folder)


def _read_config(folder: Path, manifest: Manifest) -> ModelConfig:
    field = f"{MANIFEST}.architecture.config"
    try:
        config: ModelConfig = find_family(manifest.architecture.family).read_config(manifest.architecture.config)
    except ValueError as error:
        way_out = "correct it or build the bundle again"
        raise BundleError(folder, field, manifest.architecture.config, str(error), way_out) from error
    labels = manifest.labels
    if len(set(labels)) != len(labels) or len(labels) != config.num_classes:
        rule = f"there must be {config.num_classes} different ones, as the architecture's num_classes says"
        raise BundleError(folder, f"{MANIFEST}.labels", labels, rule, "list the labels the model was trained on")
    return config


def _check_budget(folder: Path, manifest: Manifest, least_flops: int, step_flops: tuple[int, ...]) -> None:
    if not least_flops <= round(manifest.default_budget_gflops * 1e9) <= sum(step_flops):
        least = "the first step costs" if manifest.calibration == "solved" else "without calibration the least is"
        rule = f"{least} {least_flops / 1e9:g} and all steps {sum(step_flops) / 1e9:g}"
        field = f"{MANIFEST}.default_budget_gflops"
        raise BundleError(folder, field, manifest.default_budget_gflops, rule, "choose a budget between the two")


def _check_measured(folder: Path, manifest: Manifest, num_steps: int) -> None:
    for i, point in enumerate(manifest.measured.points if manifest.measured else ()):
        counts = point.videos_by_last_step_K
        if len(counts) != num_steps or min(counts) < 0 or not point.correct <= sum(counts) or sum(counts) == 0:
            rule = f"it needs {num_steps} counts of videos, one per step, and at most as many correct as videos"
            raise BundleError(folder, f"{MANIFEST}.measured.points.{i}", point.model_dump(), rule, "measure again")
