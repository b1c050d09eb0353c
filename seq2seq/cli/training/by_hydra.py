"""What Hydra does for `seq2seq train`: it runs one job, runs those of a sweep, or shows what there would be."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig, read_write

from seq2seq.cli.training.sweep import composed_once
from seq2seq.cli.training.variants import is_override
from seq2seq.config_files import config_folder
from seq2seq.options import compose_hydra

FULL_ERROR = "HYDRA_FULL_ERROR"
"""By which a user asks Hydra, and this program, for the whole trace of an error."""

SUBFOLDER = "hydra.output_subdir"


def show(overrides: list[str]) -> None:
    """Let Hydra print what it is asked for by its options, such as `--cfg job`: nothing is run."""

    def job(config: DictConfig) -> None:
        raise AssertionError("Hydra was to show, not to run")

    with hydra_raises():
        run_by_hydra(overrides, job)


def run_composed(overrides: list[str], job: TaskFunction) -> None:
    """Do what `hydra.main` does with one run, whose configuration is composed already: to compose costs 0.2 seconds."""
    config = compose_hydra("train", overrides)
    with read_write(config.hydra):
        config.hydra.mode = RunMode.RUN
        config.hydra.output_subdir = None  # Hydra would write its account before it is known whose the folder is
    with initialize_config_dir(str(config_folder()), job_name="train", version_base="1.3"):
        its = GlobalHydra.instance().hydra
        assert its is not None
        its.compose_config = lambda *_, **__: config  # type: ignore[method-assign]
        its.run("train", job, overrides)


def run_by_hydra(overrides: list[str], job: TaskFunction) -> None:
    """Let Hydra run each of a sweep, or show what it is asked to show."""
    # Hydra's parser takes overrides together only, so options come before them all.
    given = sorted(overrides, key=is_override)
    sys.argv = ["seq2seq train", *given, f"{SUBFOLDER}=null"]
    job.__module__ = "seq2seq.cli.train"  # by whose last part Hydra names the job, and its log
    with composed_once():
        hydra.main(config_path=str(config_folder()), config_name="train", version_base="1.3")(job)()


def one_of_sweep() -> list[str]:
    """Return the overrides of the run that Hydra runs now, as of one alone, also where a file asks for a sweep."""
    return [*HydraConfig.get().overrides.task, f"hydra.mode={RunMode.RUN.name}"]


@contextmanager
def hydra_raises() -> Iterator[None]:
    """Make Hydra hand its own errors on instead of printing them and exiting, so that `seq2seq` says one line."""
    argv, before = sys.argv, os.environ.get(FULL_ERROR)
    full_error("1")
    try:
        yield
    finally:
        sys.argv = argv
        full_error(before)


def full_error(value: str | None) -> None:
    """Ask Hydra for the whole trace of an error, or not."""
    os.environ.pop(FULL_ERROR, None)
    if value is not None:
        os.environ[FULL_ERROR] = value
