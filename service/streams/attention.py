"""When keyframes are enough: full decoding sleeps while a scene is quiet, and wakes when something changes.

Knows labels, entropies and keyframe intervals; no camera. Decoding is what a camera costs most of, whatever the model.
"""

from dataclasses import dataclass

from fovea.words import Decode, Mode

QUIET_WINDOWS = 5  # in a row, before full decoding sleeps
MAX_QUIET_WINDOWS = 80  # a sleep that is cut short doubles that number, up to here
ENTROPY_CHANGE_NATS = 0.25  # against the mean of the quiet windows


@dataclass(frozen=True, slots=True)
class Sight:
    """What a window's recognition says about the scene."""

    label: str | None
    entropy_nats: float  # of the glance
    settled: bool  # the glance was sure enough; no cube was looked at


class Attention:
    """Of one camera. `mode` is what to decode."""

    def __init__(
        self,
        asked: Decode,
        *,
        window_s: float,
        least_keyframes: int,
        quiet_windows: int = QUIET_WINDOWS,
        max_quiet_windows: int = MAX_QUIET_WINDOWS,
    ) -> None:
        self._quiet_windows, self._max_quiet_windows = quiet_windows, max_quiet_windows
        self._asked = asked
        self._window_s = window_s
        self._least_keyframes = least_keyframes
        self._last: Sight | None = None
        self._quiet = 0  # windows in a row
        self._usual_nats = 0.0  # mean entropy of those
        self._asleep = 0  # windows since full decoding sleeps
        self._needed = quiet_windows
        self.mode: Mode = "keyframes" if asked is Decode.KEYFRAMES else "all"

    def start_anew(self) -> None:
        """After a break nothing is known of the scene."""
        self._last, self._quiet = None, 0
        if self._asked is Decode.AUTO:
            self.mode = "all"

    def note(self, sight: Sight, keyframe_interval_s: float | None) -> Mode:
        """What to decode after this window."""
        self._count(sight)
        if self._asked is Decode.AUTO:
            if self._quiet == 0 or not self.is_enough(keyframe_interval_s):
                self._wake()
            elif self._quiet >= self._needed:
                self.mode, self._asleep = "keyframes", self._asleep + 1
        return self.mode

    def _wake(self) -> None:
        """Keyframes that look different from full decoding would wake it again and again: each time, wait longer."""
        if self.mode == "keyframes":
            short = self._asleep < 2 * self._needed
            self._needed = min(2 * self._needed, self._max_quiet_windows) if short else self._quiet_windows
        self.mode, self._asleep = "all", 0

    def _count(self, sight: Sight) -> None:
        last, self._last = self._last, sight
        changed = last is not None and (
            sight.label != last.label
            or (self._quiet > 0 and abs(sight.entropy_nats - self._usual_nats) > ENTROPY_CHANGE_NATS)
        )
        if not sight.settled or changed:
            self._quiet = 0
            return
        self._quiet += 1
        self._usual_nats += (sight.entropy_nats - self._usual_nats) / min(self._quiet, 2 * self._quiet_windows)

    def is_enough(self, keyframe_interval_s: float | None) -> bool:
        """Whether keyframes that far apart tell enough of a window."""
        return keyframe_interval_s is not None and self._window_s >= self._least_keyframes * keyframe_interval_s
