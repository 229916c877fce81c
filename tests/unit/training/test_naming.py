"""Labels get names for people: from a file, into a new bundle or one that stands, and nothing else of it changes."""

import json
import re
import shutil
from pathlib import Path

import pytest

from models import available_models
from models.adafocus.shapes import tiny
from models.bundle import Bundle
from models.bundle_format import BundleError
from models.label_texts import LabelText
from training.data.synthetic import LABELS
from training.label_file import read_label_texts, read_labels
from training.naming import name_labels
from training.untrained import build_untrained

SQUARE = LabelText("A square", "A square walks across the picture.")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    build_untrained(folder, config=tiny(len(LABELS)), num_clips=16)
    return folder


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "tiny"))


def test_a_bundle_that_nobody_named_loads_and_says_nothing(bundle: Path) -> None:
    assert "label_texts" not in json.loads((bundle / "bundle.json").read_text())
    assert Bundle.read(bundle).label_texts == {}


def test_names_are_written_and_everything_else_stays(bundle: Path) -> None:
    before = Bundle.read(bundle)
    files = {file.name: file.read_bytes() for file in bundle.iterdir()}
    name_labels(bundle, {LABELS[0]: SQUARE, LABELS[1]: LabelText(description="Something else.")})
    after = Bundle.read(bundle)
    assert dict(after.label_texts) == {LABELS[0]: SQUARE, LABELS[1]: LabelText(None, "Something else.")}
    assert after.digest != before.digest, "another file is another bundle"
    assert after.manifest.model_copy(update={"label_texts": {}}) == before.manifest
    changed = {file.name for file in bundle.iterdir() if files.get(file.name) != file.read_bytes()}
    assert changed == {"bundle.json"}
    name_labels(bundle, {})
    assert (bundle / "bundle.json").read_bytes() == files["bundle.json"]


def test_a_name_for_a_label_that_is_not_there_is_refused_and_nothing_written(bundle: Path) -> None:
    before = (bundle / "bundle.json").read_bytes()
    with pytest.raises(ValueError, match="tiny has no label 'jump'"):
        name_labels(bundle, {"jump": SQUARE})
    assert (bundle / "bundle.json").read_bytes() == before


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"jump": {"display_name": "Jump"}}, "label_texts names 'jump', which is none of the labels"),
        ({LABELS[0]: {"display_name": ""}}, "at least 1 character"),
        ({LABELS[0]: {"title": "A square"}}, "title"),
    ],
)
def test_names_that_cannot_be_are_told_with_their_field(bundle: Path, said: object, told: str) -> None:
    manifest = bundle / "bundle.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"label_texts": said}))
    with pytest.raises(BundleError, match=re.escape(told)):
        Bundle.read(bundle)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("labels.csv", "label,display_name,description\nhug,Hug,Two people hug.\nkick,,\n"),
        ("labels.json", '[{"label": "hug", "display_name": "Hug", "description": "Two people hug."}, "kick"]'),
    ],
)
def test_a_file_lists_labels_in_order_and_names_those_it_names(tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / file).write_text(content)
    assert read_labels(tmp_path / file) == ("hug", "kick")
    assert read_label_texts(tmp_path / file) == {"hug": LabelText("Hug", "Two people hug.")}


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("labels.csv", "name,title\nhug,Hug\n", "the first line must name label"),
        ("labels.json", '[{"display_name": "Hug"}]', "which has no label"),
        ("labels.json", '[{"label": "hug", "display_name": 3}]', "display_name = 3 of hug"),
        ("labels.csv", "label,display_name\nhug," + "h" * 81 + "\n", "at most 80 characters"),
    ],
)
def test_a_file_that_cannot_be_is_told(tmp_path: Path, file: str, content: str, told: str) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=re.escape(told)):
        read_label_texts(tmp_path / file)


@pytest.mark.parametrize("name", sorted(available_models()))
def test_every_label_that_ships_has_a_name_and_a_sentence(name: str) -> None:
    bundle = Bundle.read(available_models()[name])
    assert list(bundle.label_texts) == list(bundle.labels)
    names = [text.display_name for text in bundle.label_texts.values()]
    assert len(set(names)) == len(names)
    assert all(text.display_name and text.description for text in bundle.label_texts.values())
