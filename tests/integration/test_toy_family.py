"""A family that nobody thought of, through the whole house: one folder, one line in the table, nothing else patched."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import cli
from models import BundleError
from models.bundle import Bundle
from models.families import FAMILIES
from service.wiring.recognising import load_models
from tests.clips import solid, write_clip
from tests.serving import serving
from tests.toy_family.family import ToyConfig
from training.data.augment import Augmentation
from training.fit.plans import TrainPlan
from training.fit.recipe import Rates, Recipe, Stage
from training.judge.results import RESULT, read_result
from video.clip import ClipRule

CONFIG = ToyConfig(num_classes=2)
RECIPE = Recipe(
    (Stage(30, lr=0.1),),
    batch_size=8,
    rates=Rates(classifier=1.0),
    optimizer="adamw",
    precision="fp32",
    weight_decay=0.0,
    held_out_share=0.34,
)


@pytest.fixture(scope="module", autouse=True)
def in_the_table() -> Iterator[None]:
    """All that a new family has to say to the code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, "toy", "tests.toy_family.family")
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two colours, six videos each to learn from in three sessions, two each in val."""
    root = tmp_path_factory.mktemp("data") / "colours"
    rows = ["path,label,split,subject"]
    for label, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        for number in range(8):
            split = "val" if number >= 6 else "train"
            path = Path(split) / label / f"{number}.mp4"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            write_clip(root / path, pattern=solid(*(value + 3 * number for value in colour)), seconds=0.8, fps=10)
            rows.append(f"{path.as_posix()},{label},{split},{split}-session-{number // 2}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def fovea(*arguments: object) -> Result:
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    clip_rule = ClipRule(CONFIG.num_frames, *CONFIG.frame_size, "stretch", 32)
    plan = folder / "plan.json"
    plan.write_text(json.dumps(TrainPlan(CONFIG, clip_rule, RECIPE, Augmentation()).to_dict()))
    fovea("train", data, "--plan", plan, "--out", folder / "run", "--cache", folder / "cache", "--threads", 1)
    return folder / "run"


@pytest.fixture(scope="module")
def bundle(data: Path, run: Path) -> Bundle:
    out = run.parent / "bundles" / "toy"
    fovea("calibrate", run, "--out", out, "--cache", run.parent / "cache", "--threads", 1)
    return Bundle.read(out)


def test_is_offered_and_built_untrained_with_answers_that_differ(tmp_path: Path) -> None:
    fovea("build", "toy-long", "--out", tmp_path)
    built = Bundle.read(tmp_path / "toy-long-untrained")
    assert (built.manifest.architecture.family, built.trained, len(built.step_flops)) == ("toy", False, 2)
    assert built.calibration.entropy_NK.std(axis=0).min() > 0.01
    with pytest.raises(ValueError, match="toy-small, toy-long"):
        CliRunner().invoke(cli, ["build", "toy", "--out", str(tmp_path)], catch_exceptions=False)


def test_trains_on_files_and_becomes_a_bundle_with_two_exits(run: Path, bundle: Bundle) -> None:
    header, *lines = (run / "metrics.csv").read_text().splitlines()
    losses = [float(line.split(",")[header.split(",").index("loss")]) for line in lines]
    assert losses[-1] < 0.3 * losses[0]
    assert {"loss_exit_0", "loss_exit_1", "held_out_accuracy_exit_1"} <= set(header.split(","))
    assert bundle.trained
    assert len(bundle.calibration.temperatures_K) == 2
    assert bundle.frontier[-1][1] == 1.0
    assert bundle.manifest.provenance.recipe.startswith("30 epochs, rate 0.1; adamw")


def test_a_run_that_starts_from_its_bundle_takes_all_of_it(data: Path, run: Path, bundle: Bundle) -> None:
    out = run.parent / "again"
    plan = run.parent / "plan.json"
    fovea(
        "train",
        data,
        "--plan",
        plan,
        "--out",
        out,
        "--cache",
        run.parent / "cache",
        "--threads",
        1,
        "--bundle",
        bundle.folder,
    )
    assert json.loads((out / "run.json").read_text())["starts"][0]["part"] == "all"


def test_is_evaluated_at_both_depths_and_without_random_cubes(data: Path, bundle: Bundle, tmp_path: Path) -> None:
    cache = bundle.folder.parents[1] / "cache"
    fovea("evaluate", bundle.folder, data, "--out", tmp_path, "--cache", cache, "--pictures", 1, "--threads", 1)
    result = read_result(tmp_path / RESULT)
    assert [depth.scores[0].top1.value for depth in result.depths] == [1.0, 1.0]
    assert result.step_flops == bundle.step_flops
    assert result.random == ()
    assert list((tmp_path / "pictures").iterdir())


def test_answers_over_http_with_a_step_for_each_price(data: Path, bundle: Bundle) -> None:
    full_gflops = sum(bundle.step_flops) / 1e9
    with serving(
        load=load_models, bundles=(bundle.folder,), shipped_bundles=False, runtime="torch", num_threads=1
    ) as service:
        for label in ("red", "blue"):
            video = (data / "val" / label / "7.mp4").read_bytes()
            answer = service.post(video, f"?model=toy&budget_gflops={full_gflops}").json()
            assert answer["predictions"][0]["label"] == label
            spent = [step["gflops"] for step in answer["compute"]["steps"]]
            assert spent == [flops / 1e9 for flops in bundle.step_flops[: len(spent)]]
        cheap = service.post(video, f"?model=toy&max_gflops={bundle.step_flops[0] / 1e9}").json()
        assert [step["kind"] for step in cheap["compute"]["steps"]] == ["glance"]
        page = service.client.get("/v1/models/toy").json()
        assert page["full_gflops"] == full_gflops


def test_is_listed(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_BUNDLES", str(bundle.folder))
    (facts,) = (one for one in json.loads(fovea("models", "--json").stdout) if one["name"] == "toy")
    assert facts["largest_gflops"] == sum(bundle.step_flops) / 1e9


def test_without_its_line_in_the_table_its_bundle_is_refused_with_the_families_that_there_are(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(FAMILIES, "toy")
    with pytest.raises(BundleError, match=r"family is 'toy', but .*adafocus_v3, video_mobile_former"):
        Bundle.read(bundle.folder)
