"""Served on a CPU without torch: converted once, in a child; then loaded and answered by a process that has none."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.adafocus.shapes import tiny
from models.bundle import Bundle
from models.catalogue import SHIPPED
from models.families import FAMILIES, find_family
from models.family import ModelConfig
from models.loading import load_model
from models.runtime import RuntimeConfig
from models.runtime.openvino_runtime import import_openvino
from models.timesformer.config import tiny as tiny_timesformer
from models.tsm.config import tiny as tiny_tsm
from training.data.synthetic import LABELS
from training.untrained import build_untrained

pytestmark = [
    pytest.mark.skipif(import_openvino() is None, reason="OpenVINO does not import here"),
    pytest.mark.timeout(600),  # two conversions on a busy machine
]

ROOT = Path(__file__).resolve().parents[2]
SHIPPED_NAMES = sorted(path.name for path in SHIPPED.iterdir())
NO_TORCH = 'import sys; sys.modules["torch"] = None  # Python\'s way to say: not importable\n'

# Prints what each bundle answers to one seeded clip, all steps of it; then what is loaded of torch.
ANSWER = """
import json, logging, sys
from pathlib import Path
import numpy as np
from models.loading import load_models
from models.runtime import RuntimeConfig

logging.basicConfig(level=logging.INFO, format="%(message)s")
cache, *folders = map(Path, sys.argv[1:])
try:
    models = load_models(folders, RuntimeConfig(name="openvino", precision="fp32", num_threads=1, cache_dir=cache))
except ValueError as error:
    sys.exit(str(error))
answers = {}
for model in models:
    rule = model.bundle.clip_rule
    clip = np.random.default_rng(0).integers(0, 256, (rule.num_frames, rule.height_px, rule.width_px, 3), np.uint8)
    states = model.recognizer.glance([clip])
    while len(states) < len(model.recognizer.step_flops):
        states += model.recognizer.focus(states[-1:])
    answers[model.bundle.name] = {
        "probabilities": [state.probabilities_C.tolist() for state in states],
        "step_flops": model.recognizer.step_flops,
        "frame_flops": getattr(model.recognizer, "frame_flops", None),
        "paper_flops": model.bundle.paper_flops,
    }
loaded = sorted(name for name, module in sys.modules.items() if name.split(".")[0] == "torch" and module is not None)
print(json.dumps({"answers": answers, "torch": loaded}))
"""


@dataclass(frozen=True)
class Process:
    answers: dict[str, dict[str, object]]
    torch: list[str]
    log: str


def answered(cache: Path, *folders: Path, before: str = "") -> Process:
    done = run(cache, *folders, before=before)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return Process(told["answers"], told["torch"], done.stderr)


def run(cache: Path, *folders: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", before + ANSWER, str(cache), *map(str, folders)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=550)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    build_untrained(folder, config=tiny(len(LABELS)), num_clips=8)
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A TimeSformer of three views and a TSM."""
    parent = tmp_path_factory.mktemp("others")
    configs: dict[str, ModelConfig] = {
        "timesformer": tiny_timesformer(len(LABELS)),
        "timesformer-axial": tiny_timesformer(len(LABELS), "axial"),
        "tsm": tiny_tsm(len(LABELS)),
    }
    for name, config in configs.items():
        build_untrained(parent / name, config=config, num_clips=8)
    return {name: parent / name for name in configs}


def test_families_of_one_encoder_answer_without_torch_as_with_it(
    others: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    cache = tmp_path_factory.mktemp("their-cache")
    cold = answered(cache, *others.values())
    alone = answered(cache, *others.values(), before=NO_TORCH)
    assert alone.answers == cold.answers
    assert alone.torch == []
    for name, folder in others.items():
        found = np.array(alone.answers[name]["probabilities"])
        assert np.abs(found - at_every_step(folder)).max() < 1e-3


def at_every_step(folder: Path) -> NDArray[np.float32]:
    """What torch answers to the clip."""
    model = load_model(folder, runtime=RuntimeConfig(name="torch", precision="fp32", num_threads=1))
    rule = model.bundle.clip_rule
    clip = np.random.default_rng(0).integers(0, 256, (rule.num_frames, rule.height_px, rule.width_px, 3), np.uint8)
    states = model.recognizer.glance([clip])
    while len(states) < len(model.recognizer.step_flops):
        states += model.recognizer.focus(states[-1:])
    return np.array([state.probabilities_C for state in states])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cold(bundle: Path, cache: Path) -> Process:
    return answered(cache, bundle, *(SHIPPED / name for name in SHIPPED_NAMES))


@pytest.fixture(scope="module")
def warm(bundle: Path, cache: Path, cold: Process) -> Process:
    return answered(cache, bundle, *(SHIPPED / name for name in SHIPPED_NAMES), before=NO_TORCH)


def test_the_shipped_bundles_warm_answer_a_clip_and_no_torch_is_loaded(warm: Process) -> None:
    assert set(warm.answers) == {"tiny", *SHIPPED_NAMES}
    assert warm.torch == []


def test_a_conversion_happens_in_a_child_and_says_what_it_does(cold: Process) -> None:
    assert cold.torch == []
    for name in SHIPPED_NAMES:
        assert f"{name}: converted " in cold.log
    assert "adafocus-v3-compact: converted focus (3 of 10) in" in cold.log


def test_a_warm_start_converts_nothing_and_answers_to_the_bit_as_the_cold_one(cold: Process, warm: Process) -> None:
    assert "convert" not in warm.log
    assert warm.answers == cold.answers


@pytest.mark.parametrize("name", ["tiny", *SHIPPED_NAMES])
def test_answers_are_those_of_torch_at_every_step(name: str, bundle: Path, warm: Process) -> None:
    found = np.array(warm.answers[name]["probabilities"])
    assert np.abs(found - at_every_step(bundle if name == "tiny" else SHIPPED / name)).max() < 1e-3


@pytest.mark.parametrize("name", ["tiny", *SHIPPED_NAMES])
def test_prices_are_those_that_torch_counts_now(name: str, bundle: Path, warm: Process) -> None:
    config = Bundle.read(bundle if name == "tiny" else SHIPPED / name).config
    family = find_family(config.family)
    told = warm.answers[name]
    assert told["step_flops"] == list(family.step_flops(config))
    assert told["frame_flops"] == (family.frame_flops(config) if family.frame_flops else None)
    assert told["paper_flops"] == (family.paper_flops(config) if family.paper_flops else None)


def test_without_torch_and_with_nothing_converted_a_sentence_says_the_way_out(bundle: Path, tmp_path: Path) -> None:
    done = run(tmp_path, bundle, before=NO_TORCH)
    assert done.returncode == 1
    assert "tiny must be converted once before serving, which needs torch, and torch is not installed" in done.stderr
    assert "fovea convert" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bundle_may_bring_its_converted_form(bundle: Path, cache: Path, cold: Process, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "tiny"))
    shutil.copytree(cache, folder / "converted")
    alone = answered(tmp_path / "empty", folder, before=NO_TORCH)
    assert alone.answers["tiny"] == cold.answers["tiny"]
    assert Bundle.read(folder).digest == Bundle.read(bundle).digest


def test_a_bundle_that_is_not_sound_is_refused_by_the_child_in_its_own_words(bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle, tmp_path / "tiny"))
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["architecture"]["config"]["policy_hidden"] = [17]
    (folder / "bundle.json").write_text(json.dumps(manifest))
    done = run(tmp_path / "cache", folder)
    assert done.returncode == 1
    assert "budgets must rise from the price of the first step" in done.stderr  # those that are counted now
    assert "Traceback" not in done.stderr


def test_every_family_of_ours_is_served_without_torch() -> None:
    """Families of others may keep torch; ours may not lose this by accident."""
    for name in FAMILIES:
        assert find_family(name).light is not None
