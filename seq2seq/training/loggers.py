"""Where a run is shown while it trains: TensorBoard, a CSV file, MLflow, Weights & Biases; several at once."""

import csv
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from seq2seq.errors import UserError

ROWS = "metrics.csv"
EVENTS = "events.out.tfevents.*"
LOCAL = Path("outputs")


class CsvLog(Logger):
    """Writes `metrics.csv` in the run's folder: a row a number, `step,metric,value`.

    Rows are only ever added, so a resumed run takes back what it logs again, and goes on in the same file.

    Args:
        save_dir: the run's folder.
    """

    def __init__(self, *, save_dir: str) -> None:
        super().__init__()
        self.path = Path(save_dir) / ROWS

    @property
    def name(self) -> str:
        """Return what Lightning calls it."""
        return "csv"

    @property
    def version(self) -> str:
        """Return that there is one file alone."""
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add a row a metric."""
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            if new:
                rows.writerow(("step", "metric", "value"))
            rows.writerows((step, name, float(value)) for name, value in metrics.items())

    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Write nothing: the folder has `config.yaml`."""


def mlflow_log(*, experiment_name: str, run_name: str, tracking_uri: str | None) -> MLFlowLogger:
    """Return MLflow's logger.

    Args:
        experiment_name: under which the runs stand together.
        run_name: of the run.
        tracking_uri: of a server or a database; None: `MLFLOW_TRACKING_URI`, or else `outputs/mlflow.db`.

    Raises:
        UserError: MLflow is missing, or refuses.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    artifacts = None
    if uri is None:
        LOCAL.mkdir(exist_ok=True)
        here = LOCAL.resolve()  # MLflow keeps what it opened by this name
        uri, artifacts = f"sqlite:///{here / 'mlflow.db'}", str(here / "mlartifacts")
    try:
        log = MLFlowLogger(
            experiment_name=experiment_name,
            run_name=run_name,
            tracking_uri=uri,
            artifact_location=artifacts,
        )
        _ = log.experiment  # speaks to it: what is wrong is to be said before a run begins
    except ModuleNotFoundError:
        raise UserError("logger=mlflow: MLflow is not installed; pip install 'seq2seq[mlflow]'") from None
    except Exception as error:
        raise UserError(f"logger=mlflow, tracking_uri {uri}: {_first_line(error)}") from None
    return log


def wandb_log(*, project: str, name: str, save_dir: str, offline: bool) -> WandbLogger:
    """Return the logger of Weights & Biases.

    Args:
        project: under which the runs stand together.
        name: of the run.
        save_dir: the run's folder.
        offline: write into the folder alone; `wandb sync` sends it later.

    Raises:
        UserError: the package is missing, or nobody is logged in.
    """
    try:
        if "wandb" in sys.modules:
            sys.modules["wandb"].finish()  # the run before, in a sweep: it would be taken again
        log = WandbLogger(project=project, name=name, save_dir=save_dir, offline=offline, settings={"silent": True})
        log._wandb_init.pop("anonymous", None)  # of which it warns, though nobody asked for it
        Path(save_dir).mkdir(parents=True, exist_ok=True)
        _ = log.experiment
    except ModuleNotFoundError:
        raise UserError("logger=wandb: the package is not installed; pip install 'seq2seq[wandb]'") from None
    except Exception as error:
        raise UserError(f"logger=wandb: {_first_line(error)} Or: logger.wandb.offline=true") from None
    return log


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def boards(trainer: lightning.Trainer) -> list[TensorBoardLogger]:
    """Return the loggers that are TensorBoard's."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def show_picture(trainer: lightning.Trainer, tag: str, image: np.ndarray) -> None:
    """Give a picture (height, width, 3), uint8, to each logger that takes pictures."""
    for logger in trainer.loggers:
        step = trainer.global_step
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(tag, image, step, dataformats="HWC")
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_image(logger.run_id, image, key=tag, step=step)
        elif isinstance(logger, WandbLogger):
            logger.log_image(tag, [image], step=step)


def show_text(trainer: lightning.Trainer, tag: str, lines: Mapping[str, str]) -> None:
    """Give lines of text, each with its name, to each logger that takes text."""
    # Indented lines are shown as they are: nothing in a sentence is taken for Markdown or HTML.
    text = "\n".join(f"    {name:<10} {line}" for name, line in lines.items())
    for logger in trainer.loggers:
        step = trainer.global_step
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(tag, text, step)
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_text(logger.run_id, text, f"{tag}/step-{step:06}.txt")
        elif isinstance(logger, WandbLogger):
            logger.log_text(tag, columns=list(lines), data=[list(lines.values())], step=step)


def show_scores(trainer: lightning.Trainer, settings: dict[str, Any], scores: dict[str, float]) -> None:
    """Give a run's settings and final scores to each logger."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):  # whose HParams tab shows nothing without a metric
            logger.log_hyperparams(settings, scores, step=trainer.global_step)
            logger.experiment.flush()  # so that the last of what cannot be written is said, too
        else:
            logger.log_hyperparams(settings)
            logger.log_metrics(scores, step=trainer.global_step)


def appended_files(folder: Path) -> list[Path]:
    """Return the files of a run's folder to which loggers add as it goes on."""
    return sorted(folder.glob(EVENTS)) + [path for path in (folder / ROWS,) if path.exists()]


def flushed_files(trainer: lightning.Trainer) -> Iterator[Path]:
    """Yield the files to which the loggers of a trainer have added, all of it written."""
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.flush()
            yield from sorted(Path(logger.log_dir).glob(EVENTS))
        elif isinstance(logger, CsvLog) and logger.path.exists():
            yield logger.path
