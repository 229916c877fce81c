"""What every full-frame baseline is told: the model it is compared with, and what of that is on. Knows no network."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, NoReturn, Self

from models.adafocus.config import AdaFocusConfig


@dataclass(frozen=True, slots=True)
class BaselineConfig:
    """Of one AdaFocus model. All further fields of a baseline are true or false."""

    family: ClassVar[str]
    """Its name in `training.families`."""
    title: ClassVar[str]
    model: AdaFocusConfig

    @property
    def num_classes(self) -> int:
        return self.model.num_classes

    @property
    def num_frames(self) -> int:
        """Of a clip: which of them are looked at, the baseline says."""
        return self.model.num_frames

    @property
    def frame_size(self) -> tuple[int, int]:
        return self.model.frame_size

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Strict: ValueError for a missing, unknown or ill-typed entry."""
        try:
            config = cls(**{**values, "model": AdaFocusConfig.from_dict(values["model"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a {cls.__name__}: {error}") from error
        for name in (field.name for field in fields(cls) if field.name != "model"):
            if type(getattr(config, name)) is not bool:
                raise ValueError(f"{name} is {getattr(config, name)!r}, but must be true or false")
        return config


def no_baseline(model: BaselineConfig, name: str) -> NoReturn:
    """It is one. Raises ValueError."""
    raise ValueError(f"baseline {name!r} of a {model.title} is asked for; ask for that of a model with cubes")
