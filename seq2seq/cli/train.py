"""`seq2seq train`: a run, or many; Hydra composes each."""

import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hydra
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode, TaskFunction
from omegaconf import DictConfig, read_write

from seq2seq.build_training import own_stance
from seq2seq.cli.begin import as_begun
from seq2seq.cli.messages import explain
from seq2seq.cli.objective import objective_of
from seq2seq.cli.plan import Planned, as_set, check_sweeps, choosing_variants, plan_runs, variants_of
from seq2seq.cli.precision import settle_here
from seq2seq.cli.processes import Meeting, parted, rank
from seq2seq.cli.quoting import quote
from seq2seq.cli.run import run_training
from seq2seq.cli.run_folder import COMMAND, own_folder
from seq2seq.cli.signals import unhidden
from seq2seq.cli.sweep import composed_once
from seq2seq.cli.values import without_empty_groups
from seq2seq.errors import Interrupted, UserError
from seq2seq.options import compose_hydra, composed, config_folder
from seq2seq.training.precision import Precision

SWEEP = {"-m", "--multirun"}
HYDRA_OPTIONS = {*SWEEP, "-c", "--cfg", "--resolve", "-p", "--package", "-i", "--info"}

FULL_ERROR = "HYDRA_FULL_ERROR"
"""By which a user asks Hydra, and this program, for the whole trace of an error."""

MODE = re.compile(r"\+{0,2}hydra\.mode=(?P<value>.*)", re.DOTALL)
MULTIRUN = re.compile(r"(['\"]?)((RunMode\.)?MULTIRUN|2)\1")
"""What Hydra takes for this mode."""

PARAMS = re.compile(r"\+{0,2}hydra\.sweeper\.params[.=]")
"""Overrides of what only a file can say: Hydra merges them into nothing, and fails."""

SUBFOLDER = "hydra.output_subdir"


def main(arguments: list[str]) -> None:
    """Run the command: one run; with --multirun one for each combination of values; and all that for each variant."""
    train(arguments)


def train(arguments: list[str], *, single: bool = False) -> list[Path]:
    """Do what the command does, and return the folders of the runs that this process made; `single`: of one alone."""
    arguments = _with_multirun(arguments)
    options = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
    sweep = bool(options & SWEEP)
    overrides = as_set(without_empty_groups("train", quote(arguments, sweep=sweep)))
    unknown = options - HYDRA_OPTIONS
    if unknown:
        raise UserError(f"{min(unknown)}: there is no such option; the options are {', '.join(sorted(HYDRA_OPTIONS))}")
    if params := next((override for override in overrides if PARAMS.match(override)), None):
        raise UserError(f"{params}: values of a sweep are overrides themselves, such as --multirun seed=1,2")
    if sweep and any(override.startswith("resume=") for override in overrides):
        raise UserError("resume: --multirun starts new runs; resume each of its unfinished runs without it")
    variants = [
        variant._replace(overrides=as_begun(variant.overrides, sweep=sweep))
        for variant in variants_of(overrides, sweep=sweep)
    ]
    if single and (options or len(variants) > 1):
        raise UserError("these overrides ask for several runs; train one at a time, or use the command line")
    if not options:
        place, planned = plan_runs(variants)
    else:  # there are several runs a variant, or Hydra only shows what there would be
        place, planned = Meeting(), [Planned(variant, variant.overrides) for variant in variants]
        if options <= SWEEP:
            check_sweeps(variants, overrides)
    return _run_each(planned, place, sweep=sweep)


def _with_multirun(arguments: list[str]) -> list[str]:
    """Return arguments in which --multirun stands where `hydra.mode`, in them or in a file, says the same."""
    modes = {argument: found["value"] for argument in arguments if (found := MODE.fullmatch(argument))}
    asking = [argument for argument, mode in modes.items() if MULTIRUN.fullmatch(mode)]
    if not modes and not any(argument.startswith("-") for argument in arguments):
        given = without_empty_groups("train", quote(choosing_variants(as_set(arguments))))
        if composed("train", tuple(given)).hydra.mode == RunMode.MULTIRUN:
            return ["--multirun", *arguments]
    return ["--multirun", *(a for a in arguments if a not in asking)] if asking else arguments


def _run_each(planned: list[Planned], place: Meeting, *, sweep: bool) -> list[Path]:
    """Run one after the other and return the folders; a variant that fails does not keep the others from running."""
    failures: list[Exception] = []
    folders: list[Path] = []
    for variant, overrides, precision in planned:
        try:
            if overrides is None:
                print(f"finished already: {variant.name}")
            else:
                with unhidden():
                    folders += _run(overrides, place, sweep=sweep, precision=precision)
        except (Interrupted, KeyboardInterrupt) as interruption:
            if len(planned) == 1 or sweep:
                raise
            remedy = "the same command with resume=true finishes the variants"
            if isinstance(interruption, Interrupted):
                raise interruption.saying(remedy) from None
            raise KeyboardInterrupt(remedy) from None
        except Exception as error:
            if len(planned) == 1:
                raise
            failures.append(error)
            print(f"error: {variant.name}: {explain(error, 'train', [])}", file=sys.stderr)
    if failures:
        raise UserError(f"{len(failures)} of {len(planned)} variants failed; the others are whole")
    return folders


def _run(overrides: list[str], place: Meeting, *, sweep: bool, precision: Precision | None) -> list[Path]:
    """Train once; of a sweep each job settles its precision where it runs, else it is that of process 0.

    Returns the folders of what was trained here.
    """
    failure: list[Exception] = []
    folders: list[Path] = []

    def job(config: DictConfig) -> float | list[float] | None:
        try:
            # With these Lightning starts the other processes of a host: one run of a sweep each, not the sweep.
            sys.argv = [program, "train", *(_one_of_sweep() if sweep else overrides)]
            _full_error(before)
            record = None
            with ExitStack() as claim:
                with place.alike():
                    chosen = settle_here(config) if sweep else precision or Precision(config.trainer.precision)
                    if rank() == 0:  # the first process speaks, and writes
                        record = claim.enter_context(own_folder(config, subfolder=subfolder))
                    else:
                        logging.disable(logging.WARNING)
                if sweep:  # else it stands in the overrides already; the others must not come to another by themselves
                    sys.argv.append(f"trainer.precision={chosen.value}")
                with unhidden(), parted(), own_stance(config):
                    metrics = run_training(config, chosen, place, record)
                folders.append(Path(config.output))
                return objective_of(config.objective, metrics) if sweep else None
        except Exception as error:
            if sweep:
                raise  # Hydra goes on with the other runs, and raises at the end
            failure.append(error)
            return None
        finally:
            _full_error("1")

    program, before = sys.argv[0], os.environ.get(FULL_ERROR)
    subfolder = _subfolder(overrides)
    with _hydra_raises():
        if any(override.startswith("-") for override in overrides):
            _run_by_hydra(overrides, job)
        else:
            _run_composed(overrides, job)
    if failure:
        raise failure[0]
    return folders


def _run_composed(overrides: list[str], job: TaskFunction) -> None:
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


def _run_by_hydra(overrides: list[str], job: TaskFunction) -> None:
    """Let Hydra run each of a sweep, or show what it is asked to show."""
    # Hydra's parser takes overrides together only, so options come before them all.
    given = sorted(overrides, key=lambda given: not given.startswith("-") and ("=" in given or given[0] == "~"))
    sys.argv = ["seq2seq train", *given, f"{SUBFOLDER}=null"]
    with composed_once():
        hydra.main(config_path=str(config_folder()), config_name="train", version_base="1.3")(job)()


def _one_of_sweep() -> list[str]:
    """Return the overrides of the run that Hydra runs now, as of one alone, also where a file asks for a sweep."""
    return [*HydraConfig.get().overrides.task, f"hydra.mode={RunMode.RUN.name}"]


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Make Hydra hand its own errors on instead of printing them and exiting, so that `seq2seq` says one line."""
    argv, before = sys.argv, os.environ.get(FULL_ERROR)
    _full_error("1")
    try:
        yield
    finally:
        sys.argv = argv
        _full_error(before)


def _full_error(value: str | None) -> None:
    os.environ.pop(FULL_ERROR, None)
    if value is not None:
        os.environ[FULL_ERROR] = value


def _subfolder(overrides: list[str]) -> str | None:
    """Return where in a run's folder the account of its command is to be."""
    given = [override for override in overrides if override.lstrip("+").startswith(f"{SUBFOLDER}=")]
    return str(OverridesParser.create().parse_override(given[-1]).value() or "") or None if given else COMMAND
