"""`--set NAME=VALUE`: an entry of the plan is another for this run, or there is a sentence that says what is meant."""

import json

import pytest

from training.fit.plans import find_plan


def test_entries_at_any_depth_are_set() -> None:
    plan = find_plan(
        "frame-cubes",
        3,
        ["recipe.batch_size=2", "recipe.rates.glance=0.25", "recipe.stages.0.lr=0.5", "recipe.precision=fp32"],
    )
    recipe = plan.recipe
    assert (recipe.batch_size, recipe.rates.glance, recipe.stages[0].lr) == (2, 0.25, 0.5)
    assert recipe.precision == "fp32"
    assert plan.model.num_classes == 3


def test_a_whole_entry_of_a_list_is_set() -> None:
    stage = find_plan("frame-cubes", 3).to_dict()["recipe"]["stages"][0] | {"lr": 0.5}
    plan = find_plan("frame-cubes", 3, [f"recipe.stages.0={json.dumps(stage)}"])
    assert plan.recipe.stages[0].lr == 0.5


def test_nothing_else_changes() -> None:
    plan, other = find_plan("frame-cubes", 3), find_plan("frame-cubes", 3, ["recipe.seed=7"])
    values = other.to_dict()
    values["recipe"]["seed"] = plan.recipe.seed
    assert values == plan.to_dict()


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("recipe.batchsize=4", "the plan has no recipe.batchsize; is recipe.batch_size meant?"),
        ("batch_size=4", "is recipe.batch_size meant?"),
        ("training.rate=0.1", "the plan has no training.rate; is recipe.rates meant?"),
        ("recipe.batch_size", "is no NAME=VALUE"),
        ("recipe.batch_size=many", "batch_size"),
        ("recipe.batch_size=0", "must be at least 1"),
        ("recipe.rates.glance=-1", "must be above 0"),
        ("recipe.precision=fp8", "must be one of fp32, bf16"),
        ("recipe.stages.9.lr=1", "the plan has no recipe.stages.9.lr; is recipe.stages."),
        ("clip.num_frames=few", "clip.num_frames=few"),
        ("model.num_classes=5", "follows from the plan and the data"),
        ('recipe.stages.0={"lr":1}', "recipe.stages.0="),
        ("family=tsm", "follows from the plan and the data"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(override: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"^--set ") as refused:
        find_plan("frame-cubes", 3, [override])
    assert told in str(refused.value)
