"""A turn that is kept for a video that is being decoded, and for how long."""

import pytest

from service.engine.engine import HELD_S, SOON_S
from service.engine.lanes import Lane, Owner

from .benches import Bench, Listener
from .making import GLANCE, a_request


class TestATurnThatIsKept:
    """Steps are not divided: one that takes long is not begun just before a video comes whose turn it would be."""

    GREEDY, MODEST = (Lane("upload", 0.5, Owner(name)) for name in ("greedy", "modest"))

    def bench(self, glance_s: float = 1.0) -> Bench:
        """Greedy was served, and has one more that is ready."""
        bench = Bench()
        bench.add(a_request(lane=self.GREEDY))
        bench.run()
        for _ in range(100):
            bench.engine.flop_rate.observe(GLANCE, glance_s)
        bench.add(a_request(lane=self.GREEDY))
        return bench

    def expecting(self, bench: Bench, lane: Lane, within_s: float = 0.01) -> float:
        bench.engine.expect(lane, within_s)
        bench.deliver()
        return bench.engine._held_s()

    def test_for_a_video_that_is_being_decoded_but_not_for_long(self):
        bench = self.bench()
        assert self.expecting(bench, self.MODEST) == HELD_S
        bench.now_s += HELD_S
        assert bench.engine._held_s() == 0

    def test_once_it_has_come_there_is_nothing_to_wait_for(self):
        bench = self.bench()
        self.expecting(bench, self.MODEST)
        bench.engine.submit(a_request(lane=self.MODEST))
        bench.deliver()
        assert bench.engine._held_s() == 0

    def test_not_where_decoding_takes_long(self):
        assert self.expecting(self.bench(), self.MODEST, within_s=1.01 * SOON_S) == 0

    def test_not_where_a_step_is_short(self):
        assert self.expecting(self.bench(glance_s=0.001), self.MODEST) == 0

    def test_not_for_more_videos_of_one_who_waits_already_or_was_served_more(self):
        assert self.expecting(self.bench(), self.GREEDY) == 0
        bench = Bench()
        bench.engine.flop_rate.observe(GLANCE, 1.0)
        bench.add(a_request(lane=self.MODEST))
        bench.run()
        bench.add(a_request(lane=self.GREEDY))
        assert self.expecting(bench, self.MODEST) == 0

    def test_no_longer_for_videos_that_are_announced_one_after_the_other_and_never_come(self):
        bench = self.bench()
        kept_s = 0.0
        for _ in range(50):  # as of damaged files: each is announced before the one before it is forgotten
            if not self.expecting(bench, self.MODEST):
                break
            bench.now_s += HELD_S / 3
            kept_s += HELD_S / 3
        assert kept_s <= HELD_S * 1.01
        assert self.expecting(bench, self.MODEST) == 0

    def test_again_once_a_video_has_come_after_all(self):
        bench = self.bench()
        self.expecting(bench, self.MODEST)
        bench.now_s += HELD_S
        assert bench.engine._held_s() == 0
        late = a_request(lane=self.MODEST)
        late.emit = Listener()
        bench.engine.submit(late)
        bench.deliver()
        bench.run()
        bench.add(a_request(lane=self.GREEDY))
        bench.run()
        bench.add(a_request(lane=self.GREEDY))
        assert self.expecting(bench, self.MODEST) == pytest.approx(HELD_S)

    def test_not_for_one_whose_further_frames_have_come(self):
        bench = self.bench()
        request = a_request(lane=self.MODEST)
        bench.engine._scheduler.park(request)
        assert self.expecting(bench, self.MODEST) == HELD_S
        bench.engine.frames_came(request)
        bench.deliver()
        assert bench.engine._coming == []
