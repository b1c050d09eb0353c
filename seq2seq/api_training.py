"""Training, averaging and comparing from Python: `run = seq2seq.train(["model=luong"])`; the commands do the same."""

import io
import json
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import pandas
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from seq2seq.api import Model
from seq2seq.api import load as load_model
from seq2seq.api_arguments import names, place, places, texts, whole
from seq2seq.averaging import average as write_average
from seq2seq.checkpoint import checkpoint_of, read_checkpoint
from seq2seq.cli.keys.messages import explain
from seq2seq.cli.train import train as train_runs
from seq2seq.cli.training.processes import as_program
from seq2seq.comparison.comparing import compare_runs
from seq2seq.comparison.forms import as_csv
from seq2seq.comparison.table import make_table
from seq2seq.errors import UserError

_training = threading.Lock()
"""Is held while this process trains: Hydra's state and the random numbers are of the whole process."""


class Run:
    """A finished training.

    Args:
        folder: where it is kept.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = place("folder", folder)

    def __repr__(self) -> str:
        return f"<seq2seq run {self.folder}>"

    @cached_property
    def metrics(self) -> dict[str, float]:
        """What `metrics.json` holds: steps, speed, and the scores of each test split, such as `test/bleu`."""
        file = self.folder / "metrics.json"
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{file} is not there: it is written when a training has ended") from None

    def load(self, *, device: str = "auto") -> Model:
        """Return its best model; where no validation has chosen one, its last."""
        return load_model(checkpoint_of(self.folder), device=device)


def train(overrides: Sequence[str] = ()) -> Run:
    """Train, as `seq2seq train` does, and return the run.

    Args:
        overrides: as on the command line: `["model=luong", "trainer.max_epochs=2"]`.

    Raises:
        UserError: an override cannot be; they ask for several runs; another thread is training.
    """
    if isinstance(overrides, str):
        raise UserError(f"overrides={overrides!r} is one text; give a list: [{overrides!r}]")
    given = texts("overrides", overrides)
    if not _training.acquire(blocking=False):
        raise UserError(
            "another thread of this process is training, and both would share its random numbers; wait for that "
            "training, or start a process for each"
        )
    try:
        with as_program():
            (folder,) = train_runs(given, single=True)
    except (HydraException, OmegaConfBaseException, UserError) as error:  # `seq2seq train` tells them in one line
        raise UserError(explain(error, "train", given)) from error
    finally:
        _training.release()
    return Run(folder)


def average(paths: Sequence[str | Path], output: str | Path, *, trusted: Sequence[str] = ()) -> None:
    """Write a checkpoint whose weights are the mean of those of several, as `seq2seq average` does.

    Args:
        paths: of checkpoints of one model, such as the last of a training.
        output: a new file.
        trusted: packages of your own whose parts the checkpoints may name.

    Raises:
        UserError: there are fewer than two, they are not of one model, or the file cannot be written, or is there.
    """
    if isinstance(paths, str | Path):
        raise UserError(f"paths={str(paths)!r} is one alone; give a list of at least two: [path, path]")
    trusted, output = names("trusted", trusted), place("output", output)
    write_average([read_checkpoint(path, trusted=trusted) for path in places("paths", paths)], output)


def compare(
    folder: str | Path, *, split: str = "test", baseline: str | None = None, samples: int = 1000
) -> pandas.DataFrame:
    """Return the runs below a folder as a data frame, a row a variant, best first; `seq2seq compare` shows more.

    Its columns are mean and deviation (`_sd`) over seeds of every figure of `metrics.json`, and how likely a
    difference from the baseline is chance.

    Args:
        folder: with runs below it.
        split: whose scores order the rows and are tested.
        baseline: a variant that the others are tested against; None: of those with most seeds the one of highest BLEU.
        samples: of sentences, for the paired bootstrap.

    Raises:
        UserError: there are no runs, or they are not of the same data; there is no such split or baseline.
    """
    samples = whole("samples", samples, least=1)
    found = compare_runs(place("folder", folder), split=split, baseline=baseline, samples=samples)
    table = make_table(found.ranked, found.left_out, found.chance, split)
    return pandas.read_csv(io.StringIO(as_csv(table, found.chance))).set_index("variant")
