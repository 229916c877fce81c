"""A hook of MkDocs: links of docs/ that lead out of it stay links on the site only where the site has the page.

In the repository docs/*.md link to code (`../service/settings.py`), which the site does not hold: there such a link
becomes the file's name. A link to nothing is an error here as it is in `scripts/check_repository.py`.
"""

import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    folder = Path(page.file.abs_src_path).parent
    docs = Path(config["docs_dir"])

    def named(found: re.Match[str]) -> str:
        text, target = found.groups()
        path = (folder / target.partition("#")[0]).resolve()
        if not path.exists():
            raise FileNotFoundError(f"{page.file.src_path}: dead link: {target}")
        return found[0] if path.is_relative_to(docs) else text

    return LINK.sub(named, markdown)
