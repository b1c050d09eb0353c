"""Every script says what it does."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "scripts").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_help_says_what_it_does(script: Path, tmp_path: Path) -> None:
    shown = subprocess.run([sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    documented = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
    assert documented and documented.splitlines()[0] in " ".join(shown.stdout.split())
