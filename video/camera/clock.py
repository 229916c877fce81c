"""Which time a camera's pictures get: that of its own clock, or that of their arrival. Pure arithmetic, told the time.

Cameras' clocks run slow or fast, stand still, start again, or say anything. `auto` believes one until there is evidence
against it, and never again on this connection. Evidence is how arrival and camera time move against each other: a
network's delay comes and goes, a wrong clock's goes on.
"""

from collections import deque
from fractions import Fraction
from itertools import pairwise

from fovea.words import Clock, ClockUsed
from video.camera.timeline import FORWARD_S, Timeline

BEHIND_S, BEHIND_FOR_S, BEHIND_PACKETS = 2.0, 3.0, 5  # later than the least delayed packet, all packets of that time
AHEAD_S = 5.0  # sooner than packets of late; a server may send a few seconds at once when it begins
DRIFT = 0.02  # steady, in seconds a second
RECENT, LONG = (0.5, 3, 60), (4.0, 8, 4)  # seconds and packets of a block at least, blocks: for sprints, and for drifts
MAX_BREAKS, BREAKS_S = 10, 60.0  # of a clock that is believed because somebody asked for it


class StreamClock:
    """Of one connection. Stream time goes on without a jump when `auto` turns from the one clock to the other."""

    def __init__(self, asked: Clock, gap_s: float = float(FORWARD_S)) -> None:
        self._asked = asked
        self._gap_s = gap_s
        self._timeline = Timeline(_exact(gap_s))
        self._evidence = Evidence()
        self.used: ClockUsed = "arrival" if asked is Clock.ARRIVAL else "camera"
        self.is_wild = False  # nothing can be made of the time that was asked for
        self._breaks: deque[float] = deque(maxlen=MAX_BREAKS)
        self._arrived_s: float | None = None  # the latest packet
        self._base_s = 0.0  # stream time less monotonic time, once arrival counts

    def take(self, camera_s: Fraction | None, arrived_s: float, was_awaited: bool) -> bool:
        """A packet came; whether a new epoch begins with it. `was_awaited`: it did not lie there, unread."""
        silence_s = 0.0 if self._arrived_s is None else arrived_s - self._arrived_s
        self._arrived_s = arrived_s
        if self.used == "arrival":
            return silence_s > self._gap_s
        if camera_s is not None and self._timeline.jumps_to(camera_s):
            if self._asked is Clock.AUTO and not self._is_gap(camera_s, arrived_s):
                self._distrust()
                return False
            self._note_break(arrived_s)
            self._timeline, self._evidence = Timeline(_exact(self._gap_s)), Evidence()
            self._timeline.note(camera_s, arrived_s)
            return True
        if camera_s is not None:
            self._timeline.note(camera_s, arrived_s)
        if self._asked is Clock.AUTO and was_awaited and self._is_wrong(camera_s, arrived_s):
            self._distrust()
        return False

    def now_s(self) -> Fraction | None:
        """The stream time of the latest packet; None before there is one."""
        if self.used == "camera":
            return None if self._timeline.latest is None else self._timeline.latest[0]
        assert self._arrived_s is not None
        return _exact(self._base_s + self._arrived_s)

    def time_s(self, camera_s: Fraction | None) -> Fraction | None:
        """The stream time of a picture that the latest packet brought out, and that has this time of the camera's."""
        return camera_s if self.used == "camera" else self.now_s()

    def arrival_s(self, time_s: Fraction) -> float:
        """When a picture of that stream time arrived, or would have without delays; monotonic clock."""
        return self._timeline.arrival_s(time_s) if self.used == "camera" else float(time_s) - self._base_s

    def _is_gap(self, camera_s: Fraction, arrived_s: float) -> bool:
        """Whether the camera's time jumped by as much as nothing came."""
        assert self._timeline.latest is not None
        step_s, silence_s = float(camera_s - self._timeline.latest[0]), arrived_s - self._timeline.latest[1]
        return abs(step_s - silence_s) < max(1.0, 0.2 * silence_s)

    def _is_wrong(self, camera_s: Fraction | None, arrived_s: float) -> bool:
        latest = self._timeline.latest
        if latest is None:  # none of its packets has a time
            return self._evidence.is_behind(BEHIND_S, arrived_s)
        camera_s = latest[0] if camera_s is None else camera_s
        behind = self._evidence.is_behind(arrived_s - self._timeline.arrival_s(camera_s), arrived_s)
        return behind or self._evidence.runs(arrived_s - float(camera_s), arrived_s)

    def _distrust(self) -> None:
        latest = self._timeline.latest
        assert self._arrived_s is not None
        self.used = "arrival"
        self._base_s = -self._arrived_s if latest is None else float(latest[0]) - latest[1]

    def _note_break(self, arrived_s: float) -> None:
        self._breaks.append(arrived_s)
        self.is_wild = len(self._breaks) == MAX_BREAKS and arrived_s - self._breaks[0] < BREAKS_S


class Evidence:
    """Against a clock: how packets come by it."""

    def __init__(self) -> None:
        self._behind: tuple[float, int] | None = None  # since when, how many packets
        self._recent = Leasts(*RECENT)
        self._long = Leasts(*LONG)

    def is_behind(self, behind_s: float, arrived_s: float) -> bool:
        """Whether packets keep coming later than the least delayed one."""
        if behind_s < BEHIND_S:
            self._behind = None
            return False
        since_s, packets = self._behind or (arrived_s, 0)
        self._behind = since_s, packets + 1
        return packets + 1 >= BEHIND_PACKETS and arrived_s - since_s >= BEHIND_FOR_S

    def runs(self, delay_s: float, arrived_s: float) -> bool:
        """Whether the delay, plus any constant, shrinks far or goes on in one direction."""
        if not self._recent.of_blocks:
            self._recent.of_blocks.append((arrived_s, delay_s))
        is_ahead = delay_s < max(least_s for _, least_s in self._recent.of_blocks) - AHEAD_S
        self._recent.note(delay_s, arrived_s)
        return (self._long.note(delay_s, arrived_s) and self._drifts()) or is_ahead

    def _drifts(self) -> bool:
        """Each block's delay must have its part in it: a network that became slower at one moment is no clock."""
        blocks = list(self._long.of_blocks)
        seconds, drift_s = blocks[-1][0] - blocks[0][0], blocks[-1][1] - blocks[0][1]
        if len(blocks) < LONG[2] or abs(drift_s) < DRIFT * seconds:
            return False
        steps = [later[1] - earlier[1] for earlier, later in pairwise(blocks)]
        return all(step / drift_s > 1 / (3 * len(steps)) for step in steps)


class Leasts:
    """The least delay of each of the latest blocks of packets: what the network adds comes and goes within a block."""

    def __init__(self, seconds: float, packets: int, blocks: int) -> None:
        self.of_blocks: deque[tuple[float, float]] = deque(maxlen=blocks)  # began, least delay
        self._seconds, self._packets = seconds, packets
        self._block: tuple[float, int, float] | None = None  # of the one that goes on: began, packets, least delay

    def note(self, delay_s: float, arrived_s: float) -> bool:
        """Whether a block is over with this packet."""
        began_s, packets, least_s = self._block or (arrived_s, 0, delay_s)
        packets, least_s = packets + 1, min(least_s, delay_s)
        self._block = began_s, packets, least_s
        is_over = arrived_s - began_s >= self._seconds and packets >= self._packets
        if is_over:
            self.of_blocks.append((began_s, least_s))
            self._block = None
        return is_over


def _exact(seconds: float) -> Fraction:
    return Fraction(round(seconds * 10**6), 10**6)
