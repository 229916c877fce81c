"""What all rows of a run depend on besides the videos: version, options, settings and bundles. Loads no model."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from models.catalogue import available_models
from models.listing import read_listing
from service.settings import PREFIX, Settings

SETTINGS = (
    "default_model",
    "runtime",
    "keyframe_tolerance",
    "skip_loop_filter",
    "decode_on_demand",
    "decode_timeout_s",
    "decode_address_space_bytes",
    "max_duration_s",
    "max_frame_pixels",
    "max_frames",
)
"""Those that change what a row says, or whether there is an answer; precision stands beside them."""


@dataclass(frozen=True, slots=True)
class Terms:
    """As plain values, which go to other machines as they are."""

    options: tuple[tuple[str, str], ...]  # a recognition's, as the API names them
    precision: str | None = None  # instead of FOVEA_PRECISION

    def in_force(self) -> dict[str, Any]:
        """Each by a name that whoever runs this knows, as this process finds them. A bundle is told by its digest.

        Raises SettingsError, and BundleError for a bundle that is damaged.
        """
        settings = Settings.read()
        options = dict(self.options)
        folders = available_models(*settings.bundles, shipped=settings.shipped_bundles)
        named = options.get("model", "")
        if named in folders:
            folders = {named: folders[named]}
        return {
            "fovea-server": version("fovea-server"),
            **options,
            "precision": self.precision or settings.precision,
            **{f"{PREFIX}{name.upper()}": getattr(settings, name) for name in SETTINGS},
            **{f"bundle {name}": read_listing(folder).digest for name, folder in folders.items()},
        }
