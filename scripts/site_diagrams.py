"""A hook of MkDocs: a Mermaid block of docs/ becomes a drawing in the page, by the real Mermaid; nothing is fetched.

GitHub draws the same blocks by itself. A block that Mermaid does not understand stops the build with its reason.
"""

import re
from typing import Any

import mermaidx

BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAPER = "width: auto; background: #fff; border-radius: 4px; padding: 8px"  # light in dark pages, too
FIGURE = '<figure class="diagram" style="{style}">{svg}</figure>'


def drawn(source: str, name: str) -> str:
    """The drawing of one block as SVG; every id in it begins with `name`, so that drawings of one page stay apart.

    Raises ValueError where Mermaid cannot read the block.
    """
    try:
        svg = str(mermaidx.render(source).svg())
    except RuntimeError as error:
        raise ValueError(f"{error}\nin this Mermaid block:\n{source}") from error
    return svg.replace("my-svg", name)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Each Mermaid block of a page as a figure."""
    counted = iter(range(1, 100))

    def figure(found: re.Match[str]) -> str:
        svg = drawn(found[1], f"diagram-{next(counted)}")
        return FIGURE.format(style=PAPER, svg=re.sub(r"\s*\n\s*", " ", svg))

    return BLOCK.sub(figure, markdown)
