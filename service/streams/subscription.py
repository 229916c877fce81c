"""A subscription: which camera, and what to make of it. Knows neither camera nor HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from fovea.words import Clock, Decode, Emit
from service.engine.budget import RecognitionOptions
from service.streams.address import CameraUrl
from service.webhooks.wanted import Webhook


@dataclass(frozen=True, slots=True)
class Subscription:
    """All settled: the model is named, the stride is a multiple of the grid. `repr` shows no password."""

    id: str
    url: CameraUrl
    model: str
    task: str
    num_frames: int  # of a window, the model's
    budget_flops: int
    max_flops: int | None
    window_s: float
    stride_cells: int
    top_k: int
    min_score: float
    on: Emit
    ttl_s: float | None
    decode: Decode
    transport: Literal["tcp", "udp"]
    created_s: float  # wall-clock
    name: str | None = None  # what people call the camera
    clock: Clock = Clock.AUTO
    connect_timeout_s: float | None = None  # None: the replica's, as the two below
    open_timeout_s: float | None = None
    stall_timeout_s: float | None = None
    abstain: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)  # the client's own
    webhook: Webhook | None = None
    owner: str = ""  # the name of the key that subscribed it; empty: none

    @property
    def cell_s(self) -> Fraction:
        """The grid that windows lie on: a window's frames are so far apart."""
        return cell_s(self.window_s, self.num_frames)

    @property
    def stride_s(self) -> float:
        return float(self.stride_cells * self.cell_s)

    def options(self) -> RecognitionOptions:
        return RecognitionOptions(
            model=self.model,
            budget_flops=self.budget_flops,
            max_flops=self.max_flops,
            top_k=self.top_k,
            min_score=self.min_score,
            abstain=self.abstain,
        )


def cell_s(window_s: float, num_frames: int) -> Fraction:
    """A window's length in microseconds, cut into its frames, exactly."""
    return Fraction(round(window_s * 10**6), 10**6) / num_frames


def stride_cells(stride_s: float, window_s: float, num_frames: int) -> int:
    """The nearest whole number of cells, one at least."""
    return max(1, round(Fraction(stride_s) / cell_s(window_s, num_frames)))
