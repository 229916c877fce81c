"""An answer drawn into its video: `fovea classify --render`. Knows the API's answer and no model."""

from cli.render.output import check_output, render

__all__ = ["check_output", "render"]
