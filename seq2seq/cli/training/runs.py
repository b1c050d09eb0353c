"""The runs of `seq2seq train`: all planned before one is trained, then run one after the other."""

import logging
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from seq2seq.build_training import own_stance
from seq2seq.cli.keys.messages import explain
from seq2seq.cli.process.signals import unhidden
from seq2seq.cli.training.by_hydra import (
    FULL_ERROR,
    SUBFOLDER,
    full_error,
    hydra_raises,
    one_of_sweep,
    run_by_hydra,
    run_composed,
)
from seq2seq.cli.training.objective import objective_of
from seq2seq.cli.training.plan import Planned, check_sweeps, plan_runs
from seq2seq.cli.training.precision import settle_here
from seq2seq.cli.training.processes import Meeting, parted, rank
from seq2seq.cli.training.run import run_training
from seq2seq.cli.training.run_folder import COMMAND, own_folder
from seq2seq.cli.training.variants import Variant
from seq2seq.errors import Interrupted, UserError
from seq2seq.training.precision import Precision


def run_variants(variants: list[Variant], *, sweep: bool) -> list[Path]:
    """Plan the runs of all variants, run them, and return the folders of those that this process made.

    Args:
        variants: whose options and values are known to be possible.
        sweep: whether there are several runs a variant.
    """
    if sweep:
        check_sweeps(variants)
        place, planned = Meeting(), [Planned(variant, variant.overrides) for variant in variants]
    else:
        place, planned = plan_runs(variants)
    return _run_each(planned, place, sweep=sweep)


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
            sys.argv = [program, "train", *(one_of_sweep() if sweep else overrides)]
            full_error(before)
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
            full_error("1")

    program, before = sys.argv[0], os.environ.get(FULL_ERROR)
    subfolder = _subfolder(overrides)
    with hydra_raises():
        if any(override.startswith("-") for override in overrides):
            run_by_hydra(overrides, job)
        else:
            run_composed(overrides, job)
    if failure:
        raise failure[0]
    return folders


def _subfolder(overrides: list[str]) -> str | None:
    """Return where in a run's folder the account of its command is to be."""
    given = [override for override in overrides if override.lstrip("+").startswith(f"{SUBFOLDER}=")]
    return str(OverridesParser.create().parse_override(given[-1]).value() or "") or None if given else COMMAND
