"""A run's figures for TensorBoard, beside metrics.csv: OUT/tensorboard. Knows no network."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.fit.trainer import StepReport

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
EVERY_STEPS = 10


def check_tensorboard() -> None:
    """Raises ValueError where it is not installed."""
    try:
        import tensorboard  # noqa: F401, PLC0415
    except ImportError:
        raise ValueError(
            "--tensorboard needs TensorBoard, which is not installed: pip install 'fovea-server[tensorboard]'; "
            "metrics.csv is written in any case"
        ) from None


class TensorBoard:
    """A `trainer.Report`; use as a context. Figures of steps that a resumed run takes again replace earlier ones."""

    def __init__(self, out: Path) -> None:
        self._folder = out / FOLDER
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def step(self, report: StepReport) -> None:
        if report.total_steps % EVERY_STEPS == 0:
            figures = {"loss": report.loss, "lr": report.lr, "clips_per_s": report.clips_per_s}
            self._write("step", figures, report.total_steps)

    def epoch(self, row: dict[str, Any]) -> None:
        figures = {name: value for name, value in row.items() if name not in ("stage", "epoch", "steps")}
        self._write(f"stage {row['stage'] + 1}", figures, row["steps"])

    def _write(self, group: str, figures: dict[str, float], step: int) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra, and slow to load

            self._writer = SummaryWriter(str(self._folder), purge_step=step)
        for name, value in figures.items():
            if math.isfinite(value):
                self._writer.add_scalar(f"{group}/{name}", value, step)
