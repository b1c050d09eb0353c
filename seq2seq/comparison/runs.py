"""The runs below a folder: what each was and found, also where it failed, goes on, or was damaged since."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from seq2seq.comparison.curves import Curve, read_curves
from seq2seq.data.files import walk
from seq2seq.errors import UserError

TIME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")
"""How the name of a run's folder begins."""


@dataclass
class Run:
    """One training."""

    folder: Path
    where: str  # the folder as seen from the one that was searched
    name: str
    seed: int | None
    config: dict[str, Any]  # resolved; empty for a run that failed before it wrote one
    metrics: dict[str, float] = field(default_factory=dict)  # empty until the run has finished
    curves: dict[str, Curve] = field(default_factory=dict)
    error: str | None = None  # why it failed
    problems: list[str] = field(default_factory=list)  # what of it cannot be read
    sentences: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by split, as far as they were read

    @property
    def finished(self) -> bool:
        """Whether it has scores to count."""
        return bool(self.metrics)

    @property
    def state(self) -> str:
        """Return `finished`, `damaged` (which may be finished too), `failed` or `unfinished`."""
        if self.problems:
            return "damaged"
        if self.finished:
            return "finished"
        return "failed" if self.error is not None else "unfinished"

    @property
    def story(self) -> str:
        """Return in one line what there is to say about a run that is not simply finished."""
        if self.problems:
            return "; ".join([*self.problems, *(["its scores are whole and count"] if self.finished else [])])
        if self.error is not None:
            return self.error
        bleu, epoch = self.curves.get("val/bleu"), self.curves.get("epoch")
        if bleu is None or epoch is None:
            return "no validation yet"
        return f"epoch {int(epoch.values[-1]) + 1}, val BLEU {bleu.values[-1]:.2f}"

    @property
    def started(self) -> str:
        """Return when it began, as text that sorts by time: from the folder's name, or the time of its files."""
        named = TIME.match(self.folder.name)
        if named:
            return self.folder.name
        files = [path for path in (self.folder / "config.yaml", self.folder / "error.txt") if path.exists()]
        return datetime.fromtimestamp(files[0].stat().st_mtime).strftime("%Y-%m-%d_%H-%M-%S")


def find_runs(folder: Path) -> list[Run]:
    """Return every run below a folder, in the order of their paths.

    Raises:
        UserError: there is no such folder, or no run in it.
    """
    if not folder.exists():
        raise UserError(f"runs={folder}: there is no such folder; trainings are kept in outputs/<data>/")
    if not folder.is_dir():
        raise UserError(f"runs={folder} is a file; give the folder that holds the runs, such as outputs/grammar")
    runs = list(_walk(folder))
    if not runs:
        raise UserError(
            f"runs={folder}: no run in it or below it (a run's folder holds a config.yaml); trainings are kept in "
            "outputs/<data>/"
        )
    return runs


def _walk(folder: Path) -> Iterator[Run]:
    for path, folders, files in walk(folder):  # .hydra has a config.yaml too, and is left out as hidden
        if "config.yaml" in files or "error.txt" in files:
            run = read_run(path, folder)
            if run is not None:
                folders.clear()
                yield run


def read_run(folder: Path, root: Path) -> Run | None:
    """Return the run in a folder below the root; None where its config.yaml is that of something else."""
    config, problems = {}, []
    if (folder / "config.yaml").exists():
        try:
            config = _read_config(folder / "config.yaml")
        except Exception as error:  # whatever a YAML reader makes of broken bytes
            problems.append(f"config.yaml: {_reason(error)}")
        if not problems and not {"run_name", "data", "model"} <= config.keys():
            return None
    by_folder = folder.parent.name if TIME.match(folder.name) and folder != root else folder.resolve().name
    name = str(config.get("run_name") or by_folder)
    numbered = re.search(r"-s(\d+)$", name)
    seed = config.get("seed", int(numbered[1]) if numbered else None)
    relative = folder.relative_to(root)
    if seed is not None and not isinstance(seed, int):
        problems.append(f"config.yaml: seed={seed} is no number")
        seed = None
    run = Run(folder, folder.resolve().name if relative == Path() else str(relative), name, seed, config)
    run.problems = problems
    if (folder / "metrics.json").exists():
        try:
            run.metrics = _read_metrics(folder / "metrics.json")
        except (ValueError, OSError, OverflowError, RecursionError) as error:
            run.problems.append(f"metrics.json: {_reason(error)}")
    elif (folder / "error.txt").is_file():
        lines = (folder / "error.txt").read_text(encoding="utf-8", errors="replace").split("\n")
        run.error = lines[0].strip() or "it did not say why"
    try:
        run.curves, damage = read_curves(folder)
    except OSError as error:
        damage = _reason(error)
    if damage and run.finished:  # while a run writes, its last event may be half there
        run.problems.append(damage)
    return run


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raises ValueError, also for what is no number, such as nan, or has no end."""

    def number(text: str) -> float:
        if not math.isfinite(found := float(text)):
            raise ValueError(f"it holds {text}")
        return found

    return json.loads(path.read_text(encoding="utf-8"), parse_float=number, parse_constant=number)


def read_sentences(run: Run, split: str) -> list[dict[str, Any]]:
    """Return the sentences of a split with what the run made of them; where that fails none, and the run knows why."""
    if split not in run.sentences:
        path = run.folder / f"sentences-{split}.jsonl"
        rows: list[dict[str, Any]] = []
        try:
            for line in (
                path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
            ):  # sentences may hold other breaks
                rows.append(json.loads(line))
                if not all(isinstance(rows[-1][name], str) for name in ("source", "reference", "hypothesis")):
                    raise ValueError("a sentence is no text")
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = "it is missing" if isinstance(error, FileNotFoundError) else f"line {len(rows) + 1} cannot be read"
            run.problems.append(f"{path.name}: {reason}")
            rows = []
        run.sentences[split] = rows
    return run.sentences[split]


def _read_config(path: Path) -> dict[str, Any]:
    config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    if not isinstance(config, dict) or not config:
        raise ValueError("it is empty" if not config else "it holds no keys")
    return {str(key): value for key, value in config.items()}


def _read_metrics(path: Path) -> dict[str, float]:
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        raise ValueError("it is empty")
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("it holds no metrics")
    metrics = {
        name: value for name, value in content.items() if isinstance(value, int | float) and math.isfinite(value)
    }
    if not any(name.endswith("/bleu") for name in metrics):
        raise ValueError("it holds no BLEU")
    return metrics


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"it cannot be read ({lines[0]})" if isinstance(error, json.JSONDecodeError) else (lines or ["?"])[0]
