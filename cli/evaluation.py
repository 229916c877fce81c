"""`fovea calibrate | evaluate | report`: from a run to a bundle, from a bundle to figures, from figures to a page.

Torch is imported inside the commands, so that `fovea --help` is quick.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Column, Table

from cli.training import CACHE, stderr

if TYPE_CHECKING:
    from training.bundling import Bundled
    from training.judge.results import Estimate, Result

WIDE = 160  # columns where nobody's terminal says how many

commands = typer.Typer(add_completion=False)


@commands.command()
def calibrate(
    run: Annotated[Path, typer.Argument(help="The folder of a run of `fovea train`, or a bundle to calibrate anew.")],
    out: Annotated[
        Path | None, typer.Option(help="The bundle's folder; its last part becomes its name. A bundle: in its place.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the run's data lies now, if it has moved. Of a bundle: labelled videos.")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Accuracies compare within one task; the data's name.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the weights.")] = None,
    data_terms: Annotated[str | None, typer.Option(help="The terms the training data stands under.")] = None,
    intended_use: Annotated[str | None, typer.Option(help="A sentence for the model card.")] = None,
    limits: Annotated[str | None, typer.Option(help="Another: what it cannot do.")] = None,
    default_budget_gflops: Annotated[
        float | None, typer.Option(help="B of a request that names none; the least that costs no accuracy.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Names of the labels for people: CSV label,display_name,description; or JSON.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Where decoded clips are kept.")] = CACHE,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores unless told.", min=1)] = None,
    observations: Annotated[
        Path | None, typer.Option(help="Write what the calibration videos were answered there, for compare-exits.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a bundle that stands there.")] = False,
    negatives: Annotated[
        Path | None, typer.Option(help="A folder of own footage of none of the classes, for the open-set score.")
    ] = None,
) -> None:
    """Make a bundle of a run: thresholds solved on the videos it held out, figures from the val split.

    Or give a bundle that stands, such as an imported one, thresholds and figures from the videos in --data.
    """
    from training.bundling import Told, bundle_run
    from training.label_file import read_label_texts

    if (run / "bundle.json").is_file():
        if labels is not None:
            raise ValueError(f"--labels names those of a run; fovea name-labels {run} --labels {labels} does it here")
        _calibrate_bundle(run, data, out, cache, default_budget_gflops, threads, replace, negatives)
        return
    if out is None:
        raise ValueError("--out is missing: the folder of the bundle that the run becomes")
    named = {
        "task": task,
        "licence": licence,
        "data_terms": data_terms,
        "intended_use": intended_use,
        "limits": limits,
        "default_budget_gflops": default_budget_gflops,
        "label_texts": None if labels is None else read_label_texts(labels),
    }
    given: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    told = Told(**given)
    bundled = bundle_run(
        run, out, told=told, cache=cache.expanduser(), data=data, replace=replace, num_threads=threads,
        negatives=negatives,
    )  # fmt: skip
    if observations is not None:
        bundled.held_out.save(observations)
    _print_bundled(bundled)


def _calibrate_bundle(
    bundle: Path,
    data: Path | None,
    out: Path | None,
    cache: Path,
    default_budget_gflops: float | None,
    threads: int | None,
    replace: bool,
    negatives: Path | None,
) -> None:
    from dataclasses import replace as changed

    from training.bundling import REFERENCE
    from training.calibrating import calibrate_bundle

    if data is None:
        raise ValueError(f"--data is missing: labelled videos to calibrate {bundle} on, which it was not trained on")
    runtime = changed(REFERENCE, num_threads=threads)
    bundled = calibrate_bundle(
        bundle, data, cache=cache.expanduser(), out=out, default_budget_gflops=default_budget_gflops,
        overwrite=replace, runtime=runtime, negatives=negatives,
    )  # fmt: skip
    _print_bundled(bundled)


@commands.command()
def fit_open_set(
    bundle: Annotated[Path, typer.Argument(help="The folder of a bundle that stands.")],
    data: Annotated[Path, typer.Argument(help="The videos it was trained on; those of a val split are left out.")],
    negatives: Annotated[
        Path | None, typer.Option(help="A folder of footage of none of the classes; absent: synthetic footage alone.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Another folder for the bundle; absent: in its place.")] = None,
    cache: Annotated[Path, typer.Option(help="Where decoded clips are kept.")] = CACHE,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores unless told.", min=1)] = None,
    runtime: Annotated[
        Literal["torch", "openvino"], typer.Option(help="What runs the glance; both in fp32.")
    ] = "torch",
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a bundle that stands there.")] = False,
) -> None:
    """Teach a bundle to say that it does not know: fit its open-set score. Weights and thresholds stay."""
    from models.runtime import RuntimeConfig
    from training.open_set import add_open_set

    config = RuntimeConfig(name=runtime, precision="fp32", num_threads=threads)
    added = add_open_set(
        bundle, data, cache=cache.expanduser(), negatives=negatives, out=out, overwrite=replace, runtime=config
    )
    stderr.print(f"{added.folder}: {added.digest}\nopen set: {dict(added.card)['Open set']}")


@commands.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder, or the run of a baseline.")],
    data: Annotated[Path, typer.Argument(help="A folder per class (in val/, if you like), or a CSV path,label,...")],
    out: Annotated[Path, typer.Option(help="Where numbers, plots and pictures go.")],
    split: Annotated[str, typer.Option(help="Which videos: val is neither trained nor calibrated on.")] = "val",
    against: Annotated[
        list[Path] | None, typer.Option(help="observations.npz of another model on the same videos; repeatable.")
    ] = None,
    random_draws: Annotated[int, typer.Option(help="Draws of random cubes to compare with; 0: none.", min=0)] = 1,
    pictures: Annotated[int, typer.Option(help="How many easy, and how many hard videos to draw.", min=0)] = 3,
    runtime: Annotated[
        Literal["reference", "auto", "torch", "openvino"],
        typer.Option(help="reference: torch in fp32; the others in the precision that serves."),
    ] = "reference",
    negatives: Annotated[
        Path | None, typer.Option(help="The footage that fit-open-set was given: measure the open-set score, too.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Where decoded clips are kept.")] = CACHE,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all cores unless told.", min=1)] = None,
) -> None:
    """Measure accuracy, cost and budgets on labelled videos, by source and with intervals; compare with others."""
    from models.runtime import RuntimeConfig
    from training.judge.evaluate import evaluate as evaluate_subject

    config = (
        RuntimeConfig(name="torch", precision="fp32", num_threads=threads)
        if runtime == "reference"
        else RuntimeConfig(name=runtime, num_threads=threads)
    )
    result = evaluate_subject(
        bundle,
        data,
        out,
        split=split,
        cache=cache.expanduser(),
        against=against or [],
        random_draws=random_draws,
        num_pictures=pictures,
        runtime=config,
        negatives=negatives,
    )
    _print_result(result)
    if negatives is not None:
        _print_open_set(out)
    stderr.print(f"written: {out}")


@commands.command()
def compare_exits(
    observations: Annotated[Path, typer.Argument(help="observations.npz of videos that the model was not trained on.")],
    out: Annotated[Path, typer.Option(help="A folder of experiments: exits.json goes there, for `fovea report`.")],
    on: Annotated[list[Path] | None, typer.Option(help="Other observations to spend the thresholds on.")] = None,
) -> None:
    """Compare leaving by entropy, by entropy and label, and at random at equal mean cost; cross-fitted over groups.

    And how often each step is right there.
    """
    from training.judge.exit_comparison import COMPARISONS, cross_fitted, on_other_videos, write_comparisons
    from training.judge.new_places import NEW_PLACES, on_new_places, write_new_places
    from training.judge.observations import Observations

    solved_on = Observations.load(observations)
    others = [Observations.load(path) for path in on or []]
    comparisons = [cross_fitted(solved_on, name=f"{solved_on.model}, {solved_on.split}")]
    comparisons += [on_other_videos(solved_on, seen, name=f"{seen.model}, {seen.split}") for seen in others]
    write_comparisons(out / COMPARISONS, comparisons)
    write_new_places(out / NEW_PLACES, on_new_places(solved_on))
    stderr.print(f"written: {out / COMPARISONS}")


@commands.command()
def report(
    results: Annotated[Path, typer.Argument(help="A folder with NAME/result.json for each experiment NAME.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("docs/RESULTS.md"),
) -> None:
    """Write the results page from what `fovea evaluate` found; what was not run is named as not run."""
    from training.judge.report import write_report

    missing = write_report(results, out)
    stderr.print(f"written: {out}; not run: {', '.join(missing) or 'nothing'}")


def _print_bundled(bundled: "Bundled") -> None:
    bundle, calibration = bundled.bundle, bundled.bundle.calibration
    table = Table("step", "GFLOPs so far", "top-1", "temperature", "calibration error before", "after", box=None)
    correct_K = bundled.held_out.correct_NK.mean(axis=0)
    for step, flops in enumerate(bundled.held_out.spent_K.tolist()):
        table.add_row(
            str(step),
            f"{flops / 1e9:.4g}",
            f"{correct_K[step]:.3f}",
            f"{calibration.temperatures_K[step]:.3g}",
            f"{bundled.errors_before_K[step]:.3f}",
            f"{bundled.errors_after_K[step]:.3f}",
        )
    stderr.print(f"calibrated on {calibration.data} (the figures below are of these videos)")
    _print_table(table)
    if calibration.warning is not None:
        stderr.print(calibration.warning, style="yellow")
    stderr.print(f"open set: {dict(bundle.card)['Open set']}")
    (flops, accuracy), measured = bundle.frontier[-1], bundle.manifest.measured
    assert measured is not None, "calibration measures"
    stderr.print(
        f"{bundle.folder}: {bundle.digest}\ndefault budget {bundle.default_budget_flops / 1e9:.4g} GFLOPs; at the "
        f"largest, {flops / 1e9:.4g} GFLOPs on average and top-1 {accuracy:.3f} on {measured.data}"
    )


def _print_result(result: "Result") -> None:
    from training.judge.results import step_name

    sources = [score.source for score in result.depths[0].scores]
    table = Table(*(Column(name, no_wrap=True) for name in ("way", "GFLOPs", *sources)), box=None)
    for depth in result.depths:
        table.add_row(step_name(depth.step), f"{depth.gflops:.4g}", *(_shown(score.top1) for score in depth.scores))
    for point in result.budgets:
        cost = f"{point.mean_gflops.value:.4g}"
        table.add_row(f"B = {point.asked_gflops:.4g}", cost, *(_shown(score.top1) for score in point.scores))
    stderr.print(f"{result.model} on {result.data}, {result.split}: top-1 with 95 % intervals over groups")
    _print_table(table)
    if check := result.cross_fit:
        stderr.print(
            f"budgets on fresh videos: realised <= 1.05 B in {check.share_kept:.1%} of {check.num_trials} (split, B) "
            f"pairs, off by {check.typical_error:.1%} (median)"
        )
    for comparison in result.comparisons:
        full = comparison.points[0]
        stderr.print(
            f"minus {comparison.other}, all steps of both: {_shown(full.difference)} at {full.cost_ratio:.2f} of its "
            f"cost: {full.verdict}"
        )
    if not result.trained:
        stderr.print("untrained: its accuracies mean nothing", style="yellow")


def _print_open_set(out: Path) -> None:
    from training.judge.open_set_result import OPEN_SET_RESULT, read_open_set_result

    found = read_open_set_result(out / OPEN_SET_RESULT)
    stderr.print(f"open set: {found.kept:.1%} of {found.videos} clips get a label at threshold {found.threshold:.3f}")
    table = Table("footage of none of the classes", "clips", "AUROC", "no label", "median in_domain", box=None)
    for row in found.outside:
        table.add_row(
            row.name, str(row.videos), f"{row.auroc:.3f}", f"{row.abstained:.0%}", f"{row.median_in_domain:.3f}"
        )
    _print_table(table)


def _print_table(table: Table) -> None:
    wide = stderr if stderr.is_terminal else Console(stderr=True, highlight=False, markup=False, width=WIDE)
    wide.print(table)


def _shown(estimate: "Estimate") -> str:
    return f"{100 * estimate.value:.1f} ({100 * estimate.low:.0f} to {100 * estimate.high:.0f})"
