"""Sequence-to-sequence training made to see and to compare attention."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas

    from seq2seq.api import Model
    from seq2seq.api_training import Run

__version__ = "0.1.0"


def load(
    path: "str | Path | Sequence[str | Path]",
    *,
    device: str = "auto",
    trusted: "Sequence[str]" = (),
    ensemble: str = "log",
    tag: str | None = None,
) -> "Model":
    """Return the trained model of a checkpoint, ready for text: `translate`, `align`, `attention`, `score`.

    Args:
        path: of the checkpoint; or a list of several of one vocabulary, which translate and score as one model.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, ...
        trusted: packages of your own whose parts the checkpoint may name.
        ensemble: of several, the `log` (geometric) or the `linear` mean of what they say about the next piece.
        tag: what stands before every source, of a model that was trained with tags, such as `2de`.

    Raises:
        UserError: a checkpoint or the device cannot be used; the models have different vocabularies; they need
            a tag, or do not know this one.
    """
    from seq2seq.api import load  # here, so that `import seq2seq` takes milliseconds

    return load(path, device=device, trusted=trusted, ensemble=ensemble, tag=tag)


def train(overrides: "Sequence[str]" = ()) -> "Run":
    """Train, as `seq2seq train` does, and return the run: its `folder`, its `metrics`, and `load()`.

    Args:
        overrides: as on the command line: `["model=luong", "trainer.max_epochs=2"]`.

    Raises:
        UserError: an override cannot be; they ask for several runs.
    """
    from seq2seq.api_training import train

    return train(overrides)


def compare(folder: "str | Path", *, split: str = "test", baseline: str | None = None) -> "pandas.DataFrame":
    """Return the runs below a folder as a data frame, a row a variant, best first; `seq2seq compare` shows more.

    Args:
        folder: with runs below it.
        split: whose scores order the rows and are tested.
        baseline: a variant that the others are tested against; None: of those with most seeds the one of highest BLEU.

    Raises:
        UserError: there are no runs, or they are not of the same data; there is no such split or baseline.
    """
    from seq2seq.api_training import compare

    return compare(folder, split=split, baseline=baseline)
