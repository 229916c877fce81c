"""Decoded frames on disk: all of them, in order, and exactly what inference sees."""

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fovea.errors import VideoError, VideoUnreadable
from tests.clips import cached_clip, corner_square, frozen, noise, read_box, read_number
from training.data import frames as frames_module
from training.data.augment import Augmentation, augmented_clip
from training.data.dataset import LIMITS, Dataset, DatasetError, Sample
from training.data.footage import MAX_FRAMES
from training.data.frames import FrameStore
from video.clip import ClipRule
from video.file.decode import decode

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
SPEC = ClipRule(8, 96, 128, "center_crop", 120)


@pytest.fixture
def store(tmp_path):
    return FrameStore(tmp_path / "cache", 120)


def served(path, spec):
    """What the service decodes for inference."""
    return decode(str(path), spec, LIMITS)


def unaugmented(store, path, spec):
    return augmented_clip(store.footage(path), spec, Augmentation(), np.random.default_rng(0))


class TestFootage:
    def test_holds_every_frame_in_order_with_its_time(self, store):
        path = cached_clip("plain.mp4", seconds=2, fps=25, size=(320, 240))
        footage = store.footage(path)
        assert footage.frames_THWC.shape == (50, 120, 160, 3)
        assert [read_number(frame_HWC) for frame_HWC in footage.frames_THWC] == list(range(50))
        assert footage.pts_s == pytest.approx([n / 25 for n in range(50)])
        assert footage.duration_s == pytest.approx(2.0)
        assert (store.frames(path).shape, store.pts_s(path)) == (footage.frames_THWC.shape, footage.pts_s)

    def test_keeps_the_times_of_a_variable_rate(self, store):
        times_s = (0.0, 0.1, 0.5, 0.55, 1.2)
        path = cached_clip("vfr.mp4", times_s=times_s)
        assert store.pts_s(path) == pytest.approx(times_s)

    def test_is_upright(self, store):
        path = cached_clip("turned.mp4", rotate_deg=90, pattern=corner_square, seconds=0.4)
        (frame_HWC, *_) = store.frames(path)
        assert frame_HWC.shape == (160, 120, 3)
        x, y, w, h = read_box(frame_HWC)  # the square at x 1/4-1/2, y 1/8-1/4, turned clockwise
        assert (x, y, w, h) == pytest.approx((90, 40, 15, 40), abs=2)

    def test_a_small_video_stays_as_it_is(self, store):
        path = cached_clip("small.mp4", size=(96, 64), seconds=0.4)
        assert store.frames(path).shape == (10, 64, 96, 3)

    def test_of_a_long_video_frames_evenly_apart_are_kept(self, store):
        path = cached_clip("long.mp4", size=(32, 32), seconds=2 * MAX_FRAMES / 25 + 2, fps=25)
        pts_s = store.pts_s(path)
        assert MAX_FRAMES / 2 < len(pts_s) <= MAX_FRAMES
        assert np.diff(pts_s) == pytest.approx(np.full(len(pts_s) - 1, 3 / 25))

    def test_a_file_without_times_has_its_frames_at_equal_distances(self, store):
        path = cached_clip("raw.avi", codec="mpeg4", seconds=1, fps=25, options=frozen(bf="0"))
        numbers = [read_number(frame_HWC) for frame_HWC in store.frames(path)]
        assert numbers == list(range(25))
        assert store.pts_s(path) == pytest.approx([n / 25 for n in range(25)])


class TestTrainingSeesWhatInferenceSees:
    """Unaugmented, a clip from the store is the service's clip: the same frames, the same pixels."""

    @pytest.mark.parametrize("resize", ["center_crop", "letterbox", "stretch"])
    @pytest.mark.parametrize("size", [(320, 240), (256, 272), (426, 240)])
    def test_bit_for_bit_where_the_source_is_larger_than_the_short_side(self, store, resize, size):
        path = cached_clip(f"noise{size[0]}.mp4", pattern=noise, size=size, seconds=1)
        spec = replace(SPEC, resize=resize)
        np.testing.assert_array_equal(unaugmented(store, path, spec), served(path, spec).frames_THWC)

    def test_bit_for_bit_where_nothing_is_scaled(self, store):
        path = cached_clip("noise160.mp4", pattern=noise, size=(160, 96), seconds=1)
        np.testing.assert_array_equal(unaugmented(store, path, SPEC), served(path, SPEC).frames_THWC)

    @pytest.mark.parametrize("rotate_deg", [0, 90, 180])
    def test_within_rounding_where_a_small_or_turned_source_is_scaled(self, store, rotate_deg):
        """Inference then goes from YUV to the clip's size in one step, or turns after scaling: a level or two."""
        path = cached_clip(f"noise{rotate_deg}.mp4", pattern=noise, size=(144, 112), seconds=1, rotate_deg=rotate_deg)
        ours, theirs = unaugmented(store, path, SPEC), served(path, SPEC).frames_THWC
        assert np.abs(ours.astype(int) - theirs).mean() < 2

    @pytest.mark.parametrize("num_frames", [1, 3, 7, 16, 60])
    @pytest.mark.parametrize(
        "how", [{}, {"gop": 1}, {"gop": 6}, {"times_s": (0.0, 0.1, 0.5, 0.55, 1.2)}, {"start_s": 0.7}], ids=str
    )
    def test_the_same_frames_are_chosen(self, store, num_frames, how):
        path = cached_clip("chosen.mp4", size=(160, 120), **{"seconds": 2.0, **how})
        spec = replace(SPEC, num_frames=num_frames)
        footage, clip = store.footage(path), served(path, spec)
        assert [footage.pts_s[index] for index in footage.uniform_indices(num_frames)] == pytest.approx(clip.pts_s)

    @pytest.mark.skipif(not SHARED.exists(), reason="the project's data set is not beside the checkout")
    def test_on_real_video(self, store):
        for folder in sorted((SHARED / "val").iterdir())[::3]:
            path = sorted(folder.glob("*.mp4"))[0]
            for resize in ("center_crop", "letterbox", "stretch"):
                spec = ClipRule(16, 120, 156, resize, 120)
                np.testing.assert_array_equal(unaugmented(store, path, spec), served(path, spec).frames_THWC)


class TestClips:
    @pytest.mark.parametrize("spec", [SPEC, replace(SPEC, resize="letterbox", source_short_side_px=None)])
    def test_are_the_services_own_now_and_from_disk(self, store, spec):
        path = cached_clip("plain.mp4", seconds=2, fps=25, size=(320, 240))
        for _ in range(2):
            np.testing.assert_array_equal(store.clip(path, spec), served(path, spec).frames_THWC)

    def test_of_another_rule_are_kept_apart(self, store):
        path = cached_clip("plain.mp4", seconds=2, fps=25, size=(320, 240))
        store.clip(path, SPEC)
        assert store.clip(path, replace(SPEC, num_frames=3)).shape == (3, 96, 128, 3)


class TestTheFolder:
    def test_a_video_is_decoded_once_even_moved_or_copied(self, store, tmp_path, monkeypatch):
        path = shutil.copy(cached_clip("plain.mp4", seconds=2, fps=25, size=(320, 240)), tmp_path / "a.mp4")
        first = np.array(store.frames(path))
        store.clip(path, SPEC)
        for decoder in ("decode_footage", "decode"):
            monkeypatch.setattr(frames_module, decoder, lambda *_: pytest.fail("decoded again"))
        copy = shutil.copy(path, tmp_path / "b.mp4")
        again = FrameStore(tmp_path / "cache", 120)
        np.testing.assert_array_equal(again.frames(copy), first)
        assert again.clip(copy, SPEC).shape == (8, 96, 128, 3)

    def test_a_video_replaced_by_another_is_noticed(self, store, tmp_path):
        path = shutil.copy(cached_clip("plain.mp4", seconds=2, fps=25, size=(320, 240)), tmp_path / "a.mp4")
        assert len(store.frames(path)) == 50
        shutil.copy(cached_clip("small.mp4", size=(96, 64), seconds=0.4), path)
        assert len(store.frames(path)) == 10

    def test_another_short_side_is_kept_apart(self, store, tmp_path):
        path = cached_clip("plain.mp4", seconds=2, fps=25, size=(320, 240))
        assert store.frames(path).shape[1] == 120
        assert FrameStore(tmp_path / "cache", 60).frames(path).shape[1] == 60

    def test_frames_are_mapped_and_nobody_can_write_them(self, store):
        frames_THWC = store.frames(cached_clip("small.mp4", size=(96, 64), seconds=0.4))
        assert isinstance(frames_THWC, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            frames_THWC[:] = 0

    def test_a_write_that_fails_leaves_nothing(self, store, tmp_path, monkeypatch):
        def fails(*_):
            raise OSError("no space left on device")

        monkeypatch.setattr(frames_module, "write_footage", fails)
        with pytest.raises(OSError, match="no space"):
            store.footage(cached_clip("small.mp4", size=(96, 64), seconds=0.4))
        left = [entry.name for entry in (tmp_path / "cache").rglob("*") if entry.is_file()]
        assert left == ["hashes.sqlite"]  # which videos are the same is known; no frames are

    def test_several_may_fill_it_at_once(self, store, tmp_path):
        path = cached_clip("plain.mp4", seconds=2, fps=25, size=(320, 240))
        seen = []
        both_ready = threading.Barrier(4)

        def read():
            both_ready.wait()
            seen.append(np.array(FrameStore(tmp_path / "cache", 120).frames(path)))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 4
        for frames_THWC in seen:
            np.testing.assert_array_equal(frames_THWC, seen[0])
        assert len(os.listdir(next((tmp_path / "cache").iterdir()))) == 1

    def test_threads_read_headers_one_at_a_time(self, store, monkeypatch):
        """They are parsed as Python literals, which in CPython 3.11 fails now and then where two threads do it."""
        path = cached_clip("small.mp4", size=(96, 64), seconds=0.4)
        store.footage(path)
        store.clip(path, SPEC)
        load, loading, alone = np.load, threading.Lock(), []

        def slow_load(*arguments, **options):
            alone.append(loading.acquire(blocking=False))
            time.sleep(0.005)
            if alone[-1]:
                loading.release()
            return load(*arguments, **options)

        monkeypatch.setattr(np, "load", slow_load)
        reads = [store.footage, partial(store.clip, clip_rule=SPEC)] * 4
        with ThreadPoolExecutor(len(reads)) as pool:
            list(pool.map(lambda read: read(path), reads))
        assert alone == [True] * len(reads)


class TestFilling:
    @staticmethod
    def spoilt(path):
        """Head and index are in order, so that it opens; its pictures are not."""
        whole = cached_clip("whole.mp4", seconds=2, fps=25, size=(320, 240)).read_bytes()
        position = whole.index(b"mdat") + 4
        middle = bytes(255 - byte for byte in whole[position : position + 20_000])
        path.write_bytes(whole[:position] + middle + whole[position + 20_000 :])
        return path

    def samples(self, tmp_path, num_good):
        good = cached_clip("small.mp4", size=(96, 64), seconds=0.4)
        paths = [Path(shutil.copy(good, tmp_path / f"{n}.mp4")) for n in range(num_good)]
        paths.append(self.spoilt(tmp_path / "damaged.mp4"))
        return Dataset(("a", "b"), tuple(Sample(path, n % 2) for n, path in enumerate(paths)))

    def test_leaves_out_and_lists_what_does_not_decode(self, store, tmp_path):
        told = []
        filled = store.fill(self.samples(tmp_path, 12), report=told.append)
        assert len(filled) == 12
        assert [entry.path.name for entry in filled.unreadable] == ["damaged.mp4"]
        assert told == list(range(1, 14))

    def test_several_processes_decode_what_one_does_and_tell_the_same(self, store, tmp_path):
        samples, told = self.samples(tmp_path, 12), []
        filled = store.fill(samples, num_workers=2, report=told.append)
        assert [entry.path.name for entry in filled.unreadable] == ["damaged.mp4"]
        assert told == list(range(1, 14))
        alone = FrameStore(tmp_path / "other", 120)
        path = filled.samples[0].path
        assert np.array_equal(store.frames(path), alone.frames(path))

    def test_no_process_is_started_for_what_is_there(self, store, tmp_path, monkeypatch):
        samples = self.samples(tmp_path, 12)
        filled, told = store.fill(samples, clips_alone=SPEC), []

        def none_is_needed(*_: object) -> None:
            raise AssertionError("a process was started")

        monkeypatch.setattr("training.data.frames.ProcessPoolExecutor", none_is_needed)
        assert store.fill(samples, clips_alone=SPEC, num_workers=2, report=told.append) == filled
        assert told == list(range(1, 14))
        with pytest.raises(AssertionError, match="a process was started"):
            store.fill(samples, num_workers=2)  # all frames of the same videos are not there

    def test_some_that_are_there_are_told_in_their_place(self, store, tmp_path):
        samples, told = self.samples(tmp_path, 3), []
        store.fill(samples, max_unreadable_share=0.5)
        others = [cached_clip(f"other-{n}.mp4", size=(96, 64), seconds=0.4 + 0.2 * n) for n in range(3)]
        one_more = self.spoilt(tmp_path / "one_more.mp4")
        paths = [one_more, *others, *(sample.path for sample in samples.samples)]
        mixed = Dataset(("a", "b"), tuple(Sample(path, n % 2) for n, path in enumerate(paths)))
        filled = store.fill(mixed, max_unreadable_share=0.5, num_workers=2, report=told.append)
        assert [entry.path.name for entry in filled.unreadable] == ["one_more.mp4", "damaged.mp4"]
        assert told == list(range(1, 9))
        assert all(store.holds(path) for path in others)
        assert not store.holds(others[0], SPEC)

    def test_stops_where_that_is_too_much(self, store, tmp_path):
        with pytest.raises(DatasetError, match=r"1 of 5 videos cannot be read.*\n.*damaged\.mp4"):
            store.fill(self.samples(tmp_path, 4))

    def test_an_error_names_the_video(self, store, tmp_path):
        (tmp_path / "x.mp4").write_bytes(b"nothing")
        with pytest.raises(VideoUnreadable, match=r"x\.mp4: the file is empty, damaged"):
            store.footage(tmp_path / "x.mp4")
        with pytest.raises(VideoError, match=r"x\.mp4"):
            store.clip(tmp_path / "x.mp4", SPEC)
