"""The synthetic benchmark's clips: the glance can know where and when, but not what; the same seed, the same clips."""

import numpy as np

from benchmarks.needle_clips import (
    CHUNK,
    CLASSES,
    NEEDLE_PX,
    NUM_FRAMES,
    SHOWN_FRAMES,
    NeedleClips,
    make_needles,
    needle_chunk,
)

NEEDLES = make_needles(40, seed=3)


def shrunk(clip_THWC):
    """Half the size, each pixel the mean of 2 x 2: what a glance at half the frame's size sees."""
    wide = clip_THWC.astype(np.float64)
    return (wide[:, ::2, ::2] + wide[:, 1::2, ::2] + wide[:, ::2, 1::2] + wide[:, 1::2, 1::2]) / 4


def needle_in(clip_THWC, centre_3, size_px):
    t, y, x = (round(value) for value in centre_3)
    half = size_px // 2
    return clip_THWC[min(t, NUM_FRAMES - 1), y - half : y + half, x - half : x + half]


def test_shrunk_by_two_a_needle_of_any_class_is_the_same_grey_square():
    seen = set()
    for i in np.flatnonzero(~NEEDLES.easy_N & ~NEEDLES.decoy_N):
        t, y, x = NEEDLES.centres_N3[i]
        square = needle_in(shrunk(NEEDLES.clips_NTHWC[i]), (t - 1, y / 2, x / 2), NEEDLE_PX // 2)[2:-2, 2:-2]
        covered = np.ptp(square, axis=(0, 1)).max() > 0  # the disc may pass over nothing: it is drawn below
        assert not covered
        seen.add((int(NEEDLES.labels_N[i]), *square[0, 0].tolist()))
    assert {label for label, *_ in seen} == set(range(len(CLASSES)))
    assert len({tuple(grey) for _, *grey in seen}) == 1


def test_at_full_size_the_stripes_are_plain_to_see():
    for i in np.flatnonzero(~NEEDLES.easy_N)[:10]:
        t, y, x = NEEDLES.centres_N3[i]
        square = needle_in(NEEDLES.clips_NTHWC[i], (t - 1, y, x), NEEDLE_PX)[2:-2, 2:-2, 0]
        assert len(np.unique(square)) == 2


def test_the_stripes_of_an_easy_clip_survive_shrinking():
    for i in np.flatnonzero(NEEDLES.easy_N)[:5]:
        t, y, x = NEEDLES.centres_N3[i]
        square = needle_in(shrunk(NEEDLES.clips_NTHWC[i]), (t - 1, y / 2, x / 2), 16)[..., 0]
        assert np.ptp(square) > 100


def test_a_needle_shows_in_its_frames_alone():
    for i in range(10):
        t, y, x = NEEDLES.centres_N3[i]
        first = round(t - SHOWN_FRAMES / 2)
        spot = NEEDLES.clips_NTHWC[i, :, round(y), round(x), 0].astype(int)
        gone = [frame for frame in range(NUM_FRAMES) if not first <= frame < first + SHOWN_FRAMES]
        assert all(spot[frame] < 140 or spot[frame] in (90,) for frame in gone)


def test_the_same_seed_gives_the_same_clips_and_another_seed_others():
    again, other = make_needles(3, seed=3), make_needles(3, seed=4)
    np.testing.assert_array_equal(again.clips_NTHWC, make_needles(3, seed=3).clips_NTHWC)
    assert (again.clips_NTHWC != other.clips_NTHWC).any()


def test_clips_made_when_asked_for_are_those_of_their_chunk_whatever_is_cut_out():
    clips = NeedleClips(5, range(2 * CHUNK))[CHUNK - 1 :]
    assert len(clips) == CHUNK + 1
    np.testing.assert_array_equal(clips[0], needle_chunk(5, 0).clips_NTHWC[CHUNK - 1])
    np.testing.assert_array_equal(clips[2], needle_chunk(5, 1).clips_NTHWC[1])
