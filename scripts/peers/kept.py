"""Runs that are not made again when a comparison that takes hours was stopped and is started once more."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Kept(Generic[Result]):
    """What runs came to, a line each in a file, as soon as they have ended; without a file nothing is kept.

    Args:
        path: of that file.
        result: makes the named tuple that a run comes to of its fields.
    """

    def __init__(self, path: Path | None, result: Callable[..., Result]) -> None:
        self.path = path
        self.result = result
        lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
        self.entries = [json.loads(line) for line in lines]

    def once(self, what: dict[str, Any], run: Callable[[], Result]) -> Result:
        """Return what a run came to: as it was kept, or by running it."""
        for entry in self.entries:
            if entry["run"] == what:
                return self.result(**entry["result"])
        result: Any = run()
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                print(json.dumps({"run": what, "result": result._asdict()}), file=file)
        return result
