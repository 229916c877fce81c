"""A bundle is sound or refused: what is checked, and what the refusal says."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from models import BundleError, available_models, load_model
from models.adafocus.costs import step_flops
from models.adafocus.shapes import tiny
from models.bundle import Bundle, write_bundle
from models.bundle_format import Description, Manifest
from models.loading import load_network
from models.runtime import RuntimeConfig
from models.threshold_solver import solve_grid
from training.data.synthetic import LABELS
from training.untrained import build_untrained

TORCH = RuntimeConfig(name="torch", precision="fp32", num_threads=1)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    build_untrained(folder, config=tiny(len(LABELS)), num_clips=16)
    return folder


@pytest.fixture
def copy(sound, tmp_path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "tiny"))


def edit(folder: Path, file: str, change) -> None:
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))


# Files are read whole, not mapped: some tests write over them.


def put_weights(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Other weights, with the manifest made to agree."""
    content = safetensors.torch.save(tensors)
    (folder / "weights.safetensors").write_bytes(content)
    edit(folder, "bundle.json", lambda m: m.update(weights_sha256=hashlib.sha256(content).hexdigest()))


def _description(manifest: Manifest) -> Description:
    return Description(**{name: value for name, value in manifest if name in Description.model_fields})


def made_old(folder: Path) -> None:
    """As it was written before calibration sets kept top labels."""
    arrays = safetensors.numpy.load((folder / "calibration.safetensors").read_bytes())
    del arrays["top_label_NK"]
    safetensors.numpy.save_file(arrays, folder / "calibration.safetensors")
    plain = solve_grid(arrays["entropy_NK"], arrays["correct_NK"].astype(bool), step_flops(tiny(len(LABELS))))

    def without_labels(content):
        del content["exit_rule"], content["label_offsets_nats"]
        for solved, point in zip(content["grid"], plain.points, strict=True):
            solved["thresholds_nats"] = point.solution.thresholds_nats

    edit(folder, "calibration.json", without_labels)


class TestASoundBundle:
    def test_says_what_the_service_needs(self, sound):
        bundle = Bundle.read(sound)
        assert (bundle.name, bundle.task, bundle.labels, bundle.trained) == ("tiny", "synthetic-motion", LABELS, False)
        assert bundle.clip_rule.num_frames == bundle.config.num_frames
        assert bundle.grid.least_flops == bundle.step_flops[0]
        assert bundle.grid.full_flops == sum(bundle.step_flops)
        assert bundle.grid.least_flops < bundle.default_budget_flops < bundle.grid.full_flops
        assert dict(bundle.card)["Licence"] == "Apache-2.0"

    def test_has_a_frontier_between_the_price_of_a_glance_and_the_full_cost(self, sound):
        bundle = Bundle.read(sound)
        assert bundle.frontier[0][0] == bundle.step_flops[0]
        assert all(flops <= sum(bundle.step_flops) and 0 <= accuracy <= 1 for flops, accuracy in bundle.frontier)

    def test_reads_back_the_calibration_set_whatever_its_memory_layout(self, sound, tmp_path):
        written = Bundle.read(sound)
        calibration = written.calibration
        fortran = type(calibration)(
            calibration.data,
            calibration.temperatures_K,
            np.asfortranarray(calibration.entropy_NK),
            np.asfortranarray(calibration.correct_NK),
            calibration.grid,
            np.asfortranarray(calibration.top_label_NK),
            calibration.offsets,
        )
        weights = safetensors.torch.load((sound / "weights.safetensors").read_bytes())
        read = write_bundle(tmp_path, _description(written.manifest), weights, fortran)
        np.testing.assert_array_equal(read.calibration.entropy_NK, calibration.entropy_NK)
        np.testing.assert_array_equal(read.calibration.correct_NK, calibration.correct_NK)
        assert read.digest == written.digest

    def test_an_old_one_whose_calibration_set_keeps_no_top_labels_is_served_by_plain_eq_7_and_says_so(self, copy):
        made_old(copy)
        bundle = Bundle.read(copy)
        assert bundle.calibration.exit_rule == "entropy"
        assert bundle.label_offsets_nats == ()
        assert "keeps no top labels; calibrate again" in dict(bundle.card)["Exit rule"]
        assert bundle.grid.at(sum(bundle.step_flops)).mean_cost_flops == sum(bundle.step_flops)

    def test_of_one_deal_of_the_folds_is_written_as_before_there_were_several(self, sound):
        content = json.loads((sound / "calibration.json").read_text())
        assert "num_deals" not in content
        assert "exit_rule_choice" not in content  # where there is nothing to say
        assert Bundle.read(sound).calibration.num_deals == 1

    def test_of_deals_that_its_rows_cannot_be_shared_out_to_is_refused(self, copy):
        rows = len(Bundle.read(copy).calibration.correct_NK)
        edit(copy, "calibration.json", lambda content: content.update(num_deals=rows + 1))
        with pytest.raises(BundleError, match="must be as many in each deal"):
            Bundle.read(copy)

    def test_keeps_top_labels_and_offsets_and_says_by_what_rule_it_stops(self, sound):
        bundle = Bundle.read(sound)
        labels_NK = bundle.calibration.top_label_NK
        assert labels_NK.shape == bundle.calibration.entropy_NK.shape
        assert [len(row) for row in bundle.label_offsets_nats] == [len(LABELS)] * 3
        assert dict(bundle.card)["Exit rule"].startswith("entropy_by_label")

    def test_has_a_digest_that_any_changed_byte_changes(self, copy):
        before = Bundle.read(copy).digest
        edit(copy, "bundle.json", lambda m: m["card"].update(limits="Others."))
        assert before.startswith("sha256:")
        assert Bundle.read(copy).digest != before


MANIFEST_FAULTS = {
    "an unknown key": (lambda m: m.update(colour="red"), "colour", "Extra inputs"),
    "a missing key": (lambda m: m.pop("licence"), "licence", "required"),
    "a text for a number": (lambda m: m.update(default_budget_gflops="1"), "default_budget_gflops", "number"),
    "a budget that is not finite": (
        lambda m: m.update(default_budget_gflops=float("nan")),
        "default_budget_gflops",
        "finite|greater than 0",
    ),
    "a format of the future": (lambda m: m.update(format=2, new=1), "format is 2", "reads format 1"),
    "no format": (lambda m: m.pop("format"), "format is None", "reads format 1"),
    "another name than the folder's": (lambda m: m.update(name="other"), "name is 'other'", "folder is called tiny"),
    "a label too few": (lambda m: m["labels"].pop(), "labels", "there must be 4 different ones"),
    "a label twice": (lambda m: m.update(labels=["a", "a", "b", "c"]), "labels", "there must be 4 different ones"),
    "an unknown family": (lambda m: m["architecture"].update(family="vit"), "architecture.family", "adafocus_v3"),
    "an architecture that cannot be": (
        lambda m: m["architecture"]["config"].update(num_frames=1),
        "architecture.config",
        "glance_indices",
    ),
    "an unknown way to resize": (lambda m: m["clip"].update(resize="squeeze"), "clip.resize", "letterbox"),
    "a default budget below a glance": (
        lambda m: m.update(default_budget_gflops=1e-9),
        "default_budget_gflops is 1e-09",
        "the first step costs",
    ),
    "a default budget nothing can spend": (
        lambda m: m.update(default_budget_gflops=1e9),
        "default_budget_gflops",
        "all steps",
    ),
    "measured counts of another number of steps": (
        lambda m: m["measured"]["points"][3]["videos_by_last_step_K"].append(1),
        "measured.points.3",
        "4 counts",
    ),
    "more correct answers than videos": (
        lambda m: m["measured"]["points"][0].update(correct=17),
        "measured.points.0",
        "at most as many correct as videos",
    ),
    "another hash than the weights'": (
        lambda m: m.update(weights_sha256="0" * 64),
        "weights_sha256",
        "damaged or belongs to another bundle",
    ),
}


@pytest.mark.parametrize("fault", MANIFEST_FAULTS)
def test_a_manifest_with_fault_is_refused_naming_folder_field_and_rule(copy, fault):
    change, field, rule = MANIFEST_FAULTS[fault]
    edit(copy, "bundle.json", change)
    with pytest.raises(BundleError, match=rule) as refusal:
        Bundle.read(copy)
    assert str(copy) in str(refusal.value)
    assert field in str(refusal.value)


CALIBRATION_FAULTS = {
    "thresholds that break their budget": (
        lambda c: c["grid"][0].update(thresholds_nats=[-1.0, -1.0, -1.0]),
        "more than their budget",
    ),
    "a threshold too few": (lambda c: c["grid"][2]["thresholds_nats"].pop(), "one per step but the last"),
    "a temperature too many": (lambda c: c["temperatures_K"].append(1.0), "there must be 4, one per step"),
    "a temperature of 0": (lambda c: c.update(temperatures_K=[1.0, 0.0, 1.0, 1.0]), "above 0"),
    "budgets of other prices": (lambda c: c["grid"].pop(), "to the full cost"),
    "budgets out of order": (lambda c: c["grid"].reverse(), "must rise"),
    "an unknown key": (lambda c: c.update(accuracy=1.0), "Extra inputs"),
    "an unknown exit rule": (lambda c: c.update(exit_rule="luck"), "entropy_by_label"),
    "offsets under a rule that has none": (
        lambda c: c.update(exit_rule="entropy"),
        "has offsets where entropy has none",
    ),
    "no offsets under a rule that has some": (lambda c: c.pop("label_offsets_nats"), "has offsets where"),
    "a label's offset too few": (lambda c: c["label_offsets_nats"][1].pop(), "3 rows, one per step but the last, of 4"),
    "an offset that undoes never": (lambda c: c["label_offsets_nats"][1].__setitem__(0, 1.5), "calibrate again"),
}


@pytest.mark.parametrize("fault", CALIBRATION_FAULTS)
def test_a_calibration_with_fault_is_refused(copy, fault):
    change, rule = CALIBRATION_FAULTS[fault]
    edit(copy, "calibration.json", change)
    with pytest.raises(BundleError, match=rule):
        Bundle.read(copy)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda a: a.update(entropy_NK=a["entropy_NK"][:, 1:].copy()), "a row per video, 4 columns"),
        (lambda a: a.update(correct_NK=a["correct_NK"][1:].copy()), "a row per video"),
        (lambda a: a.pop("correct_NK"), "must hold entropy_NK"),
        (lambda a: a.update(entropy_NK=a["entropy_NK"].astype(np.float64)), "float32"),
        (lambda a: a.update(entropy_NK=a["entropy_NK"][:0], correct_NK=a["correct_NK"][:0]), "a row per video"),
        (lambda a: a["entropy_NK"].__setitem__((0, 0), np.nan), r"lie in \[0, ln 4\]"),
        (lambda a: a["entropy_NK"].__setitem__((0, 0), 2.0), r"lie in \[0, ln 4\]"),
        (lambda a: a["correct_NK"].__setitem__((0, 0), 2), "0 or 1"),
        (lambda a: a["top_label_NK"].__setitem__((0, 0), 4), "numbered from 0 to 3"),
        (lambda a: a.pop("top_label_NK"), "thresholds by label need top_label_NK"),
    ],
)
def test_a_calibration_set_that_does_not_fit_is_refused(copy, change, rule):
    arrays = safetensors.numpy.load((copy / "calibration.safetensors").read_bytes())
    change(arrays)
    safetensors.numpy.save_file(arrays, copy / "calibration.safetensors")
    with pytest.raises(BundleError, match=rule):
        Bundle.read(copy)


@pytest.mark.parametrize("file", ["bundle.json", "weights.safetensors", "calibration.json", "calibration.safetensors"])
def test_a_missing_file_is_named(copy, file):
    (copy / file).unlink()
    with pytest.raises(BundleError, match=f"{file} is 'No such file"):
        Bundle.read(copy)


@pytest.mark.parametrize("file", ["bundle.json", "calibration.json", "calibration.safetensors"])
def test_a_file_of_rubbish_is_named(copy, file):
    (copy / file).write_bytes(b"\x00 rubbish")
    with pytest.raises(BundleError, match=file):
        Bundle.read(copy)


class TestWeights:
    def test_that_do_not_fit_are_listed_by_module(self, copy):
        tensors = safetensors.torch.load((copy / "weights.safetensors").read_bytes())
        tensors["intruder.layer.weight"] = torch.zeros(1)
        del tensors["classifier.glance_head.bias"]
        tensors["classifier.glance_head.weight"] = torch.zeros(1, 1)
        put_weights(copy, tensors)
        with pytest.raises(BundleError) as refusal:
            load_model(copy, runtime=TORCH)
        told = str(refusal.value)
        assert "1 missing:\n  classifier.glance_head: bias" in told
        assert "1 unexpected:\n  intruder.layer: weight" in told
        assert "1 of another shape:\n  classifier.glance_head: weight (1, 1) instead of" in told

    def test_of_half_precision_on_disk_run_in_fp32(self, copy):
        tensors = safetensors.torch.load((copy / "weights.safetensors").read_bytes())
        put_weights(copy, {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()})
        for name, tensor in load_network(Bundle.read(copy)).state_dict().items():
            wanted = tensors[name].half().float() if tensor.is_floating_point() else tensors[name]
            assert tensor.dtype == wanted.dtype
            assert torch.equal(tensor, wanted)

    def test_that_are_no_safetensors_are_refused(self, copy):
        (copy / "weights.safetensors").write_bytes(b"rubbish")
        sha256 = hashlib.sha256(b"rubbish").hexdigest()
        edit(copy, "bundle.json", lambda m: m.update(weights_sha256=sha256))
        with pytest.raises(BundleError, match="must be safetensors"):
            load_model(copy, runtime=TORCH)


class TestWriting:
    def test_leaves_nothing_behind_when_the_contents_do_not_fit(self, sound, tmp_path):
        bundle = Bundle.read(sound)
        wrong = bundle.manifest.model_copy(update={"labels": ("a", "b")})
        with pytest.raises(BundleError, match="labels"):
            write_bundle(tmp_path, _description(wrong), {}, bundle.calibration)
        assert list(tmp_path.iterdir()) == []

    def test_does_not_overwrite_unless_told(self, copy):
        bundle = Bundle.read(copy)
        with pytest.raises(BundleError, match="not overwritten"):
            write_bundle(copy.parent, _description(bundle.manifest), {}, bundle.calibration)
        assert Bundle.read(copy).digest == bundle.digest

    def test_replaces_a_bundle_whole_when_told(self, copy):
        bundle = Bundle.read(copy)
        weights = safetensors.torch.load((copy / "weights.safetensors").read_bytes())
        (copy / "stray.txt").write_text("of the old one")
        again = write_bundle(copy.parent, _description(bundle.manifest), weights, bundle.calibration, replace=True)
        assert again.digest == bundle.digest
        assert [path.name for path in copy.parent.iterdir()] == ["tiny"]
        assert not (copy / "stray.txt").exists()


class TestFindingModels:
    def test_lists_bundles_by_folder_name_and_looks_past_unfinished_ones(self, copy):
        (copy.parent / ".unfinished-x").mkdir()
        shutil.copy(copy / "bundle.json", copy.parent / ".unfinished-x")
        (copy.parent / "notes").mkdir()
        assert available_models(copy.parent, copy.parent, copy.parent / "absent")["tiny"] == copy
        assert not {"notes", ".unfinished-x"} & set(available_models(copy.parent))

    def test_a_folder_may_be_a_bundle_itself_and_those_that_ship_are_left_out_when_told(self, copy):
        assert available_models(copy, shipped=False) == {"tiny": copy}

    def test_two_bundles_of_one_name_are_an_error_naming_both(self, sound, copy):
        with pytest.raises(BundleError, match="rename one") as refusal:
            available_models(sound.parent, copy.parent)
        assert str(sound) in str(refusal.value)
        assert str(copy) in str(refusal.value)

    def test_an_unknown_name_lists_the_known_ones(self, copy):
        with pytest.raises(ValueError, match=r"no model is called 'huge'; known are: .*tiny"):
            load_model("huge", copy.parent)

    def test_a_model_found_by_name_or_by_path_is_the_same_and_its_prices_are_the_recognizers(self, copy):
        by_name = load_model("tiny", copy.parent, runtime=TORCH)
        by_path = load_model(copy, runtime=TORCH)
        assert by_name.bundle.digest == by_path.bundle.digest
        assert by_name.recognizer.step_flops == by_name.bundle.step_flops
        assert by_name.recognizer.clip_rule == by_name.bundle.clip_rule
