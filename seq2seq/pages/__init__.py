"""HTML pages that open from disk without a network: one file each, data and all.

page.html    the frame: its content security policy allows nothing from outside
style.css    the look that all pages share
heatmap.js   a labelled heatmap as SVG, and small helpers that make elements
*.js         what one page does with its data
*.py         what that data is
"""

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def render_page(
    title: str, data: Any, *, scripts: Sequence[str], libraries: Sequence[str] = (), asks: bool = False
) -> str:
    """Return a page whose scripts find `data` in the constant DATA and build what is seen in `document.body`.

    Nothing in `data` is ever read as HTML or script: it is JSON in which `<` is escaped, and scripts set
    text, not HTML.

    Args:
        title: of the page, any text.
        data: what `json` can write; numbers must be finite.
        scripts: names of files in this folder, run in order after `heatmap.js`.
        libraries: sources of scripts to run before them.
        asks: whether the page may ask the server that it came from; no page may ask any other.
    """
    sources = [*libraries, *(read(name) for name in ("heatmap.js", *scripts))]
    parts = {
        "title": html.escape(title),
        "connect": "'self'" if asks else "'none'",
        "style": read("style.css"),
        "data": json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        "scripts": "\n".join(f"<script>\n{source}\n</script>" for source in sources),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], read("page.html"))


def read(name: str) -> str:
    """Return the text of a file of this folder."""
    return (HERE / name).read_text(encoding="utf-8")
