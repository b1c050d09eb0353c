"""Every configuration key and its default, as `tests/keys.txt` has them: none changes unnoticed.

After a change that is meant, `python tests/test_keys.py` writes the file anew; say in CHANGELOG.md what users see.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "tests" / "keys.txt"


def keys(tree: Any, prefix: str) -> Iterator[str]:
    if isinstance(tree, dict) and tree:
        for name, value in tree.items():
            yield from keys(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield f"{prefix} = {tree!r}"


def every_key() -> list[str]:
    """Return `file: key = default` of every file of `configs/` but the experiments', which are settings."""
    lines = []
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        name = path.relative_to(ROOT / "configs").with_suffix("").as_posix()
        if not name.startswith("experiment/"):
            text = yaml.safe_load(path.read_text(encoding="utf-8"))
            lines += [f"{name}: {line}" for line in keys(text, "")]
    return lines


def test_no_key_or_default_changes_unnoticed() -> None:
    kept = KEPT.read_text(encoding="utf-8").splitlines()
    changes = [line for line in difflib.unified_diff(kept, every_key(), lineterm="", n=0) if line[:1] in "+-"]
    assert not changes, "python tests/test_keys.py, and a line in CHANGELOG.md:\n" + "\n".join(changes)


if __name__ == "__main__":
    KEPT.write_text("\n".join(every_key()) + "\n", encoding="utf-8")
