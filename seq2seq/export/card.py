"""The model card: what an exported folder says of itself, `README.md`."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seq2seq.checkpoint import Checkpoint

SCORES = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER", "aer": "AER, %"}


def write_card(checkpoint: Checkpoint, folder: Path, *, form: str, parameters: int, load: str) -> None:
    """Write `README.md` into a folder, and beside it an alignment of the run where it has drawn one.

    Scores and picture are those of the folder in which the checkpoint was trained; a checkpoint alone has none.

    Args:
        checkpoint: that was exported.
        folder: of the export.
        form: the format.
        parameters: how many the model has.
        load: how it is loaded, in Python.
    """
    config = checkpoint.config
    origin = "trained" if config["data"] else "that was trained elsewhere and imported"
    run = Path(checkpoint.path).resolve().parent.parent
    picture = max((run / "alignments").glob("cross-sentence-1-step-*.png"), default=None)
    if picture is not None:
        shutil.copyfile(picture, folder / "alignment.png")
    parts = [
        f"# {config.get('run_name') or Path(checkpoint.path).stem}\n",
        f"A translation model {origin} with seq2seq, as {form}.\n",
        _table(("model", ""), {**_facts(config), "parameters": f"{parameters:,}"}),
        _scores(run),
        "![Word alignment of a validation sentence](alignment.png)\n" if picture is not None else "",
        f"## Load\n\n```python{load}```\n",
        "## Limits\n\nIt knows the kind of text that it was trained on, and repeats what is wrong there.\n",
    ]
    (folder / "README.md").write_text("\n".join(part for part in parts if part), encoding="utf-8")


def _facts(config: Mapping[str, Any]) -> dict[str, str]:
    options = config["tokenizer"]
    kind = {"ByteConfig": "byte", "WordConfig": "word"}.get(_name(options), options.get("model_type", ""))
    units = [options.get("vocab_size", ""), kind]
    of = config["data"] or {}  # nothing is known of what a model that was imported was trained on
    data = {k: v for k, v in of.items() if isinstance(v, str | int | float) and not k.startswith("_")}
    return {
        "data": ", ".join([_name(of), *(f"{k}={v}" for k, v in data.items() if v not in ("", False))]),
        "encoder, decoder": f"{_name(config['encoder'])}, {_name(config['decoder'])}",
        "attention": ", ".join(_name(config[key]) for key in ("score", "normalizer") if config.get(key)),
        "vocabulary": " ".join(map(str, filter(None, units))),
        "seed": str(config.get("seed", "")) if of else "",
    }


def _name(options: Mapping[str, Any]) -> str:
    return str(options.get("_target_", "")).rpartition(".")[2]


def _scores(run: Path) -> str:
    try:
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    splits = [split for split, _, name in (key.partition("/") for key in metrics) if name == "bleu"]
    rows = {split: " | ".join(_figure(name, metrics.get(f"{split}/{name}")) for name in SCORES) for split in splits}
    return _table(("split", " | ".join(SCORES.values())), rows) if rows else ""


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value if name == 'aer' else value:.1f}"


def _table(head: tuple[str, str], rows: Mapping[str, str]) -> str:
    columns = 1 + max(row.count(" | ") + 1 for row in rows.values())
    lines = [f"| {head[0]} | {head[1]} |", "|" + "---|" * columns]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items() if value)]) + "\n"
