"""TimeSformers over HTTP: three views as steps, imported weights that answer as the library that wrote them, and the
way from an imported bundle to one with budgets."""

import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.bundle import Bundle
from models.bundle_format import MANIFEST
from models.loading import load_model
from models.runtime import RuntimeConfig
from models.runtime.openvino_runtime import import_openvino
from models.timesformer.config import TimeSformerConfig, tiny
from models.timesformer.foreign import under_their_names
from models.timesformer.network import TimeSformer, build_network
from service.wiring.recognising import load_models
from tests.clips import cached_clip, moving_square, noise
from tests.conftest import require
from tests.few_negatives import ASKED_AT, FEW
from tests.serving import Served, serving
from tests.timesformers import huggingface, pixels, randomise
from tests.unit.training.trained import make_data
from training.calibrating import calibrate_bundle
from training.data.synthetic import LABELS as SYNTHETIC
from training.exporting import export_bundle
from training.importing import Asked, import_checkpoint
from training.untrained import build_untrained
from video.clip import VideoLimits
from video.file.decode import decode

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
LABELS = ("brew", "carve", "dive", "enter", "flip")
UNTRAINED, HF, OFFICIAL, MMACTION2 = "timesformer-tiny", "from-hf", "from-authors", "from-mmaction2"
ASKED = Asked(mean=(0.45,) * 3, std=(0.225,) * 3, stride=4)


def network() -> TimeSformer:
    config = TimeSformerConfig.from_dict(tiny().to_dict() | {"dim": 128, "num_frames": 8})
    made = build_network(config, 0)
    randomise(made, seed=8)
    return made


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained one of four classes, and three imported ones of five."""
    folder, sources = tmp_path_factory.mktemp("bundles"), tmp_path_factory.mktemp("sources")
    build_untrained(folder / UNTRAINED, config=tiny(len(SYNTHETIC)), num_clips=24)
    (sources / "labels.txt").write_text("\n".join(LABELS))
    huggingface("divided").save_pretrained(sources / HF)
    torch.save({"model_state": under_their_names(network(), "official")}, sources / OFFICIAL)
    torch.save({"state_dict": under_their_names(network(), "mmaction2")}, sources / MMACTION2)
    for name in (HF, OFFICIAL, MMACTION2):
        import_checkpoint(str(sources / name), sources / "labels.txt", folder / name, ASKED)
    return folder


@pytest.fixture(scope="module")
def served(bundles: Path) -> Iterator[Served]:
    with serving(
        load=load_models, bundles=(bundles,), runtime="torch", precision="fp32", num_threads=1, default_model=UNTRAINED
    ) as service:
        yield service


def video(number: int = 0) -> Path:
    return cached_clip("timesformer.mp4", pattern=noise if number else moving_square, size=(160, 96), seconds=2.0)


def scores(answer: dict[str, object], labels: tuple[str, ...]) -> np.ndarray:
    found = {one["label"]: one["score"] for one in answer["predictions"]}  # type: ignore[index,attr-defined]
    return np.array([found[label] for label in labels])


def test_three_views_are_three_steps_at_one_price_each(served: Served, bundles: Path) -> None:
    prices = Bundle.read(bundles / HF).step_flops
    answer = served.post(video().read_bytes(), f"?model={HF}").json()
    steps = answer["compute"]["steps"]
    assert [step["kind"] for step in steps] == ["glance", "cube", "cube"]
    assert [step["gflops"] for step in steps] == [price / 1e9 for price in prices]
    assert answer["exit"]["reason"] == "exhausted"
    left, right = (step["cube"]["box"] for step in steps[1:])
    assert (left["x"], left["y"], left["h"]) == (0.0, 0.0, 1.0)
    assert left["w"] == right["w"] == pytest.approx(0.6, abs=0.02)  # 96 of 160 columns
    assert right["x"] == pytest.approx(0.4, abs=0.02)


def test_a_calibrated_one_stops_where_it_is_sure(served: Served, bundles: Path) -> None:
    bundle = Bundle.read(bundles / UNTRAINED)
    answer = served.post(video().read_bytes(), f"?budget_gflops={bundle.step_flops[0] / 1e9}").json()
    assert answer["model"] == UNTRAINED
    assert len(answer["compute"]["steps"]) == 1


def test_a_ceiling_of_two_views_takes_two(served: Served, bundles: Path) -> None:
    two = sum(Bundle.read(bundles / HF).step_flops[:2]) / 1e9
    answer = served.post(video().read_bytes(), f"?model={HF}&max_gflops={two}").json()
    assert answer["exit"]["reason"] == "ceiling"
    assert answer["compute"]["spent_gflops"] == two


@pytest.mark.parametrize("name", [OFFICIAL, MMACTION2])
def test_imported_weights_answer_as_the_network_that_wrote_them(served: Served, bundles: Path, name: str) -> None:
    clip = decode(str(video()), Bundle.read(bundles / name).clip_rule, LIMITS)
    with torch.no_grad():
        logits = network()(torch.from_numpy(clip.frames_THWC[None])) / 3
    answer = served.post(video().read_bytes(), f"?model={name}").json()
    np.testing.assert_allclose(scores(answer, LABELS), logits.softmax(dim=1)[0].numpy(), atol=1e-3)
    assert answer["exit"]["reason"] == "exhausted"
    assert len(answer["compute"]["steps"]) == 3


def test_a_huggingface_folder_answers_as_transformers_and_is_loaded_there_again(
    served: Served, bundles: Path, tmp_path: Path
) -> None:
    clip = decode(str(video()), Bundle.read(bundles / HF).clip_rule, LIMITS)
    views = torch.from_numpy(clip.frames_THWC[None]).split(48, dim=3)
    model = huggingface("divided")
    with torch.no_grad():
        wanted = sum(model(pixels(view)).logits for view in views) / 3
    answer = served.post(video().read_bytes(), f"?model={HF}").json()
    np.testing.assert_allclose(scores(answer, LABELS), wanted.softmax(dim=1)[0].numpy(), atol=1e-3)
    export_bundle(bundles / HF, tmp_path / "again", "hf")
    again = type(model).from_pretrained(tmp_path / "again", local_files_only=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(pixels(views[1])).logits, model(pixels(views[1])).logits)


def test_openvino_answers_as_the_service_on_torch_within_a_thousandth(served: Served, bundles: Path) -> None:
    wanted = scores(served.post(video().read_bytes(), f"?model={OFFICIAL}").json(), LABELS)
    require(import_openvino() is not None, "openvino")
    model = load_model(bundles / OFFICIAL, runtime=RuntimeConfig(name="openvino", precision="fp32", num_threads=1))
    states = model.recognizer.glance([decode(str(video()), model.bundle.clip_rule, LIMITS).frames_THWC])
    for _ in range(2):
        states = model.recognizer.focus(states)
    np.testing.assert_allclose(states[0].probabilities_C, wanted, atol=1e-3)


def test_many_at_once_are_answered_as_alone(served: Served) -> None:
    from concurrent import futures  # noqa: PLC0415  # beside its only use

    def ask(number: int) -> np.ndarray:
        return scores(served.post(video(number % 2).read_bytes(), f"?model={OFFICIAL}").json(), LABELS)

    alone = [ask(number) for number in range(2)]
    with futures.ThreadPoolExecutor(6) as pool:
        for number, found in enumerate(pool.map(ask, range(6))):
            np.testing.assert_allclose(found, alone[number % 2], atol=1e-3)


def test_what_is_not_calibrated_promises_no_budget_and_auto_never_takes_it(served: Served, bundles: Path) -> None:
    full = sum(Bundle.read(bundles / OFFICIAL).step_flops) / 1e9
    refusal = served.post(video().read_bytes(), f"?model={OFFICIAL}&budget_gflops={0.9 * full}")
    assert refusal.status_code == 422
    assert refusal.json()["least_gflops"] == full
    assert "not calibrated" in refusal.json()["detail"]
    shown = served.client.get(f"/v1/models/{OFFICIAL}?budget_gflops={0.9 * full}")
    assert (shown.status_code, shown.json()["least_gflops"]) == (422, full)
    assert served.post(video().read_bytes(), "?task=labels&budget_gflops=1000").status_code == 422
    detail = served.client.get(f"/v1/models/{OFFICIAL}").json()
    assert detail["frontier"] == []
    assert detail["thresholds"]["accuracy"] is None
    assert detail["card"]["Licence"].startswith("CC-BY-NC 4.0")
    assert detail["card"]["Calibrated on"].startswith("none")


def test_an_imported_bundle_gets_budgets_from_labelled_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ASKED_AT, FEW)
    data = make_data(tmp_path / "data", num_train=6, num_val=4)
    source = tmp_path / "two.pth"
    config = TimeSformerConfig.from_dict(tiny(2).to_dict() | {"dim": 128, "num_frames": 8})
    torch.save(under_their_names(build_network(config, 1), "official"), source)
    (tmp_path / "labels.txt").write_text("drift\nsquare\n")
    raw = import_checkpoint(str(source), tmp_path / "labels.txt", tmp_path / "raw", ASKED).bundle
    bundled = calibrate_bundle(raw.folder, data, cache=tmp_path / "cache")
    bundle = Bundle.read(tmp_path / "raw")
    assert bundle.calibrated
    assert bundle.digest == bundled.bundle.digest
    assert bundle.manifest.weights_sha256 == raw.manifest.weights_sha256
    assert bundle.grid.least_flops == bundle.step_flops[0]
    assert bundle.frontier
    assert "6 videos" in dict(bundle.card)["Calibrated on"]
    assert "its val split" in dict(bundle.card)["Measured on"]
    assert json.loads((bundle.folder / MANIFEST).read_text())["calibration"] == "solved"
    with serving(
        load=load_models, bundles=(tmp_path / "raw",), runtime="torch", num_threads=1, default_model="raw"
    ) as served:
        answer = served.post(video().read_bytes(), f"?budget_gflops={bundle.step_flops[0] / 1e9}").json()
        assert answer["model"] == "raw"  # `auto` takes it now
    (tmp_path / "labels.txt").write_text("a\nb\n")
    other = import_checkpoint(str(source), tmp_path / "labels.txt", tmp_path / "other", ASKED).bundle
    with pytest.raises(ValueError, match="labels that the model was not trained on"):
        calibrate_bundle(other.folder, data, cache=tmp_path / "cache")


def test_a_request_that_alone_exceeds_the_queue_is_admitted_where_it_is_alone(bundles: Path) -> None:
    price = sum(Bundle.read(bundles / OFFICIAL).step_flops) / 1e9
    with serving(
        load=load_models, bundles=(bundles / OFFICIAL,), runtime="torch", num_threads=1, default_model=OFFICIAL,
        max_queued_gflops=price / 10, max_batch_gflops=price / 100,
    ) as small:  # fmt: skip
        answer = small.post(video().read_bytes(), f"?model={OFFICIAL}")
        assert answer.status_code == 200
        assert answer.json()["compute"]["spent_gflops"] == price
        # of two at once one may have to wait: then it is told at once, with what it may need
        with futures.ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(small.post, video().read_bytes(), f"?model={OFFICIAL}") for _ in range(4)]
            answers = [one.result() for one in asked]
        assert {one.status_code for one in answers} <= {200, 429}
        for refused in (one for one in answers if one.status_code == 429):
            assert f"this request may need {price:.3g}" in refused.json()["detail"]
            assert int(refused.headers["Retry-After"]) >= 1
        assert any(one.status_code == 200 for one in answers)


def test_a_view_that_does_not_fit_the_memory_is_a_clear_error_and_the_service_goes_on(bundles: Path) -> None:
    model = load_model(bundles / OFFICIAL, runtime=RuntimeConfig(name="torch", precision="fp32", num_threads=1))
    recognizer = model.recognizer
    run, failures = recognizer._encoder, [1]

    def first_without_memory(views_NHWC: Any) -> Any:
        if failures:
            failures.pop()
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")
        return run(views_NHWC)

    recognizer._encoder = first_without_memory
    with serving(load=lambda _: [model], default_model=OFFICIAL) as service:
        refused = service.post(video().read_bytes(), f"?model={OFFICIAL}")
        assert (refused.status_code, refused.json()["type"]) == (503, "/problems/out-of-memory")
        assert "8 frames of 32 x 32 with divided attention do not fit the memory" in refused.json()["detail"]
        assert service.post(video().read_bytes(), f"?model={OFFICIAL}").status_code == 200
