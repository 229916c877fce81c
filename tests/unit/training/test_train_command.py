"""`fovea train` on real files: what OUT holds, what is refused, and that nobody looks at the val split."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch

from models.adafocus.network import build_network
from models.adafocus.shapes import tiny
from tests.clips import solid, write_clip
from tests.unit.training.trained import CLIP as TRAINED_CLIP
from tests.unit.training.trained import MODEL as TRAINED
from tests.unit.training.trained import make_data, make_run
from training.bundling import Told, bundle_run
from training.data.augment import Augmentation
from training.fit.checkpoint import only_one
from training.fit.networks import build
from training.fit.plans import TrainPlan, find_plan, named_plans
from training.fit.preparing import Ready, TrainRequest, make_ready
from training.fit.recipe import Recipe, Stage
from training.fit.run import BEST, METRICS, RUN, read_run
from training.untrained import build_untrained
from video.clip import ClipRule

MODEL = replace(tiny(2), dropout=0.0)
PLAN = TrainPlan(
    model=MODEL,
    clip=ClipRule(MODEL.num_frames, *MODEL.frame_size, "center_crop", 64),
    recipe=Recipe(
        (Stage(1, "random", ("glance", "focus", "classifier")), Stage(1, "learned", ("policy",))),
        batch_size=4,
        precision="bf16",
        held_out_share=0.34,
    ),
    augmentation=Augmentation(scales=(1.0, 0.875), random_frames=True),
)
OWN = replace(PLAN.recipe, frozen=("glance.backbone.features.0",), frozen_batch_norm=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two colours, six videos each to learn from in three sessions, two each in val."""
    root = tmp_path_factory.mktemp("data")
    rows = ["path,label,split,subject"]
    for label, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        for number in range(8):
            split = "val" if number >= 6 else "train"
            path = Path(split) / label / f"{number}.mp4"
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shade = tuple(value + 3 * number for value in colour)
            write_clip(root / path, pattern=solid(*shade), size=(96, 80), seconds=0.8, fps=10)
            rows.append(f"{path.as_posix()},{label},{split},{split}-session-{number // 2}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def plan_file(folder: Path, plan: TrainPlan = PLAN) -> str:
    path = folder / "plan.json"
    path.write_text(json.dumps(plan.to_dict()))
    return str(path)


def ready(data: Path, cache: Path, out: Path, plan: TrainPlan = PLAN, **more: object) -> Ready:
    out.parent.mkdir(exist_ok=True)
    return make_ready(TrainRequest(data, out, plan_file(out.parent, plan), cache, **more))  # type: ignore[arg-type]


# --- what a run leaves behind ---


def test_a_run_leaves_what_calibration_needs(data: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    made = ready(data, cache, out)
    assert made.trainer(out).train()
    run = read_run(out)
    assert run == made.run
    assert (run.labels, run.seed, run.clip) == (("blue", "red"), 0, PLAN.clip)
    assert Recipe.from_dict(json.loads((out / RUN).read_text())["recipe"]) == PLAN.recipe
    network = build(run.model)
    network.load_state_dict(safetensors.torch.load_file(out / BEST))  # strict: names and shapes
    assert all(tensor.dtype in {torch.float32, torch.int64} for tensor in network.state_dict().values())
    assert len((out / METRICS).read_text().splitlines()) == 1 + 1 + 2  # the second stage is scored as it begins, too


def test_whole_groups_of_the_train_split_are_held_out_and_val_is_never_opened(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    made = ready(data, cache, tmp_path / "run")
    used = made.run.data
    assert len(used.held_out_subjects) >= 1
    assert used.num_training + len(used.held_out_files) == 12
    learning = {sample.subject for sample in made.batches.dataset.samples}
    assert learning.isdisjoint(used.held_out_subjects)
    assert all(subject.startswith("train-") for subject in learning | set(used.held_out_subjects))
    assert all((data / file).is_file() and file.startswith("train/") for file in used.held_out_files)


def test_the_command_trains_tells_how_it_goes_and_refuses_another_seed_afterwards(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "cli.main", "train", data, "--out", out, "--plan", plan_file(tmp_path)]
    command += ["--cache", cache, "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "stage 2 epoch   1" in done.stderr
    assert "held out: loss" in done.stderr
    bad = subprocess.run([*command, "--seed", "1"], capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert "recipe.seed: 0 and 1" in bad.stderr
    assert "Traceback" not in bad.stderr


# --- what is refused ---


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"recipe": replace(PLAN.recipe, batch_size=3)}, "recipe.batch_size: 4 and 3"),
        ({"augmentation": Augmentation()}, "augmentation.random_frames: True and False"),
        ({"model": replace(MODEL, max_cubes=2)}, "model.config.max_cubes: 3 and 2"),
    ],
)
def test_another_configuration_cannot_go_on_and_is_told_what_differs(
    data: Path, cache: Path, tmp_path: Path, change: dict[str, object], named: str
) -> None:
    out = tmp_path / "run"
    ready(data, cache, out)
    before = (out / RUN).read_bytes()
    with pytest.raises(ValueError, match="another configuration") as refused:
        ready(data, cache, out, replace(PLAN, **change))  # type: ignore[arg-type]
    assert named in str(refused.value)
    assert (out / RUN).read_bytes() == before


def test_other_videos_or_another_baseline_are_another_run_too(data: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ready(data, cache, out)
    with pytest.raises(ValueError, match=r"model.family: 'adafocus_v3' and 'full_frame'"):
        ready(data, cache, out, baseline="tsm+")
    fewer = tmp_path / "fewer.csv"
    lines = (data / "labels.csv").read_text().splitlines()
    fewer.write_text("\n".join([lines[0], *(f"{data}/{line}" for line in lines[2:])]))
    with pytest.raises(ValueError, match=r"data.fingerprint"):
        ready(fewer, cache, out)


def test_two_processes_cannot_train_into_one_folder(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(ValueError, match="another process is training"), only_one(tmp_path):
        pass


def test_a_checkpoint_that_is_damaged_says_so(data: Path, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    made = ready(data, cache, out)
    (out / "last.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"last.ckpt is no checkpoint"):
        made.trainer(out).train()


def test_a_folder_without_a_run_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no readable run.json"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "why"), [("abacus", "must be cpu or cuda"), ("cuda:99", r"cannot be used \(.+\); train on the cpu")]
)
def test_a_device_that_is_not_there_is_named(data: Path, cache: Path, tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ready(data, cache, tmp_path / "run", device=name)
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_ends_in_a_sentence(data: Path, cache: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, recipe=replace(PLAN.recipe, stages=(Stage(9, lr=1e30),), max_gradient_norm=None))
    command = [sys.executable, "-m", "cli.main", "train", data, "--out", tmp_path / "run", "--cache", cache]
    command += ["--plan", plan_file(tmp_path, plan), "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "lower the learning rate" in done.stderr


# --- where weights start ---


def test_backbones_start_from_a_weights_file_which_the_run_names(data: Path, cache: Path, tmp_path: Path) -> None:
    donor = build_network(MODEL, seed=9).glance.backbone
    weights = tmp_path / "imagenet.safetensors"
    safetensors.torch.save_file(donor.state_dict(), weights)
    made = ready(data, cache, tmp_path / "run", weights={"glance": weights})
    (start,) = made.run.starts
    assert (start.part, start.file, len(start.sha256)) == ("glance", "imagenet.safetensors", 64)
    assert all(
        torch.equal(made.network.glance.backbone.state_dict()[name], t) for name, t in donor.state_dict().items()
    )


def test_weights_that_do_not_fit_or_are_none_are_refused_and_nothing_is_written(
    data: Path, cache: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"features.0.0.weight": torch.zeros(1)}, weights)
    with pytest.raises(ValueError, match="does not fit"):
        ready(data, cache, tmp_path / "run", weights={"focus": weights})
    with pytest.raises(ValueError, match="is no file and no folder here"):
        ready(data, cache, tmp_path / "run", weights={"focus": tmp_path / "absent.safetensors"})
    assert not (tmp_path / "run").exists()


def test_a_trained_bundle_starts_all_but_the_heads_of_other_labels(cache: Path, tmp_path: Path) -> None:
    strokes = make_data(tmp_path / "strokes")
    bundle_run(make_run(tmp_path / "run", strokes), tmp_path / "mine", told=Told(), cache=cache, num_threads=1)
    three = tmp_path / "three.csv"
    lines = (strokes / "labels.csv").read_text().splitlines()
    rows = [f"{strokes}/{line}" for line in lines[1:] if ",train," in line]
    rows[1::4] = [row.replace(",square,", ",round,") for row in rows[1::4]]
    three.write_text("\n".join([lines[0], *rows]))
    plan = replace(PLAN, model=replace(TRAINED, num_classes=3), clip=TRAINED_CLIP, recipe=OWN)
    made = ready(three, cache, tmp_path / "new", plan, bundle=tmp_path / "mine")
    given, got = safetensors.torch.load_file(tmp_path / "mine" / "weights.safetensors"), made.network.state_dict()
    taken = {name for name, tensor in given.items() if got[name].shape == tensor.shape}
    assert all(torch.equal(got[name], given[name].to(got[name].dtype)) for name in taken)
    assert {name.split(".")[0] for name in got.keys() - taken} == {"classifier", "auxiliary_glance", "auxiliary_focus"}
    assert made.run.starts[0].file == "mine/weights.safetensors"


def test_nothing_that_is_random_is_frozen(data: Path, cache: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, recipe=OWN)
    with pytest.raises(ValueError, match="leaves layers of the glance network as built, and the weights are random"):
        ready(data, cache, tmp_path / "run", plan)
    policy_alone = replace(PLAN, recipe=replace(PLAN.recipe, stages=(Stage(1, "learned", ("policy",)),)))
    with pytest.raises(ValueError, match="leaves the glance network as built, and the weights are random"):
        ready(data, cache, tmp_path / "run", policy_alone)
    build_untrained(tmp_path / "untrained", config=tiny(4), num_clips=8)
    with pytest.raises(ValueError, match="is untrained: its weights are random"):
        ready(data, cache, tmp_path / "run", plan, bundle=tmp_path / "untrained")
    assert not (tmp_path / "run").exists()


def test_a_frozen_part_that_is_none_is_named(data: Path, cache: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, recipe=replace(PLAN.recipe, frozen=("glance.backbone.feature.0",)))
    with pytest.raises(ValueError, match=r"'glance\.backbone\.feature\.0', but the network has no such part"):
        ready(data, cache, tmp_path / "run", plan)


# --- plans ---


@pytest.mark.parametrize("name", named_plans())
def test_every_named_plan_is_sound_and_survives_json(name: str) -> None:
    plan = find_plan(name, 7)
    assert plan.model.num_classes == 7
    assert TrainPlan.from_dict(json.loads(json.dumps(plan.to_dict())), 7) == plan


def test_a_plans_own_number_of_classes_gives_way_to_the_datas(tmp_path: Path) -> None:
    assert find_plan(plan_file(tmp_path), 9).model.num_classes == 9


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"precision": "fp16"}, "precision is 'fp16'"),
        ({"stages": []}, "stages is empty"),
        ({"stages": [{"epochs": 1, "trains": ["head"]}]}, r"trains names \['head'\]"),
        ({"stages": [{"epochs": 1, "crops": "random", "trains": ["policy"]}]}, "teach the policy nothing"),
        ({"held_out_share": 0}, "nobody trained on"),
        ({"folds": 3, "patience_epochs": 2}, "patience_epochs needs videos held out"),
        ({"folds": 1}, r"folds is 1, but must be 0 \(hold a share out\) or at least 2"),
        ({"rates": {"policy": 0.0}}, "rates.policy is 0.0, but must be above 0"),
        ({"batch_size": 2.5}, "batch_size is 2.5: Input should be a valid integer"),
        ({"frozen": "glance."}, "frozen is 'glance.': Input should be a valid array"),
        ({"recompress_crf": 30}, "recompress_crf is for fitted heads"),
        ({"fitted_heads": True, "recompress_crf": 52}, r"recompress_crf is 52, but H.264's rate factors go from 0"),
        ({"keyframe_tolerance": 0.6}, "keyframe_tolerance is for fitted heads"),
        ({"fitted_heads": True, "keyframe_tolerance": 1.0}, r"keyframe_tolerance is 1.0, but must lie in \[0, 1\)"),
        ({"moved_frames": 1}, "moved_frames is for fitted heads"),
        ({"fitted_heads": True, "moved_frames": -1}, "moved_frames is -1, but must be at least 0"),
        ({"fold_deals": 0}, "fold_deals is 0, but must be at least 1"),
        ({"momentun": 0.9}, r"unknown entries \['momentun'\]"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_with_the_rule(change: dict[str, object], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Recipe.from_dict({**PLAN.recipe.to_dict(), **change})


def test_clips_moved_by_all_of_their_frames_are_refused() -> None:
    recipe = replace(PLAN.recipe, fitted_heads=True, moved_frames=PLAN.clip.num_frames)
    with pytest.raises(ValueError, match=f"must be less than a clip's {PLAN.clip.num_frames} frames"):
        replace(PLAN, recipe=recipe)
    replace(PLAN, recipe=replace(recipe, moved_frames=PLAN.clip.num_frames - 1))


def test_an_unknown_plan_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="compact, light, compact-16-frames, frame-cubes, clip-cubes"):
        find_plan("nonesuch", 3)
