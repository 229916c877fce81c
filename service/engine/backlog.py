"""What admitted requests wait for, in seconds: of decoding and of the device, at the rates that were measured.

Whose it is, and how much may wait, is for `admission`. Knows no HTTP. Used from the event loop's thread only.
"""

import time
from collections.abc import Callable

from video.children.turns import num_costly_at_once
from video.rate import Rate

ARRIVES_WITHIN_S = 1.0  # most uploads do; one that takes longer waits for nothing of ours until it is whole


class Backlog:
    """Each member is told as things happen; nothing of it is remembered once it is over."""

    def __init__(
        self, *, num_decoders: int, decode_rate: Rate, flop_rate: Rate, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`decode_rate`: videos over one decoder's seconds; `flop_rate`: multiply-adds over the device's seconds."""
        self._num_decoders = num_decoders
        self._decode_rate = decode_rate
        self._flop_rate = flop_rate
        self._clock = clock
        self._uploading: dict[object, float] = {}  # since when, the oldest first
        self._decoding: set[object] = set()  # cheap videos that wait for a decoder or are at one
        self.costly_s: dict[object, float] = {}  # estimated seconds of decoding of those that wait apart, or decode
        self.expected_flops = 0  # that admitted requests are expected to spend yet

    def uploads(self, one: object) -> None:
        self._uploading[one] = self._clock()

    def decodes(self, one: object) -> None:
        """All of it is here: it waits for a decoder."""
        self._uploading.pop(one, None)
        self._decoding.add(one)

    def costs(self, one: object, seconds: float) -> None:
        """It turned out to be costly: it waits among its like, and no cheap video waits for it."""
        self.decoded(one)
        self.costly_s[one] = seconds

    def decoded(self, one: object) -> None:
        """It waits for no decoder, for now or for ever."""
        self._uploading.pop(one, None)
        self._decoding.discard(one)
        self.costly_s.pop(one, None)

    @property
    def costly_decode_s(self) -> float:
        """Estimated seconds of decoding that costly videos have before them, all together."""
        return sum(self.costly_s.values())

    @property
    def num_decoders_free(self) -> int:
        """Of costly videos."""
        return max(1, self._num_decoders - min(len(self.costly_s), num_costly_at_once(self._num_decoders)))

    @property
    def decode_s(self) -> float:
        """Until cheap videos that are here, or will be in a moment, are decoded."""
        return self.seconds_to_decode(len(self._decoding) + self._num_arriving())

    @property
    def compute_s(self) -> float:
        """Until the device has done what admitted requests are expected to need."""
        return self._flop_rate.seconds_for(self.expected_flops)

    @property
    def wait_s(self) -> float:
        """Decoding and device work side by side, one video after the other: the slower of them sets the pace."""
        return max(self.decode_s, self.compute_s)

    @property
    def costly_wait_s(self) -> float:
        return self.costly_decode_s / num_costly_at_once(self._num_decoders)

    def seconds_to_decode(self, num_videos: int) -> float:
        return self._decode_rate.seconds_for(num_videos) / self.num_decoders_free

    def seconds_to_compute(self, flops: int) -> float:
        return self._flop_rate.seconds_for(flops)

    @property
    def num_slow_uploads(self) -> int:
        """Those that wait for their clients, and so for nothing of ours."""
        return len(self._uploading) - self._num_arriving()

    def _num_arriving(self) -> int:
        since_s, num = self._clock() - ARRIVES_WITHIN_S, 0
        for began_s in reversed(self._uploading.values()):
            if began_s < since_s:
                break
            num += 1
        return num
