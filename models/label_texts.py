"""What people read in place of a label: its name, and a sentence that says what it looks like. Knows no file."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field


@dataclass(frozen=True)
class LabelText:
    """Of one label. None: nobody said it, and nothing is made up.

    Not empty; a name has at most 80 characters, a description 400. Whoever reads it from JSON through pydantic is
    told so where it is not.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    display_name: Annotated[str | None, Field(min_length=1, max_length=80, exclude_if=lambda text: text is None)] = None
    """Such as "Handshake"."""
    description: Annotated[str | None, Field(min_length=1, max_length=400, exclude_if=lambda text: text is None)] = None
    """Such as "Two people shake hands."."""


UNNAMED = LabelText()
"""Of a label of which nothing is said."""
