"""From the price of decoding a video to seconds, at the speed measured so far. Knows no video and no process."""

from dataclasses import dataclass

from video.clip import DecodePrice
from video.rate import Rate

# Until something is measured: 1080p H.264 at 100 frames a second, which a slow core decodes.
GUESSED_PIXELS_PER_S = 200e6
_SLOWEST_PIXELS_PER_S = GUESSED_PIXELS_PER_S / 4  # a rate below is a busy machine's or an odd codec's, not the next's
_TELLING_PIXELS = 100_000_000  # opening and scaling take most of the time of smaller videos


@dataclass(frozen=True, slots=True)
class Estimate:
    """A price, and how long one decoding process takes for it at most, as far as is known."""

    price: DecodePrice
    seconds: float

    def __str__(self) -> str:
        return f"about {self.seconds:.3g} s ({self.price.gpixels:.3g} gigapixels in {self.price.frames} frames)"


class DecodePace:
    """Pixels a second of one decoding process, measured on videos that are large enough to tell."""

    def __init__(self) -> None:
        self._rate = Rate()

    def observe(self, pixels: int, seconds: float) -> None:
        """A video of that price was decoded in `seconds`."""
        if pixels >= _TELLING_PIXELS:
            self._rate.observe(pixels, seconds)

    @property
    def pixels_per_s(self) -> float:
        s_per_pixel = self._rate.seconds_for(1)
        return max(_SLOWEST_PIXELS_PER_S, 1 / s_per_pixel) if s_per_pixel else GUESSED_PIXELS_PER_S

    def estimate(self, price: DecodePrice) -> Estimate:
        return Estimate(price, price.pixels / self.pixels_per_s)

    def pixels_in(self, seconds: float) -> int:
        return int(seconds * self.pixels_per_s)
