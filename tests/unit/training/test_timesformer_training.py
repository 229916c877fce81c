"""A TimeSformer through the whole of training: learning, going on after a stop, an image ViT's weights, a bundle."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from models.timesformer.config import TimeSformerConfig, tiny
from models.timesformer.foreign import foreign_name
from models.timesformer.network import TimeSformer, build_network
from tests.unit.training.trained import make_data
from training.bundling import Told, bundle_run
from training.data.augment import Augmentation
from training.fit.networks import build, start_parts
from training.fit.plans import TrainPlan, find_plan, named_plans
from training.fit.preparing import Ready, TrainRequest, make_ready
from training.fit.run import BEST, LAST, ModelPlan
from training.timesformer.plans import PLANS, small_set
from video.clip import ClipRule

MODEL = replace(tiny(2), num_views=1, drop_path=0.2)
RECIPE = replace(
    small_set(),
    stages=(replace(small_set().stages[0], epochs=8, lr=3e-3),),
    batch_size=4,
    warmup_epochs=0.5,
    evaluate_every_epochs=1,
    held_out_share=0.34,
    label_smoothing=0.0,
)
PLAN = TrainPlan(MODEL, ClipRule(4, *MODEL.frame_size, "center_crop", 64), RECIPE, Augmentation(random_frames=True))


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


def ready(out: Path, data: Path, cache: Path, plan: TrainPlan = PLAN, **more: object) -> Ready:
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.parent / f"{out.name}-plan.json"
    file.write_text(json.dumps(plan.to_dict()))
    return make_ready(TrainRequest(data=data, out=out, plan=str(file), cache=cache, **more))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path, cache: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert ready(out, data, cache).trainer(out).train()
    return out


def test_the_loss_falls(trained: Path) -> None:
    header, *lines = (trained / "metrics.csv").read_text().splitlines()
    losses = [float(line.split(",")[header.split(",").index("loss")]) for line in lines]
    assert len(losses) == 8
    assert losses[-1] < 0.5 * losses[0]


def test_a_run_that_was_stopped_ends_with_the_same_bits(trained: Path, data: Path, cache: Path, tmp_path: Path) -> None:
    """With stochastic depth at work as well: it draws where the run's own generator stands."""
    steps = iter(range(100))
    assert not ready(tmp_path / "run", data, cache).trainer(tmp_path / "run").train(stop=lambda: next(steps) >= 5)
    assert ready(tmp_path / "run", data, cache).trainer(tmp_path / "run").train()
    ends = [torch.load(folder / LAST, weights_only=True)["network"] for folder in (trained, tmp_path / "run")]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    one, other = (safetensors.torch.load_file(folder / BEST) for folder in (trained, tmp_path / "run"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("scheme", ["axial", "space"])
def test_every_scheme_trains_in_either_precision(
    data: Path, cache: Path, tmp_path: Path, precision: str, scheme: str
) -> None:
    recipe = replace(RECIPE, stages=(replace(RECIPE.stages[0], epochs=1),), precision=precision)
    plan = replace(PLAN, model=replace(MODEL, scheme=scheme, drop_path=0.2), recipe=recipe)
    prepared = ready(tmp_path / "run", data, cache, plan)
    before = {name: tensor.clone() for name, tensor in prepared.network.state_dict().items()}
    assert prepared.trainer(tmp_path / "run").train()
    after = prepared.network.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in before if name.endswith("weight"))
    assert {parameter.dtype for parameter in prepared.network.parameters()} == {torch.float32}


def test_a_run_starts_from_an_image_vits_weights_and_notes_which(data: Path, cache: Path, tmp_path: Path) -> None:
    image = build_network(replace(MODEL, scheme="space"), seed=9)  # a ViT under timm's names, but for the head
    named = {
        foreign_name(name, "official"): tensor.reshape((1,) * (3 - tensor.ndim) + tensor.shape)
        if "embed" in foreign_name(name, "official") and tensor.ndim < 3
        else tensor
        for name, tensor in image.state_dict().items()
        if not name.startswith("classifier")
    }
    named["patch_embed.proj.bias"] = named["patch_embed.proj.bias"].flatten()
    safetensors.torch.save_file(
        {name: tensor.contiguous() for name, tensor in named.items()}, tmp_path / "vit.safetensors"
    )
    network = build(ModelPlan("timesformer", MODEL.to_dict()))
    (start,) = start_parts(network, {"glance": tmp_path / "vit.safetensors"})
    assert start.part == "glance"
    assert isinstance(network, TimeSformer)
    assert torch.equal(network.encoder.blocks[1].mlp_in.weight, image.encoder.blocks[1].mlp_in.weight)
    prepared = ready(tmp_path / "run", data, cache, weights={"glance": tmp_path / "vit.safetensors"})
    assert [one.file for one in prepared.run.starts] == ["vit.safetensors"]


def test_a_run_becomes_a_bundle(trained: Path, data: Path, cache: Path, tmp_path: Path) -> None:
    bundle = bundle_run(trained, tmp_path / "trained", told=Told(), cache=cache, num_threads=1).bundle
    assert isinstance(bundle.config, TimeSformerConfig)
    assert len(bundle.step_flops) == len(bundle.frontier) == 1
    assert bundle.trained
    assert bundle.frontier[0][1] >= 0.75  # noise and a moving square are told apart


@pytest.mark.parametrize("name", PLANS)
def test_every_named_plan_fits_its_model(name: str) -> None:
    plan = find_plan(name, 7)
    assert name in named_plans()
    assert plan.model.num_classes == 7
    assert TrainPlan.from_dict(json.loads(json.dumps(plan.to_dict())), 7) == plan


def test_the_papers_recipe_is_the_papers() -> None:
    recipe = find_plan("paper-timesformer-base", 400).recipe
    assert [(stage.epochs, stage.lr) for stage in recipe.stages] == [(11, 0.005), (3, 0.0005), (1, 0.00005)]
    assert (recipe.batch_size, recipe.momentum, recipe.weight_decay, recipe.optimizer) == (16, 0.9, 1e-4, "sgd")
