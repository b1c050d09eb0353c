"""Print the lowest version of every package that pyproject.toml names, as constraints for pip.

`make test-oldest` tests with these that the bounds are true. What those packages need themselves, pip chooses.

    python scripts/oldest.py > constraints-oldest.txt
"""

import argparse
import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def oldest(project: dict) -> list[str]:
    """Return `name==version` of each requirement `name>=version`, those of the extras too.

    Raises:
        ValueError: a requirement has no lower bound.
    """
    own = rf"{project['name']}\[.*\]"  # one extra that takes in another
    required = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    pins = []
    for line in required:
        if bound := re.fullmatch(r"([\w.-]+)>=([\w.]+)", line):
            pins.append("{}=={}".format(*bound.groups()))
        elif not re.fullmatch(own, line):
            raise ValueError(f"pyproject.toml: {line}: expected a lower bound, as in name>=1.2")
    return pins


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("\n".join(oldest(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"])))


if __name__ == "__main__":
    main()
