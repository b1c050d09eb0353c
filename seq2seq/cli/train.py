"""`seq2seq train`: a run, or many; Hydra composes each."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from seq2seq.checkpoint import LAST, PREVIOUS
from seq2seq.cli.messages import explain
from seq2seq.cli.objective import check_objective, objective_of
from seq2seq.cli.options import check_types, compose_defaults, compose_hydra, config_folder, quote
from seq2seq.cli.processes import Meeting, meeting, rank
from seq2seq.cli.resume import resumed
from seq2seq.cli.run import run_training
from seq2seq.cli.run_folder import claimed, mark_failed
from seq2seq.errors import Interrupted, UserError

HYDRA_OPTIONS = {"-m", "--multirun", "-c", "--cfg", "--resolve", "-p", "--package", "-i", "--info"}

FULL_ERROR = "HYDRA_FULL_ERROR"
"""By which a user asks Hydra, and this program, for the whole trace of an error."""

LONGEST_NAME = 200
"""Characters of a run's name: most file systems allow 255 bytes."""


def main(arguments: list[str]) -> None:
    """Run the command: one run; with --multirun one for each combination of values; and all that for each variant."""
    options = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
    sweep = bool(options & {"-m", "--multirun"})
    overrides = quote(arguments, sweep=sweep)
    unknown = options - HYDRA_OPTIONS
    if unknown:
        raise UserError(f"{min(unknown)}: there is no such option; the options are {', '.join(sorted(HYDRA_OPTIONS))}")
    if sweep and any(override.startswith("resume=") for override in overrides):
        raise UserError("resume: --multirun starts new runs; resume each of its unfinished runs without it")
    variants = _variants(overrides)
    place = Meeting()
    runs: list[list[str] | None] = [[*overrides, *variant] for variant in variants]
    if not options:  # else there are several, or Hydra only shows what there would be
        for variant in variants:
            _check_run([*overrides, *variant])
        place = meeting()
        runs = place.agreed(
            lambda: [resumed([*overrides, *variant], variant=bool(variant)) for variant in variants], runs
        )
    elif sweep and len(options) == 1:
        for variant in variants:
            for combination in _combinations([*overrides, *variant]):
                _check_run(combination)
    failures: list[Exception] = []
    for run, variant in zip(runs, variants, strict=True):
        try:
            if run is None:
                print(f"finished already: {' '.join(variant[:-1])}")
            else:
                _run(run, place, sweep=sweep)
        except (Interrupted, KeyboardInterrupt) as interruption:
            if len(variants) == 1 or sweep:
                raise
            remedy = "the same command with resume=true finishes the variants"
            if isinstance(interruption, Interrupted):
                raise interruption.saying(remedy) from None
            raise KeyboardInterrupt(remedy) from None
        except Exception as error:
            if len(variants) == 1:
                raise
            failures.append(error)
            print(f"error: {' '.join(variant[:-1])}: {explain(error, 'train', [])}", file=sys.stderr)
    if failures:
        raise UserError(f"{len(failures)} of {len(variants)} variants failed; the others are whole")


def _variants(overrides: list[str]) -> list[list[str]]:
    """Return what each variant of an experiment adds to the overrides; nothing, once, where there are none."""
    given = [override for override in overrides if override.startswith(("experiment=", "variants="))]
    config = compose_defaults("train", given)
    variants = config.variants
    if variants is not None and not (
        isinstance(variants, ListConfig) and all(isinstance(variant, str) for variant in variants)
    ):
        raise UserError(f"variants={variants}: expected a list, such as variants=['score=dot','score=general']")
    asking = [variant for variant in variants or [] if "resume=" in variant]
    if asking:
        raise UserError(f"variants: {asking[0]}: say resume=true beside variants, for all of them")
    return [[*variant.split(), "variants=null"] for variant in variants] if variants else [[]]


def _combinations(overrides: list[str]) -> list[list[str]]:
    """Return the overrides of every run of a --multirun, of an interval those of its ends.

    None where Hydra alone can tell, as of glob(*).
    """
    parsed = OverridesParser.create().parse_overrides([o for o in overrides if not o.startswith("-")])
    try:
        return [list(run) for run in product(*map(_values, parsed))]
    except HydraException:
        return []


def _values(override: Override) -> list[str]:
    """Return an override for each value that its key is to have."""
    key, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return [f"{key}={value.start}", f"{key}={value.end}"]
    if override.is_discrete_sweep():
        return [f"{key}={value}" for value in override.sweep_string_iterator()]
    return [str(override.input_line)]


def _check_run(overrides: list[str]) -> None:
    """Refuse now what would else be found when other variants have been trained, or never."""
    check_types("train", overrides)
    config = compose_hydra("train", overrides)
    check_objective(config, config.hydra.sweeper)
    name = str(config.run_name)
    plain = isinstance(config.run_name, str | int | float) and isinstance(config.label, str | int | float)
    if not name or "/" in name or name.startswith(".") or len(name) > LONGEST_NAME or not plain:
        raise UserError(
            f"label={config.label}: a run is kept in a folder of its name, {name!r}; give a short label without /"
        )
    best = OmegaConf.select(config, "callbacks.best.filename")
    if f"{best}.ckpt" in (LAST, PREVIOUS):
        raise UserError(f"callbacks.best.filename={best} is the name of what a run goes on from; take another")
    if config.decoder._target_.endswith("BottleneckDecoder") and not config.score._target_.endswith("NoScore"):
        raise UserError("a bottleneck asks nothing, so a score would change nothing; leave score out")
    if not (isinstance(config.seed, int) and 0 <= config.seed < 2**32):
        raise UserError(f"seed={config.seed}: expected a number from 0 to {2**32 - 1}")


def _run(overrides: list[str], place: Meeting, *, sweep: bool) -> None:
    failure: list[Exception] = []

    def job(config: DictConfig) -> float | list[float] | None:
        folder = Path(config.output)
        try:
            # With these Lightning starts the other processes of a host.
            sys.argv = [program, "train", *overrides]
            _full_error(before)
            with ExitStack() as claim:
                with place.alike():
                    if rank() == 0:  # the others come when it may have begun to write
                        claim.enter_context(claimed(folder))
                        _check_folder(folder, resume=bool(config.resume))
                    else:
                        logging.disable(logging.WARNING)
                try:
                    metrics = run_training(config, place)
                    return objective_of(config, metrics) if sweep else None
                except Exception as error:
                    mark_failed(folder, error)
                    raise
        except Exception as error:
            if sweep:
                raise  # Hydra goes on with the other runs, and raises at the end
            failure.append(error)
            return None
        finally:
            _full_error("1")

    program, before = sys.argv[0], os.environ.get(FULL_ERROR)
    with _hydra_raises():
        # Hydra's parser takes options before overrides only.
        sys.argv = ["seq2seq train", *sorted(overrides, key=lambda override: override not in ("-m", "--multirun"))]
        hydra.main(config_path=str(config_folder()), config_name="train", version_base="1.3")(job)()
    if failure:
        raise failure[0]


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


def _check_folder(folder: Path, *, resume: bool) -> None:
    """Refuse a folder in which another run lies: its results would be lost, or taken for those of this one."""
    kept = [name for name in ("config.yaml", "metrics.json", "checkpoints") if (folder / name).exists()]
    if kept and not resume:
        raise UserError(
            f"{folder} holds another run ({kept[0]}); give another folder, or go on with it: resume={folder}"
        )
