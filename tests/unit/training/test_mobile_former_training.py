"""A Video Mobile-Former through the whole of training: learning, going on after a stop, a bundle, an evaluation."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from models.bundle import Bundle
from models.mobile_former.config import VARIANTS, mobile3d, tiny
from models.mobile_former.network import VideoMobileFormer
from models.runtime import RuntimeConfig
from tests.unit.training.trained import make_data
from training.bundling import Told, bundle_run
from training.data.augment import Augmentation
from training.fit.networks import build, start_parts
from training.fit.plans import TrainPlan, find_plan, named_plans
from training.fit.preparing import Ready, TrainRequest, make_ready
from training.fit.run import BEST, LAST, ModelPlan, read_run
from training.judge.evaluate import evaluate
from training.mobile_former.recipes import small_set
from training.untrained import build_untrained, build_variant, variants
from video.clip import ClipRule

MODEL = replace(tiny(2), dropout=0.1)
RECIPE = replace(
    small_set(),
    stages=(replace(small_set().stages[0], epochs=6, lr=3e-3),),
    batch_size=4,
    warmup_epochs=0.5,
    evaluate_every_epochs=1,
    held_out_share=0.34,
    training_frames=4,
    label_smoothing=0.0,
)
PLAN = TrainPlan(MODEL, ClipRule(8, *MODEL.frame_size, "center_crop", 64), RECIPE, Augmentation(random_frames=True))


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("data") / "strokes")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def ready(out: Path, data: Path, cache: Path, plan: TrainPlan = PLAN) -> Ready:
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.parent / f"{out.name}-plan.json"
    file.write_text(json.dumps(plan.to_dict()))
    return make_ready(TrainRequest(data=data, out=out, plan=str(file), cache=cache))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path, cache: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert ready(out, data, cache).trainer(out).train()
    return out


def test_the_loss_falls(trained: Path) -> None:
    header, *lines = (trained / "metrics.csv").read_text().splitlines()
    losses = [float(line.split(",")[header.split(",").index("loss")]) for line in lines]
    assert len(losses) == 6
    assert losses[-1] < 0.7 * losses[0]


def test_a_run_that_was_stopped_ends_with_the_same_bits(trained: Path, data: Path, cache: Path, tmp_path: Path) -> None:
    steps = iter(range(100))
    assert not ready(tmp_path / "run", data, cache).trainer(tmp_path / "run").train(stop=lambda: next(steps) >= 5)
    assert ready(tmp_path / "run", data, cache).trainer(tmp_path / "run").train()
    one, other = (safetensors.torch.load_file(folder / BEST) for folder in (trained, tmp_path / "run"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    ends = [torch.load(folder / LAST, weights_only=True)["network"] for folder in (trained, tmp_path / "run")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_clips_to_learn_from_may_be_shorter_than_those_to_answer_with(data: Path, cache: Path, tmp_path: Path) -> None:
    prepared = ready(tmp_path / "run", data, cache)
    assert prepared.batches.batch(0)[0].shape == (4, 4, *MODEL.frame_size, 3)
    assert prepared.run.clip.num_frames == 8
    assert read_run(tmp_path / "run").recipe.training_frames == 4


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_baseline_trains_by_the_same_plan_in_either_precision(
    data: Path, cache: Path, tmp_path: Path, precision: str
) -> None:
    recipe = replace(RECIPE, stages=(replace(RECIPE.stages[0], epochs=1),), precision=precision)
    plan = replace(PLAN, model=mobile3d(MODEL), recipe=recipe)
    prepared = ready(tmp_path / "run", data, cache, plan)
    assert prepared.trainer(tmp_path / "run").train()
    assert isinstance(prepared.network, VideoMobileFormer)
    assert {parameter.dtype for parameter in prepared.network.parameters()} == {torch.float32}


@pytest.fixture(scope="module")
def bundled(trained: Path, data: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("bundles") / "former"
    return bundle_run(trained, out, told=Told(data_terms="research use"), cache=cache, num_threads=1).bundle


class TestTheBundle:
    def test_has_one_exit_at_a_fixed_price_and_says_where_it_comes_from(self, bundled: Bundle) -> None:
        assert len(bundled.step_flops) == len(bundled.grid.points) == len(bundled.frontier) == 1
        assert bundled.default_budget_flops == bundled.step_flops[0]
        assert bundled.grid.points[0].solution.thresholds_nats == ()
        assert bundled.paper_flops is not None
        assert bundled.paper_flops > bundled.step_flops[0]
        origin = bundled.manifest.provenance
        assert "research use" in origin.data
        assert origin.recipe.startswith("6 epochs, rate 0.003; on 4 frames of a clip; adamw")
        assert "cubes" not in origin.recipe

    def test_is_evaluated_without_budgets(self, bundled: Bundle, data: Path, cache: Path, tmp_path: Path) -> None:
        one_thread = RuntimeConfig(name="torch", precision="fp32", num_threads=1)
        result = evaluate(
            bundled.folder, data, tmp_path / "result", split="val", cache=cache, num_pictures=1, runtime=one_thread
        )
        assert (len(result.depths), result.budgets, result.random, result.cross_fit) == (1, (), (), None)
        assert result.depths[0].gflops == pytest.approx(bundled.step_flops[0] / 1e9)
        assert bundled.frontier[0][1] == pytest.approx(result.depths[0].scores[0].top1.value)

    def test_starts_another_run_of_its_family_and_no_other(self, bundled: Bundle, data: Path, tmp_path: Path) -> None:
        plan_file = tmp_path / "plan.json"
        plan_file.write_text(json.dumps(PLAN.to_dict()))
        request = TrainRequest(
            data=data, out=tmp_path / "on", plan=str(plan_file), cache=tmp_path, bundle=bundled.folder
        )
        assert [start.part for start in make_ready(request).run.starts] == ["all"]
        with pytest.raises(ValueError, match="can start a network of video_mobile_former only"):
            make_ready(replace(request, out=tmp_path / "other", plan="frame-cubes"))


class TestPlans:
    @pytest.mark.parametrize("name", [name for name in named_plans() if "vmf" in name])
    def test_by_name_survives_json(self, name: str) -> None:
        plan = find_plan(name, 7)
        assert TrainPlan.from_dict(json.loads(json.dumps(plan.to_dict())), 7) == plan

    def test_the_papers_train_on_half_the_frames_but_for_the_stem_that_strides_by_eight(self) -> None:
        frames = {
            name: find_plan(f"paper-vmf-{name}", 400).recipe.training_frames for name in ("560m", "1g", "2g", "5g")
        }
        assert frames == {"560m": None, "1g": 32, "2g": 32, "5g": 32}

    def test_of_another_family_is_refused(self) -> None:
        with pytest.raises(ValueError, match="family is 'swin', but must be one of"):
            TrainPlan.from_dict({**PLAN.to_dict(), "family": "swin"}, 2)

    def test_adafocus_has_no_frames_of_its_own_to_train_on(self) -> None:
        plan = find_plan("frame-cubes", 3)
        with pytest.raises(ValueError, match="training_frames is 8, but AdaFocusV3 sees all"):
            replace(plan, recipe=replace(plan.recipe, training_frames=8))

    def test_full_frame_baselines_and_image_weights_are_adafocus_own(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="says former: false"):
            PLAN.model_plan("tsn")
        network = build(ModelPlan("video_mobile_former", MODEL.to_dict()))
        with pytest.raises(ValueError, match="neither a glance nor a focus network"):
            start_parts(network, {"glance": tmp_path / "weights.safetensors"})


class TestUntrained:
    def test_is_built_from_a_seed_and_says_what_it_is(self, tmp_path: Path) -> None:
        one, fresh = build_untrained(tmp_path / "a" / "former", config=tiny(4), num_clips=8)
        again, _ = build_untrained(tmp_path / "b" / "former", config=tiny(4), num_clips=8)
        kept, built_again = build_untrained(tmp_path / "a" / "former", config=tiny(4), num_clips=8)
        assert (fresh, built_again, one.trained) == (True, False, False)
        assert one.digest == again.digest == kept.digest
        assert one.calibration.entropy_NK.std() > 0.01

    def test_every_variant_has_a_name_and_another_is_refused_with_all_of_them(self, tmp_path: Path) -> None:
        assert set(VARIANTS) < variants().keys()
        with pytest.raises(ValueError, match=r"no model is called 'vmf'.*video-mobile-former-2g"):
            build_variant("vmf", tmp_path)
