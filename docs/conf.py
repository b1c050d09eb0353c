"""The site: the pages here, the notebooks, and a reference made of the configuration files and docstrings."""

import base64
import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

from seq2seq import __version__
from seq2seq.cli.help import print_help
from seq2seq.cli.main import COMMANDS
from seq2seq.config_files import config_folder

project = "seq2seq"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"seq2seq {release}"
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_extra_path = ["pages"]
exclude_patterns = ["build", "pages"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"

HERE = Path(__file__).parent
REFERENCE = HERE / "reference"
NOTEBOOKS = HERE / "notebooks"
MODULES = ["api", "api_loaded", "api_attention", "api_training", "attribution", "reading", "models.interface",
           "decoding.search", "alignment.links", "alignment.words", "evaluation.metrics", "evaluation.significance",
           "attention.invariants"]  # fmt: skip
"""Documented beside `attention`, which is documented with all that it imports from its files."""


def _commands() -> str:
    parts = [
        "# Commands",
        "What `seq2seq COMMAND --help` prints. Give `train` a choice, and it explains the keys of that.",
    ]
    for command in COMMANDS:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            print_help(command, [], does=COMMANDS[command])
        parts.append(f"## {command}\n\n```text\n{text.getvalue().rstrip()}\n```")
    return "\n\n".join(parts)


def _configuration() -> str:
    parts = [
        "# Configuration",
        "Every choice of every group, as its file in `configs/` says it. Comments say what a key means.",
    ]
    for group in sorted(path for path in config_folder().iterdir() if path.is_dir()):
        parts.append(f"## {group.name}")
        for file in sorted(group.glob("*.yaml")):
            parts.append(f"### {group.name}={file.stem}\n\n```yaml\n{file.read_text(encoding='utf-8').rstrip()}\n```")
    return "\n\n".join(parts)


def _python() -> str:
    parts = ["# Python", "From the docstrings of what is meant to be imported."]
    for module, options in {"attention": ["imported-members"], **dict.fromkeys(MODULES, [])}.items():
        lines = [f".. automodule:: seq2seq.{module}", *(f"   :{option}:" for option in ["members", *options])]
        parts.append("\n".join([f"## seq2seq.{module}", "", "```{eval-rst}", *lines, "```"]))
    return "\n\n".join(parts)


def _notebook(path: Path) -> str:
    """Return a notebook as Markdown, with the outputs that are stored in it; its pictures are written beside."""
    parts = []
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source.replace("](../docs/", "](../").replace(".ipynb)", ".md)"))
            continue
        language = "bash" if source.startswith("!") else "python"
        source = re.sub("^%", "# %", source.removeprefix("!"), flags=re.MULTILINE)  # else it is no Python
        parts.append(f"```{language}\n{source}\n```")
        for place, output in enumerate(cell["outputs"]):
            data = output.get("data", {})
            if "image/png" in data:
                picture = f"{path.stem}-{number}-{place}.png"
                (NOTEBOOKS / picture).write_bytes(base64.b64decode("".join(data["image/png"])))
                parts.append(f"![What the cell draws]({picture})")
            elif "text/markdown" in data:
                parts.append("".join(data["text/markdown"]))
            else:
                parts.append(f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```")
    return "\n\n".join(parts)


NOTEBOOKS.mkdir(exist_ok=True)
for _path in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
    (NOTEBOOKS / f"{_path.stem}.md").write_text(f"{_notebook(_path)}\n", encoding="utf-8")

REFERENCE.mkdir(exist_ok=True)
for _name, _text in {"commands": _commands(), "configuration": _configuration(), "python": _python()}.items():
    (REFERENCE / f"{_name}.md").write_text(f"{_text}\n", encoding="utf-8")


def setup(app: Any) -> None:
    """Take docstrings for what they are, plain text, before napoleon reads their sections; and links to notebooks."""
    app.connect("autodoc-process-docstring", _plain, priority=400)
    app.connect("source-read", _lead_to_pages)


def _lead_to_pages(_: Any, __: str, source: list[str]) -> None:
    """Let links to notebooks, which code hosts show, lead to their pages in the site."""
    source[0] = re.sub(r"\]\((?:\.\./)+notebooks/(\w+)\.ipynb\)", r"](/notebooks/\1.md)", source[0])


def _plain(_: Any, what: str, __: str, ___: Any, ____: Any, lines: list[str]) -> None:
    """Keep formulas, and the table of a module's files, as they stand; |x| is a size, and no reference."""
    if what == "module":
        lines[:] = ["::", "", *(f"    {line}" for line in lines)]
        return
    found: list[str] = []
    as_it_is = False
    for line in lines:
        if line.startswith("    ") and not as_it_is and found and not found[-1].strip():
            found += ["::", ""]
            as_it_is = True
        as_it_is = as_it_is and (line.startswith("    ") or not line.strip())
        found.append(line if as_it_is else line.replace("|", r"\|"))
    if what == "attribute":  # napoleon takes what stands before a colon for a type
        found = [line.replace(": ", "; ") for line in found]
    lines[:] = found
