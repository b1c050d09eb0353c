"""Imports point one way: the list in `docs/inside.md` is what the code does."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

from seq2seq import cli

ROOT = Path(__file__).parents[1]
IMPORT = re.compile(r"^\s*(?:from|import) seq2seq(?:\.(\w+)| import (\w+))", re.MULTILINE)


def test_no_part_imports_one_that_stands_below_it() -> None:
    page = (ROOT / "docs" / "inside.md").read_text(encoding="utf-8").partition("## Who knows whom")[2]
    rows = [
        re.findall(r"`([\w*.]+)/?`", row.split("|")[1]) for row in page.partition("\n## ")[0].split("\n") if "|" in row
    ]
    rows = [[name.removesuffix(".py") for name in row] for row in rows if row]

    def place(part: str) -> int:
        (found,) = [number for number, row in enumerate(rows) if any(fnmatch(part, name) for name in row)]
        return found

    wrong = [
        f"{path.relative_to(ROOT)} imports {found[1] or found[2]}"
        for path in (ROOT / "seq2seq").rglob("*.py")
        for found in IMPORT.finditer(path.read_text(encoding="utf-8"))
        if place(found[1] or found[2]) > place(path.relative_to(ROOT / "seq2seq").parts[0].removesuffix(".py"))
    ]
    assert not wrong


def test_parts_of_the_command_line_know_only_what_stands_above_them() -> None:
    order = [*re.findall(r"^    (\w+)/", cli.__doc__ or "", re.MULTILINE), ""]  # commands come last
    assert len(order) == 4
    for path in (ROOT / "seq2seq" / "cli").rglob("*.py"):
        here = path.parent.name if path.parent.name in order else ""
        for part, module in re.findall(r"(?m)^\s*from seq2seq\.cli\.(\w+)(\.\w+)? ", path.read_text(encoding="utf-8")):
            assert order.index(part if module else "") <= order.index(here), f"{path} imports {part}"


def test_commands_import_what_takes_seconds_only_where_it_is_used() -> None:
    """Nobody who looks at a sentence is to wait for Lightning, nor for what reads a data set."""
    code = """
import importlib, sys
from seq2seq.cli.main import COMMANDS
reading = ["compare", "evaluate", "heads", "prune", "trust"]
for command in sorted(set(COMMANDS) - {"train"}, key=reading.__contains__):
    importlib.import_module(f"seq2seq.cli.{command}")
    assert "lightning" not in sys.modules, command
    assert "datasets" not in sys.modules or command in reading, command
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
