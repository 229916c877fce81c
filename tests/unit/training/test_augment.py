"""Augmentation: each kind does what it says, to all frames of a clip alike, and nothing else."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.augment import SMALL_SET, Augmentation, augmented_clip
from training.data.footage import Footage
from video.clip import ClipRule

SPEC = ClipRule(4, 24, 32, "center_crop")
ALL = replace(SMALL_SET, flip=("*",), erasing=1.0)


def footage_of(frames_THWC, fps=10):
    count = len(frames_THWC)
    return Footage(frames_THWC, tuple(range(count)), (True,) + (False,) * (count - 1), count, Fraction(1, fps))


def numbered(count=20, height=24, width=32):
    """Frame n is grey of level 10 n."""
    levels_T = 10 * np.arange(count, dtype=np.uint8)
    return footage_of(np.broadcast_to(levels_T[:, None, None, None], (count, height, width, 3)).copy())


def ramps(height=48, width=64, count=8):
    """Red rises by four from left to right with x, green by five with y; blue is 77."""
    picture_HWC = np.empty((height, width, 3), np.uint8)
    picture_HWC[..., 0] = 255 * np.arange(width) / width
    picture_HWC[..., 1] = 255 * np.arange(height)[:, None] / height
    picture_HWC[..., 2] = 77
    return footage_of(np.broadcast_to(picture_HWC, (count, height, width, 3)).copy())


def clip(footage, augmentation, seed=0, spec=SPEC, **how):
    return augmented_clip(footage, spec, augmentation, np.random.default_rng(seed), **how)


def levels(clip_THWC):
    """Frame numbers of a clip of `numbered`."""
    return (clip_THWC.mean(axis=(1, 2, 3)) / 10).round().astype(int).tolist()


class TestAnyClip:
    @given(
        st.integers(0, 2**31),
        st.sampled_from(["center_crop", "letterbox", "stretch"]),
        st.integers(1, 40),
        st.integers(2, 60),
        st.integers(2, 60),
    )
    def test_has_the_rules_size_and_repeats_with_its_seed(self, seed, resize, count, height, width):
        rng = np.random.default_rng(seed)
        footage = footage_of(rng.integers(0, 256, (count, height, width, 3), np.uint8))
        spec = replace(SPEC, resize=resize)
        first = clip(footage, ALL, seed, spec, may_flip=True)
        assert (first.shape, first.dtype) == ((4, 24, 32, 3), np.uint8)
        np.testing.assert_array_equal(first, clip(footage, ALL, seed, spec, may_flip=True))

    def test_of_another_seed_is_another_one(self):
        assert not np.array_equal(clip(ramps(), ALL, seed=1), clip(ramps(), ALL, seed=2))

    def test_never_writes_into_the_store(self):
        footage = ramps()
        footage.frames_THWC.flags.writeable = False
        for seed in range(5):
            clip(footage, ALL, seed, may_flip=True)

    def test_of_a_still_video_is_still(self):
        """Crop, mirror, colours and erased patch are drawn once per clip."""
        for seed in range(10):
            clip_THWC = clip(ramps(), ALL, seed, may_flip=True)
            np.testing.assert_array_equal(clip_THWC, np.broadcast_to(clip_THWC[0], clip_THWC.shape))


class TestTime:
    def test_without_augmentation_frames_are_nearest_to_the_segments_centres(self):
        assert levels(clip(numbered(20), Augmentation())) == [2, 7, 12, 17]  # centres 2.5, ...: the earlier on a tie

    def test_a_random_frame_lies_in_its_segment(self):
        seen = [set() for _ in range(4)]
        for seed in range(60):
            for segment, number in enumerate(levels(clip(numbered(20), Augmentation(random_frames=True), seed))):
                assert 5 * segment <= number <= 5 * segment + 5  # a time just before the end is nearest to the next
                seen[segment].add(number)
        assert min(len(numbers) for numbers in seen) >= 5

    def test_a_shorter_span_plays_slower_and_forwards(self):
        reaches = []
        for seed in range(30):
            numbers = levels(clip(numbered(20), Augmentation(least_span=0.3), seed))
            assert numbers == sorted(numbers)
            reaches.append(numbers[-1] - numbers[0])
        assert min(reaches) <= 7  # three quarters of 6 frames are 4
        assert max(reaches) >= 13  # of 20, 15

    def test_a_video_of_one_frame_is_repeated(self):
        assert levels(clip(numbered(1), Augmentation(random_frames=True, least_span=0.5))) == [0] * 4


class TestCrops:
    def test_the_full_scale_of_the_same_aspect_is_the_whole_picture(self):
        expected = clip(ramps(), Augmentation())
        np.testing.assert_allclose(clip(ramps(), Augmentation(scales=(1.0,))), expected, atol=6)

    def test_are_windows_of_the_scales_asked_for(self):
        """The ramps tell which part of the picture is seen."""
        extents = set()
        for seed in range(80):
            (frame_HWC, *_) = clip(ramps(), Augmentation(scales=(1.0, 0.75, 0.5)), seed).astype(float)
            wide = (frame_HWC[12, 30, 0] - frame_HWC[12, 1, 0]) / 29 * 32 / 255
            high = (frame_HWC[22, 16, 1] - frame_HWC[1, 16, 1]) / 21 * 24 / 255
            nearest = [min((1.0, 0.75, 0.5), key=lambda scale: abs(scale - side)) for side in (wide, high)]
            assert [wide, high] == pytest.approx(nearest, abs=0.05)
            extents.add(tuple(nearest))
        assert extents == {(1, 1), (1, 0.75), (0.75, 1), (0.75, 0.75), (0.75, 0.5), (0.5, 0.75), (0.5, 0.5)}

    def test_reach_all_corners_and_the_centre(self):
        """Also of what a centre crop would cut: an action at the edge is seen in training."""
        seen = set()
        for seed in range(200):
            (frame_HWC, *_) = clip(ramps(48, 128), Augmentation(scales=(0.5,)), seed).astype(float)
            seen.add((round(frame_HWC[..., 1].mean() / 255 * 8) - 2, round(frame_HWC[..., 0].mean() / 255 * 16) - 2))
        corners = {(0, 0), (0, 12), (4, 0), (4, 12)}
        assert corners | {(2, 6)} <= seen
        assert len(seen) == 13

    def test_of_a_letterboxed_clip_keep_its_bars(self):
        spec = replace(SPEC, resize="letterbox")
        (frame_HWC, *_) = clip(ramps(32, 64), Augmentation(scales=(1.0,)), spec=spec)  # twice as wide as high: 16 rows
        assert not frame_HWC[:4].any()
        assert not frame_HWC[-4:].any()
        assert (frame_HWC[4:-4, :, 2] > 70).all()

    def test_of_a_stretched_clip_may_show_all_of_it(self):
        spec = replace(SPEC, resize="stretch")
        (frame_HWC, *_) = clip(ramps(24, 64), Augmentation(scales=(1.0,)), spec=spec)
        assert frame_HWC[12, 0, 0] < 10
        assert frame_HWC[12, -1, 0] > 245


class TestMirror:
    def test_turns_left_to_right_where_the_label_allows(self):
        plain = clip(ramps(), Augmentation())
        both = [clip(ramps(), Augmentation(flip=("*",)), seed, may_flip=True) for seed in range(20)]
        mirrored = [not np.array_equal(one, plain) for one in both]
        assert 3 < sum(mirrored) < 17
        np.testing.assert_array_equal(both[mirrored.index(True)], plain[:, :, ::-1])

    def test_never_without_leave(self):
        for seed in range(20):
            np.testing.assert_array_equal(clip(ramps(), Augmentation(flip=("*",)), seed), clip(ramps(), Augmentation()))


class TestColours:
    @given(st.integers(0, 2**31), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.2))
    def test_are_the_formula_within_rounding(self, seed, brightness, contrast, saturation, cast):
        rng = np.random.default_rng(seed)
        footage = footage_of(rng.integers(0, 256, (4, 24, 32, 3), np.uint8))
        augmentation = Augmentation(brightness=brightness, contrast=contrast, saturation=saturation, cast=cast)
        if augmentation == Augmentation():
            return
        drawn = np.random.default_rng(seed)
        gain, by_contrast, by_saturation = (1 + s * drawn.uniform(-1, 1) for s in (brightness, contrast, saturation))
        cast_C = 255 * cast * drawn.uniform(-1, 1, 3)
        pixels = footage.frames_THWC.astype(float)
        grey = pixels @ [0.299, 0.587, 0.114]
        toned = by_contrast * (by_saturation * pixels + (1 - by_saturation) * grey[..., None])
        expected = gain * (toned + (1 - by_contrast) * grey.mean()) + cast_C
        np.testing.assert_allclose(clip(footage, augmentation, seed), expected.clip(0, 255), atol=9)

    def test_of_a_grey_video_stay_grey_without_a_cast(self):
        clip_THWC = clip(numbered(4), Augmentation(brightness=0.5, contrast=0.5, saturation=0.5), seed=3)
        assert np.ptp(clip_THWC.astype(int), axis=3).max() <= 1
        tinted = clip(numbered(4), Augmentation(cast=0.2), seed=3)
        assert np.ptp(tinted.astype(int), axis=3).max() > 5


class TestErasing:
    def test_covers_one_rectangle_of_2_to_20_percent(self):
        plain = clip(ramps(), Augmentation())
        for seed in range(30):
            changed_HW = (clip(ramps(), Augmentation(erasing=1.0), seed) != plain).any(axis=(0, 3))
            rows, columns = np.flatnonzero(changed_HW.any(axis=1)), np.flatnonzero(changed_HW.any(axis=0))
            box_HW = changed_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert box_HW.mean() > 0.9
            assert 0.01 < changed_HW.mean() < 0.25

    def test_happens_as_often_as_asked(self):
        plain = clip(ramps(), Augmentation())
        erased = [not np.array_equal(clip(ramps(), Augmentation(erasing=0.5), seed), plain) for seed in range(40)]
        assert 8 < sum(erased) < 32


class TestTheConfiguration:
    def test_survives_json(self):
        assert Augmentation.from_dict(json.loads(json.dumps(ALL.to_dict()))) == ALL

    @pytest.mark.parametrize(
        ("wrong", "complaint"),
        [
            ({"scales": (1.2,)}, r"scales are \(1.2,\)"),
            ({"least_span": 0}, "least_span is 0"),
            ({"brightness": 0.6}, r"brightness is 0.6, but must lie in \[0, 0.5\]"),
            ({"cast": -0.1}, "cast is -0.1"),
            ({"erasing": 1.5}, "erasing is 1.5"),
            ({"mixup_alpha": -1}, "mixup_alpha is -1"),
            ({"mixup_alpha": float("nan")}, "mixup_alpha is nan"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, wrong, complaint):
        with pytest.raises(ValueError, match=complaint):
            Augmentation(**wrong)

    def test_refuses_unknown_and_ill_typed_entries(self):
        with pytest.raises(ValueError, match=r"unknown entries \['hue'\]"):
            Augmentation.from_dict({"hue": 0.1})
        with pytest.raises(ValueError, match="not an augmentation"):
            Augmentation.from_dict({"erasing": "often"})
