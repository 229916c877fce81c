"""From windows to segments: neighbours of one label are joined as they come. Knows no engine and no video."""

from collections.abc import Iterator

import numpy as np

from service.timelines.values import Point, Segment, Sighting

MAX_POINTS = 1000  # of a curve; twice as many are thinned to half


class Joiner:
    """Hears windows in order; tells a segment as soon as nothing can change it."""

    def __init__(self, num_labels: int, *, merge: bool) -> None:
        self._merge = merge
        self._sum = np.zeros(num_labels, np.float64)  # of probabilities, over the windows that have some
        self._entropy_nats = 0.0
        self._num_known = self._num = self._spent_flops = 0
        self._start_s = self._end_s = 0.0
        self._label: str | None = None
        self.num_told = 0

    def take(self, sighting: Sighting) -> Iterator[Segment]:
        label = sighting.label
        if self._num and (label != self._label or not self._merge):
            yield self._told()
        if not self._num:
            self._start_s, self._label = sighting.start_s, label
        self._end_s = sighting.end_s
        self._num += 1
        self._spent_flops += sighting.spent_flops
        if sighting.probabilities_C is not None:
            self._sum += sighting.probabilities_C
            self._entropy_nats += sighting.entropy_nats
            self._num_known += 1

    def end(self) -> Iterator[Segment]:
        """The last one."""
        if self._num:
            yield self._told()

    def _told(self) -> Segment:
        known = self._num_known
        segment = Segment(
            start_s=self._start_s,
            end_s=self._end_s,
            label=self._label,
            probabilities_C=(self._sum / known).astype(np.float32) if known else None,
            entropy_nats=self._entropy_nats / known if known else None,
            spent_flops=self._spent_flops,
            num_windows=self._num,
        )
        self._sum[:] = 0
        self._entropy_nats = 0.0
        self._num = self._num_known = self._spent_flops = 0
        self.num_told += 1
        return segment


class Curve:
    """At most MAX_POINTS and some: of two neighbours the likelier one stays, again and again."""

    def __init__(self) -> None:
        self._points: list[Point] = []
        self._every, self._pending = 1, 0  # windows a point stands for; those of the last point
        self._best: Point | None = None

    def take(self, point: Point) -> None:
        self._best = _surer(self._best, point)
        self._pending += 1
        if self._pending < self._every:
            return
        self._points.append(self._best)
        self._best, self._pending = None, 0
        if len(self._points) >= 2 * MAX_POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [_surer(one, other) for one, other in pairs]
            self._every *= 2

    def points(self) -> tuple[Point, ...]:
        return tuple(self._points if self._best is None else [*self._points, self._best])


def _surer(one: Point | None, other: Point) -> Point:
    return other if one is None or other.score > one.score else one
