"""Running a model over a data set: its own labels and prices, baselines like bundles, cubes in random places."""

import numpy as np
import pytest
import torch

from models.adafocus.network import build_network
from models.adafocus.parts import make_recognizer as make_adafocus
from models.runtime import RuntimeConfig, make_runtime
from tests.unit.training.trained import CLIP, LABELS, MODEL, make_data
from training.adafocus.random_cubes import randomise
from training.data.dataset import DatasetError, read_dataset, relative
from training.data.frames import FrameStore
from training.data.synthetic import synthetic_clips
from training.full_frame.network import FullFrame, FullFrameConfig, step_flops
from training.full_frame.recognizer import make_recognizer
from training.judge.observe import label_numbers, observe_dataset, readable, seconds_per_step
from training.judge.pictures import choose, draw_looks, look

RUNTIME = make_runtime(RuntimeConfig(name="torch", precision="fp32", num_threads=1))
ONES = [1.0] * (MODEL.max_cubes + 1)


def recognizer(network=None):
    return make_adafocus(network or build_network(MODEL, seed=4), CLIP, ONES, RUNTIME)


def some_clips(count=3):
    return [frames for frames, _ in synthetic_clips(CLIP, count, seed=5)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"), num_train=4, num_val=6)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return FrameStore(tmp_path_factory.mktemp("cache"), 64)


class TestADataSet:
    def test_is_seen_through_every_exit_with_groups_sources_and_prices(self, data, store):
        model = recognizer()
        part = read_dataset(data).split("val")
        seen = observe_dataset(model, part, store, classes_C=LABELS, root=data, model="tiny", split="val")
        assert seen.log_probs_NKC.shape == (6, 3, 2)
        assert seen.paths_N[0] == "val/drift0.mp4"
        assert (seen.groups_N[0], seen.sources_N[0], seen.step_flops_K) == ("val0", "near", model.step_flops)
        assert all(seconds > 0 for seconds in seen.seconds_K)
        states = model.glance([store.clip(sample.path, CLIP) for sample in part.samples])
        np.testing.assert_allclose(
            np.exp(seen.log_probs_NKC[:, 0]), [state.probabilities_C for state in states], atol=1e-5
        )

    def test_takes_the_models_numbers_for_its_labels(self, data, store):
        part = read_dataset(data).split("val")
        turned = observe_dataset(
            recognizer(), part, store, classes_C=LABELS[::-1], root=data, model="tiny", timed=False
        )
        assert [turned.classes_C[label] for label in turned.labels_N] == [
            LABELS[sample.label] for sample in part.samples
        ]
        assert np.isnan(turned.seconds_K).all()

    def test_with_a_label_the_model_does_not_know_is_refused(self, data):
        with pytest.raises(ValueError, match="labels that the model was not trained on: square"):
            label_numbers(read_dataset(data), ("drift", "waltz"))

    def test_leaves_out_a_video_that_opens_and_does_not_decode(self, tmp_path, store):
        folder = make_data(tmp_path / "data", num_train=12, num_val=0)
        broken = folder / "train" / "drift0.mp4"
        part = read_dataset(folder)
        broken.write_bytes(b"no video")
        kept = readable(part, store, CLIP)
        assert (len(kept), [entry.path for entry in kept.unreadable]) == (11, [broken])
        for path in (folder / "train").glob("square*.mp4"):
            path.write_bytes(b"nor this")
        with pytest.raises(DatasetError, match="7 of 12 videos cannot be read"):
            readable(part, store, CLIP)

    def test_names_its_files_from_its_root_whether_folder_or_csv(self, data):
        video = data / "val" / "drift0.mp4"
        assert relative(video, data) == relative(video, data / "labels.csv") == "val/drift0.mp4"
        assert relative(data.parent / "elsewhere.mp4", data) == str(data.parent / "elsewhere.mp4")


class TestABaseline:
    @pytest.mark.parametrize(("shift", "plus"), [(False, False), (True, False), (True, True)])
    def test_answers_through_a_runtime_as_its_network_does(self, shift, plus):
        config = FullFrameConfig(MODEL, temporal_shift=shift, with_glance=plus)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            network = FullFrame(config).eval()
        clips = some_clips()
        model = make_recognizer(network, CLIP, [1.0], RUNTIME)
        said = np.array([state.probabilities_C for state in model.glance(clips)])
        with torch.no_grad():
            wanted = network(torch.from_numpy(np.stack(clips))).logits_BEC[:, 0].softmax(dim=1)
        np.testing.assert_allclose(said, wanted, atol=1e-5)
        assert model.step_flops == step_flops(config)
        assert 0 <= model.glance(clips)[0].entropy_nats <= np.log(2)

    def test_takes_no_further_step(self):
        model = make_recognizer(FullFrame(FullFrameConfig(MODEL, False, False)).eval(), CLIP, [1.0], RUNTIME)
        with pytest.raises(ValueError, match="a full-frame baseline looks once"):
            model.focus(model.glance(some_clips(1)))


class TestRandomCubes:
    def cubes(self, coordinates, seed=0, batches=(3,)):
        network = build_network(MODEL, seed=4)
        if coordinates:
            randomise(network, coordinates, seed)
        model, clips, cubes = recognizer(network), some_clips(), []
        for size in batches:
            cubes += [state.cubes for state in model.focus(model.glance(clips[:size]))]
            clips = clips[size:]
        return np.array([[(cube.t, cube.y, cube.x) for cube in of_clip] for of_clip in cubes])

    def test_leave_alone_the_coordinates_that_stay_learned(self):
        learned, space, both = self.cubes(None), self.cubes("space"), self.cubes("space-time")
        np.testing.assert_array_equal(space[..., 0], learned[..., 0])
        assert (space[..., 1:] != learned[..., 1:]).any()
        assert (both[..., 0] != learned[..., 0]).any()
        np.testing.assert_array_equal(self.cubes("time")[..., 1:], learned[..., 1:])

    def test_follow_from_the_seed_whatever_the_batches(self):
        np.testing.assert_array_equal(self.cubes("space-time", 1), self.cubes("space-time", 1, batches=(1, 2)))
        assert (self.cubes("space-time", 1) != self.cubes("space-time", 2)).any()

    def test_of_another_kind_are_refused(self):
        with pytest.raises(ValueError, match="cannot draw 'colour' at random"):
            randomise(build_network(MODEL, seed=0), "colour", 0)


def test_each_step_is_timed_alone():
    seconds = seconds_per_step(recognizer(), some_clips(2))
    assert len(seconds) == 3
    assert min(seconds) > 0


class TestPictures:
    def test_show_every_step_of_a_clip(self, tmp_path):
        model, (clip, *_) = recognizer(), some_clips(1)
        states = look(model, clip)
        assert [state.step for state in states] == [0, 1, 2]
        path = draw_looks(clip, states, LABELS, tmp_path / "deep" / "clip.png", title="a clip")
        assert path.read_bytes().startswith(b"\x89PNG")

    def test_are_of_videos_right_at_once_and_of_those_right_after_the_most_cubes(self, data, store):
        part = read_dataset(data).split("val")
        seen = observe_dataset(recognizer(), part, store, classes_C=LABELS, root=data, model="t", timed=False)
        right = {"easy": [1, 1, 1], "hard": [0, 0, 1], "wrong": [0, 1, 0], "soon": [0, 1, 1]}
        log_probs = np.full((6, 3, 2), -5.0, np.float32)
        for row, kind in enumerate(("easy", "hard", "wrong", "soon", "wrong", "wrong")):
            for step in range(3):
                label = seen.labels_N[row]
                log_probs[row, step, label if right[kind][step] else 1 - label] = -0.01
        object.__setattr__(seen, "log_probs_NKC", log_probs)
        assert [(choice.row, choice.kind, choice.step) for choice in choose(seen, 2)] == [
            (0, "easy", 0), (1, "hard", 2), (3, "hard", 1),
        ]  # fmt: skip
        assert choose(seen, 0) == []
