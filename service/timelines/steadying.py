"""What windows say, made steady before they become segments: neighbours see most of the same seconds. Knows no video.

A window that holds a bit of what happens scores less than one that holds all of it, and one that lies across a change
may say anything. So the window that holds the most of it speaks for those beside it. A label reaches into windows that
score too little, as long as it is the likeliest there. And what does not last longer than half a window is no segment
of its own.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from service.timelines.plan import SLACK_S, WindowGrid, num_within_half
from service.timelines.values import Sighting


class Steady:
    """Hears windows in order, and tells the same ones, up to a window and a half later, with the labels that stay."""

    def __init__(self, window_s: float, stride_s: float) -> None:
        half_s = window_s / 2
        most = num_within_half(window_s, stride_s)
        overlaps = stride_s < half_s - SLACK_S  # each window by more than half with the next
        self._speaking = _Speaking(most if overlaps else 0)
        self._reach = _Reach(most)
        self._lasting = _Lasting(half_s if overlaps else 0.0)

    @classmethod
    def of(cls, grid: WindowGrid) -> "Steady":
        return cls(grid.window_s, grid.stride_s)

    def take(self, sighting: Sighting) -> Iterator[Sighting]:
        for spoken in self._speaking.take(sighting):
            yield from self._reached(spoken)

    def end(self) -> Iterator[Sighting]:
        """Those that are left."""
        for spoken in self._speaking.end():
            yield from self._reached(spoken)
        for reached in self._reach.end():
            yield from self._lasting.take(reached)
        yield from self._lasting.end()

    def _reached(self, spoken: Sighting) -> Iterator[Sighting]:
        for reached in self._reach.take(spoken):
            yield from self._lasting.take(reached)


class _Speaking:
    """A window that decides and has a label speaks for `most` windows before and behind it; of two the nearest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heard: deque[Sighting] = deque()  # some that were told, the next one to be told, those behind it
        self._num_before = 0  # how many of these were told

    def take(self, sighting: Sighting) -> Iterator[Sighting]:
        self._heard.append(sighting)
        if len(self._heard) > self._num_before + self._most:
            yield self._told()

    def end(self) -> Iterator[Sighting]:
        while len(self._heard) > self._num_before:
            yield self._told()

    def _told(self) -> Sighting:
        own = self._num_before
        speakers = [place for place, one in enumerate(self._heard) if one.decides and one.label is not None]
        sighting = self._heard[own]
        if speakers:
            speaker = self._heard[min(speakers, key=lambda place: abs(place - own))]
            sighting = replace(
                sighting,
                label=speaker.label,
                likeliest=speaker.likeliest,
                probabilities_C=speaker.probabilities_C,
                entropy_nats=speaker.entropy_nats,
            )
        if own == self._most:
            self._heard.popleft()
        else:
            self._num_before += 1
        return sighting


class _Reach:
    """A label reaches `most` windows far, where it is the likeliest and none is likely enough."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._label: str | None = None  # of the window before
        self._num_reached = 0  # by it so far
        self._waiting: deque[Sighting] = deque()  # without a label: one that comes may reach back to them

    def take(self, sighting: Sighting) -> Iterator[Sighting]:
        if sighting.label is not None:
            yield from self._reached_back(sighting.label)
            self._label, self._num_reached = sighting.label, 0
            yield sighting
        elif self._label is not None and sighting.likeliest == self._label and self._num_reached < self._most:
            self._num_reached += 1
            yield replace(sighting, label=self._label)
        else:
            self._label = None
            self._waiting.append(sighting)
            if len(self._waiting) > self._most:
                yield self._waiting.popleft()

    def _reached_back(self, label: str) -> Iterator[Sighting]:
        waiting = list(self._waiting)
        self._waiting.clear()
        first = len(waiting)
        while first and waiting[first - 1].likeliest == label:
            first -= 1
        yield from waiting[:first]
        for sighting in waiting[first:]:
            yield replace(sighting, label=label)

    def end(self) -> Iterator[Sighting]:
        yield from self._waiting
        self._waiting.clear()


class _Lasting:
    """What does not last longer than `least_s` gets the label of both its neighbours, or none where they differ."""

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._before: str | None = None  # what was settled last
        self._label: str | None = None  # of the windows in a row that came last
        self._start_s = 0.0  # of these
        self._is_settled = True  # whether they last
        self._held: list[Sighting] = []  # of these, while they may not

    def take(self, sighting: Sighting) -> Iterator[Sighting]:
        if sighting.label != self._label:
            yield from self._settle(sighting.label)
            self._label, self._start_s = sighting.label, sighting.start_s
            self._is_settled = sighting.label == self._before
        self._held.append(sighting)
        if self._is_settled or sighting.end_s - self._start_s > self._least_s + SLACK_S:
            self._is_settled, self._before = True, self._label
            yield from self._held
            self._held.clear()

    def _settle(self, after: str | None) -> Iterator[Sighting]:
        """Those in a row that came last, if they do not last: now it is known what comes after them."""
        if self._held:
            self._before = self._before if self._before == after else None
            for sighting in self._held:
                yield replace(sighting, label=self._before)
            self._held.clear()

    def end(self) -> Iterator[Sighting]:
        """What comes after the last ones nobody knows: they stay."""
        yield from self._held
        self._held.clear()
