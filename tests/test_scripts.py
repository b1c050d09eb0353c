"""Every script says what it does."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "scripts").glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_help_says_what_it_does(path: Path, script: Callable[..., Any]) -> None:
    status, out, err = script(path.name, "--help")
    assert status == 0, err
    documented = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert documented and documented.splitlines()[0] in " ".join(out.split())
