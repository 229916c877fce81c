"""Calibrates a bundle that stands: temperatures, thresholds and a frontier from labelled videos. Weights stay.

Knows no run: for weights that were trained elsewhere (`training.importing`), on videos that they were not trained on.
"""

from pathlib import Path

from safetensors.torch import load_file

from models.bundle import Bundle, write_bundle
from models.bundle_format import WEIGHTS, Description
from models.families import find_family
from models.loading import load_network
from models.runtime import RuntimeConfig, make_runtime
from training.bundling import REFERENCE, Bundled, check_name
from training.data.dataset import Dataset, read_dataset
from training.data.frames import FrameStore
from training.data.groups import num_shared_groups
from training.judge.calibrated import (
    calibrated,
    calibration_errors,
    describe_videos,
    measure_fresh,
    usual_budget_flops,
)
from training.judge.observations import Observations
from training.judge.observe import observe_dataset, readable
from training.open_set import fit_if_possible


def calibrate_bundle(
    folder: Path,
    data: Path,
    *,
    cache: Path,
    out: Path | None = None,
    default_budget_gflops: float | None = None,
    overwrite: bool = False,
    runtime: RuntimeConfig = REFERENCE,
    negatives: Path | None = None,
) -> Bundled:
    """Solve thresholds on the videos at `data` but those of its val split, which give the measured figures.

    Written in place of the bundle, or to `out`; whole or not at all. Raises ValueError: for labels that the model does
    not know, fewer videos than steps, `out` that exists.
    """
    if out is not None:
        check_name(out, overwrite=overwrite)
    target = out or folder.resolve()
    bundle = Bundle.read(folder.resolve())
    network = load_network(bundle)
    family, rule = find_family(bundle.config.family), bundle.clip_rule
    ones = [1.0] * len(bundle.step_flops)
    recognizer = family.make_recognizer(network, rule, ones, make_runtime(runtime))
    dataset = read_dataset(data)
    store = FrameStore(cache, rule.source_short_side_px or min(bundle.config.frame_size))

    def observed(part: Dataset, split: str) -> Observations:
        return observe_dataset(
            recognizer,
            readable(part, store, rule),
            store,
            classes_C=bundle.labels,
            root=data,
            model=bundle.name,
            split=split,
            timed=False,
            batch_size=1,  # a clip of 96 frames takes a gigabyte by itself
        )

    to_solve = dataset.subset(sample for sample in dataset.samples if sample.split != "val")
    seen = observed(to_solve, "calibration")
    told = f"{describe_videos(seen, data)}, which whoever calibrated says were not trained on"
    calibration = calibrated(seen, told)
    open_set = fit_if_possible(
        recognizer, readable(to_solve, store, rule), bundle.labels, store, cache, negatives, data
    )
    validation = [sample for sample in dataset.samples if sample.split == "val"]
    fresh = observed(dataset.subset(validation), "val") if validation else None
    measured = measure_fresh(seen, fresh, calibration, num_shared_groups(dataset, "val"), data)
    values = {name: getattr(bundle.manifest, name) for name in Description.model_fields}
    values |= {
        "name": target.name,
        "calibration": "solved",
        "measured": measured,
        "default_budget_gflops": default_budget_gflops or usual_budget_flops(seen, calibration) / 1e9,
    }
    weights = load_file(folder / WEIGHTS)  # as they lie there, whatever their precision
    written = write_bundle(
        target.parent,
        Description(**values),
        weights,
        calibration,
        replace=out is None or overwrite,
        open_set=open_set,
    )
    before_K, after_K = calibration_errors(seen, ones), calibration_errors(seen, calibration.temperatures_K)
    return Bundled(written, seen, before_K, after_K)
