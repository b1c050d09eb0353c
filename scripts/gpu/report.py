"""What the stages found: rows of tables, written at once as JSON, and a page of Markdown made of them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CHECKS = "Checks"
"""The table of what holds or does not."""

TAIL = 25
"""Last lines of a failed stage's log that the page shows."""


@dataclass(frozen=True)
class Row:
    """A row of a table; `ok` is None where it is a figure, no check."""

    table: str
    cells: dict[str, Any]
    ok: bool | None = None


@dataclass
class Stage:
    """How a stage ended, and what it found until then."""

    name: str
    status: str  # running, done, failed, or why it was not run
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    log: str = ""  # the end of what it said, where it failed

    @property
    def failed(self) -> bool:
        """Whether it did not come to its end, or a check of it did not hold."""
        return self.status == "failed" or any(row.ok is False for row in self.rows)


class Report:
    """The rows of one stage, each in the file as soon as it is known: a stage may be killed at any time."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def row(self, table: str, cells: dict[str, Any], ok: bool | None = None) -> None:
        """Add a row; the cells' names are the table's head."""
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(Row(table, cells, ok)), default=str) + "\n")

    def check(self, what: str, ok: bool, found: str) -> None:
        """Say whether something holds, and what was found."""
        self.row(CHECKS, {"what": what, "holds": "yes" if ok else "**NO**", "found": found}, ok)


def read_rows(file: Path) -> list[Row]:
    """Return the rows of a stage's file; a last line that was cut off is left out."""
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            rows.append(Row(**json.loads(line)))
        except ValueError:
            break
    return rows


def write(folder: Path, head: dict[str, str], stages: list[Stage]) -> None:
    """Write results.json and results.md."""
    content = {**head, "stages": [asdict(stage) | {"failed": stage.failed} for stage in stages]}
    (folder / "results.json").write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")
    (folder / "results.md").write_text(markdown(head, stages), encoding="utf-8")


def markdown(head: dict[str, str], stages: list[Stage]) -> str:
    """Return the page: how the stages ended, every table, and the last words of those that failed."""
    parts = [", ".join(f"{name} {value}" for name, value in head.items()), _table([_ended(stage) for stage in stages])]
    tables: dict[str, list[dict[str, Any]]] = {}
    for row in (row for stage in stages for row in stage.rows):
        tables.setdefault(row.table, []).append(row.cells)
    for title, rows in tables.items():
        parts += [f"**{title}**", _table(rows)]
    for stage in stages:
        if stage.log:
            parts += [f"**{stage.name}: its last words**", f"```\n{stage.log}\n```"]
    return "\n\n".join(parts) + "\n"


def _ended(stage: Stage) -> dict[str, Any]:
    checks = [row.ok for row in stage.rows if row.ok is not None]
    return {
        "stage": stage.name,
        "end": stage.status,
        "seconds": round(stage.seconds, 1),
        "checks that hold": f"{sum(checks)} of {len(checks)}" if checks else "",
    }


def _table(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [f"| {' | '.join(_shown(row.get(name)) for name in names)} |" for row in rows]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")
