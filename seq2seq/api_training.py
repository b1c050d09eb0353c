"""Training and comparing from Python: `run = seq2seq.train(["model=luong"])`; the commands do the same."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from seq2seq.api import Model
from seq2seq.api import load as load_model
from seq2seq.cli.train import train as train_runs
from seq2seq.errors import UserError


class Run:
    """A finished training.

    Args:
        folder: where it is kept.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"<seq2seq run {self.folder}>"

    @cached_property
    def metrics(self) -> dict[str, float]:
        """What `metrics.json` holds: steps, speed, and the scores of each test split, such as `test/bleu`."""
        return json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))

    def load(self, *, device: str = "auto") -> Model:
        """Return its best model."""
        return load_model(self.folder / "checkpoints" / "best.ckpt", device=device)


def train(overrides: Sequence[str] = ()) -> Run:
    """Train, as `seq2seq train` does, and return the run.

    Args:
        overrides: as on the command line: `["model=luong", "trainer.max_epochs=2"]`.

    Raises:
        UserError: an override cannot be; they ask for several runs.
    """
    if isinstance(overrides, str):
        raise UserError(f"overrides={overrides!r} is one text; give a list: [{overrides!r}]")
    (folder,) = train_runs(list(overrides), single=True)
    return Run(folder)
