"""Batches: the same for the same seed and step, in any order, on any thread; classes as often as asked."""

import itertools
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.clips import cached_clip, solid
from training.data.augment import SMALL_SET, Augmentation
from training.data.batches import Batches, mix_up, prefetched
from training.data.dataset import Dataset, DatasetError, Sample
from training.data.frames import FrameStore
from video.clip import ClipRule

PLAIN = Augmentation()
SPEC = ClipRule(4, 24, 32, "center_crop", 48)
LABELS = ("cctv_fight", "tennis_serve", "ut_hug")


@pytest.fixture(scope="module")
def dataset():
    """Three classes of 6, 3 and 1 videos, each of one colour of its own."""
    paths = [cached_clip(f"{n}.mp4", size=(64, 48), seconds=0.4, pattern=solid(20 * n, 100, 50)) for n in range(10)]
    return Dataset(LABELS, tuple(Sample(p, label) for p, label in zip(paths, [0] * 6 + [1] * 3 + [2], strict=True)))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return FrameStore(tmp_path_factory.mktemp("cache"), 48)


def batches_of(dataset, store, augmentation=PLAIN, batch_size=4, seed=0, balanced=True, spec=SPEC):
    return Batches(dataset, store, spec, augmentation, batch_size, seed, balanced)


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class TestABatch:
    def test_holds_clips_by_the_rule_and_one_hot_targets(self, dataset, store):
        batches = batches_of(dataset, store)
        clips_BTHWC, targets_BC = batches.batch(0)
        assert (clips_BTHWC.shape, clips_BTHWC.dtype) == ((4, 4, 24, 32, 3), torch.uint8)
        assert (targets_BC.shape, targets_BC.dtype) == ((4, 3), torch.float32)
        for clip_THWC, target_C, sample in zip(clips_BTHWC, targets_BC, batches.samples(0), strict=True):
            assert target_C.tolist() == np.eye(3)[sample.label].tolist()
            red = 20 * dataset.samples.index(sample)
            assert clip_THWC[..., 0].float().mean() == pytest.approx(red, abs=4)

    def test_depends_on_seed_and_step_alone(self, dataset, store):
        full = replace(SMALL_SET, flip=("cctv_*",))
        one, other = (batches_of(dataset, store, full, seed=5) for _ in range(2))
        forwards = [one.batch(step) for step in range(6)]
        backwards = [other.batch(step) for step in reversed(range(6))]
        assert all(equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))
        assert not equal(forwards[0], forwards[1])
        assert not equal(forwards[0], batches_of(dataset, store, full, seed=6).batch(0))

    def test_one_video_twice_in_it_is_augmented_twice(self, dataset, store):
        only = dataset.subset(dataset.samples[:1])
        clips_BTHWC, _ = batches_of(only, store, replace(SMALL_SET, mixup_alpha=0.0), batch_size=2).batch(0)
        assert not torch.equal(clips_BTHWC[0], clips_BTHWC[1])

    def test_has_soft_targets_under_mix_up_that_stay_its_own_for_the_most_part(self, dataset, store):
        batches = batches_of(dataset, store, Augmentation(mixup_alpha=1.0), batch_size=10, balanced=False)
        clips_BTHWC, targets_BC = batches.batch(0)
        assert targets_BC.sum(dim=1).tolist() == pytest.approx([1.0] * 10)
        assert (targets_BC.amax(dim=1) < 1).any()
        one_hot = torch.eye(3)[[sample.label for sample in batches.samples(0)]]
        assert ((targets_BC * one_hot).sum(dim=1) >= 0.5).all()
        assert clips_BTHWC.dtype == torch.uint8


class TestTheOrder:
    @given(st.integers(0, 1000), st.integers(1, 7))
    def test_balanced_draws_every_class_equally_often(self, seed, batch_size):
        samples = tuple(Sample(None, label) for label in [0] * 6 + [1] * 3 + [2])
        batches = batches_of(Dataset(LABELS, samples), _Side48(), batch_size=batch_size, seed=seed)
        drawn = list(itertools.chain.from_iterable(batches.samples(step) for step in range(18)))
        for turn in range(len(drawn) // 3):
            assert {sample.label for sample in drawn[3 * turn : 3 * turn + 3]} == {0, 1, 2}

    def test_balanced_goes_through_all_videos_of_a_class_before_any_comes_again(self, dataset, store):
        batches = batches_of(dataset, store, batch_size=3)
        drawn = [sample for step in range(12) for sample in batches.samples(step)]
        counts = Counter(dataset.samples.index(sample) for sample in drawn)
        assert [counts[n] for n in range(10)] == [2] * 6 + [4] * 3 + [12]

    @pytest.mark.parametrize("batch_size", [1, 3, 4, 25])
    def test_unbalanced_draws_every_video_once_per_epoch(self, dataset, store, batch_size):
        batches = batches_of(dataset, store, batch_size=batch_size, balanced=False)
        drawn = list(itertools.chain.from_iterable(batches.samples(step) for step in range(40)))
        for epoch in range(len(drawn) // 10):
            assert set(drawn[10 * epoch : 10 * epoch + 10]) == set(dataset.samples)
        if len(drawn) >= 20:
            assert drawn[:10] != drawn[10:20]

    @pytest.mark.parametrize(("batch_size", "steps"), [(1, 10), (4, 2), (3, 3), (64, 1)])
    def test_an_epoch_is_as_many_draws_as_videos_rounded_to_steps(self, dataset, store, batch_size, steps):
        assert batches_of(dataset, store, batch_size=batch_size).steps_per_epoch == steps


class TestMixUp:
    @given(st.integers(0, 2**31), st.floats(0.05, 5), st.integers(1, 9))
    def test_keeps_targets_summing_to_one_and_stays_between_the_two_clips(self, seed, alpha, batch_size):
        rng = np.random.default_rng(seed)
        clips = rng.integers(0, 256, (batch_size, 1, 2, 2, 3), np.uint8)
        targets = np.eye(4, dtype=np.float32)[rng.integers(0, 4, batch_size)]
        mixed, soft = mix_up(clips, targets, alpha, np.random.default_rng(seed))
        np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-6)
        assert ((soft * targets).sum(axis=1) >= 0.5).all()
        assert (mixed >= clips.min(axis=0)).all()
        assert (mixed <= clips.max(axis=0)).all()

    def test_white_and_black_tell_the_share(self):
        clips = np.zeros((2, 1, 1, 1, 3), np.uint8)
        clips[1] = 255
        for seed in range(20):
            mixed, soft = mix_up(clips, np.eye(2, dtype=np.float32), 1.0, np.random.default_rng(seed))
            np.testing.assert_allclose(mixed[:, 0, 0, 0, 0] / 255, soft[:, 1], atol=1 / 255)


class TestWhatDoesNotFit:
    def test_a_store_of_another_sharpness_than_inference(self, dataset, store):
        for short_side_px in (None, 40):
            with pytest.raises(ValueError, match=r"short side 48.*another sharpness than inference"):
                batches_of(dataset, store, spec=replace(SPEC, source_short_side_px=short_side_px))

    def test_a_pattern_to_flip_that_no_label_meets(self, dataset, store):
        with pytest.raises(ValueError, match=r"flip names 'cct_\*', but no label is like that"):
            batches_of(dataset, store, Augmentation(flip=("cct_*",)))

    def test_no_videos_or_batches_of_none(self, dataset, store):
        with pytest.raises(DatasetError, match="no video to train on"):
            batches_of(dataset.subset([]), store)
        with pytest.raises(ValueError, match="batch_size is 0"):
            batches_of(dataset, store, batch_size=0)


class TestPrefetching:
    @pytest.mark.parametrize("num_threads", [1, 3])
    def test_gives_the_same_batches_from_any_step_on(self, dataset, store, num_threads):
        batches = batches_of(dataset, store, replace(SMALL_SET, flip=("cctv_*",)))
        coming = prefetched(batches, 7, num_threads=num_threads)
        for step, batch in zip(range(7, 12), coming, strict=False):
            assert equal(batch, batches.batch(step))
        coming.close()

    def test_ends_its_threads_when_closed(self, dataset, store):
        coming = prefetched(batches_of(dataset, store), 0)
        next(coming)
        coming.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]

    def test_an_error_comes_at_its_step(self, dataset, store, tmp_path):
        broken = tmp_path / "gone.mp4"
        coming = prefetched(batches_of(dataset.subset([Sample(broken, 0)]), store), 0)
        with pytest.raises(FileNotFoundError, match="gone"):
            next(coming)


class _Side48:
    """A store of which only the short side is asked."""

    short_side_px = 48
