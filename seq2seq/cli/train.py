"""`seq2seq train`: a run, or many; Hydra composes each."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig, OmegaConf

from seq2seq.build_training import check_parts
from seq2seq.checkpoint import LAST, PREVIOUS
from seq2seq.cli.begin import as_begun
from seq2seq.cli.messages import explain
from seq2seq.cli.objective import check_objective, objective_of
from seq2seq.cli.precision import settle_here, settled
from seq2seq.cli.processes import Meeting, meeting, rank, refuse_several
from seq2seq.cli.quoting import quote
from seq2seq.cli.resume import resumed
from seq2seq.cli.run import run_training
from seq2seq.cli.run_folder import CACHE, COMMAND, check_places, own_folder
from seq2seq.cli.shorthand import expand
from seq2seq.cli.sweep import composed_once, configurations
from seq2seq.cli.values import check_types
from seq2seq.errors import Interrupted, UserError
from seq2seq.options import compose_defaults, compose_hydra, config_folder
from seq2seq.training.precision import Precision
from seq2seq.training.settings import check_devices

HYDRA_OPTIONS = {"-m", "--multirun", "-c", "--cfg", "--resolve", "-p", "--package", "-i", "--info"}

FULL_ERROR = "HYDRA_FULL_ERROR"
"""By which a user asks Hydra, and this program, for the whole trace of an error."""

MULTIRUN = "hydra.mode=MULTIRUN"
SUBFOLDER = "hydra.output_subdir"

NO_ATTENTION = {"score": "score/none", "normalizer": "normalizer/softmax", "cross_pattern": "pattern/full"}
"""Keys of the parts of an attention, and the files that a bottleneck has there."""

LONGEST_NAME = 200
"""Characters of a run's name: most file systems allow 255 bytes."""


def main(arguments: list[str]) -> None:
    """Run the command: one run; with --multirun one for each combination of values; and all that for each variant."""
    train(arguments)


def train(arguments: list[str], *, single: bool = False) -> list[Path]:
    """Do what the command does, and return the folders of the runs that this process made; `single`: of one alone."""
    options = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
    if MULTIRUN in arguments:  # the same, said to Hydra
        arguments = ["--multirun", *(argument for argument in arguments if argument != MULTIRUN)]
        options.add("--multirun")
    sweep = bool(options & {"-m", "--multirun"})
    overrides = quote(arguments, sweep=sweep)
    unknown = options - HYDRA_OPTIONS
    if unknown:
        raise UserError(f"{min(unknown)}: there is no such option; the options are {', '.join(sorted(HYDRA_OPTIONS))}")
    if sweep and any(override.startswith("resume=") for override in overrides):
        raise UserError("resume: --multirun starts new runs; resume each of its unfinished runs without it")
    variants = [
        variant._replace(overrides=as_begun(variant.overrides, sweep=sweep))
        for variant in _variants(overrides, sweep=sweep)
    ]
    if single and (options or len(variants) > 1):
        raise UserError("these overrides ask for several runs; train one at a time, or use the command line")
    place = Meeting()
    runs: list[list[str] | None] = [variant.overrides for variant in variants]
    precisions: list[Precision | None] = [None for _ in variants]
    if not options:  # else there are several, or Hydra only shows what there would be
        for variant in variants:
            check_types("train", variant.overrides)
            config = compose_hydra("train", variant.overrides)
            _check_run(variant.overrides, config, sweep=False)
            check_devices(config.trainer.accelerator, config.trainer.devices)

        def begin() -> list[list[str] | None]:
            begun: list[list[str] | None] = []
            for number, variant in enumerate(variants):
                run = resumed(variant.overrides, variant=bool(variant.name))
                if run is not None:
                    run, precisions[number] = settled(run)
                begun.append(run)
            return begun

        place = meeting()
        runs = place.agreed(begin, runs)
    elif sweep and len(options) == 1:
        launcher = any(override.startswith("hydra/launcher=") for override in overrides)  # which may start it elsewhere
        refuse_several("--multirun", handed_on=launcher)
        for variant in variants:
            for config in configurations(variant.overrides):
                _check_run(variant.overrides, config, sweep=True)
                if not launcher:
                    settle_here(config)
    failures: list[Exception] = []
    folders: list[Path] = []
    for run, variant, precision in zip(runs, variants, precisions, strict=True):
        try:
            if run is None:
                print(f"finished already: {variant.name}")
            else:
                folders += _run(run, place, sweep=sweep, precision=precision)
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
            print(f"error: {variant.name}: {explain(error, 'train', [])}", file=sys.stderr)
    if failures:
        raise UserError(f"{len(failures)} of {len(variants)} variants failed; the others are whole")
    return folders


class Variant(NamedTuple):
    """One of the runs, or sweeps, that a command asks for."""

    name: str  # what an experiment says of it; empty where there is no experiment of several
    overrides: list[str]


def _variants(overrides: list[str], *, sweep: bool) -> list[Variant]:
    """Return the variants of an experiment, else the one that the overrides are; with short names expanded."""
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
    added = [(variant, [*variant.split(), "variants=null"]) for variant in variants] if variants else [("", [])]
    return [Variant(name, run) for name, more in added for run in expand([*overrides, *more], sweep=sweep)]


def _check_run(overrides: list[str], config: DictConfig, *, sweep: bool) -> None:
    """Refuse now what would else be found when other variants have been trained, or never."""
    if any(override.startswith("output=") for override in overrides):
        raise UserError(
            f"output={config.output} would move only some of the run's files; give hydra.run.dir={config.output}"
        )
    check_objective(config.objective, config.hydra.sweeper)
    name = str(config.run_name)
    plain = isinstance(config.run_name, str | int | float) and isinstance(config.label, str | int | float)
    if not name or "/" in name or name.startswith(".") or len(name) > LONGEST_NAME or not plain:
        raise UserError(
            f"label={config.label}: a run is kept in a folder of its name, {name!r}; give a short label without /"
        )
    if config.hydra.job.chdir:
        raise UserError(
            "hydra.job.chdir=true: relative files would be looked for in the run's folder; leave it out: "
            "all that a run writes is in its folder anyway"
        )
    best = OmegaConf.select(config, "callbacks.best.filename")
    if f"{best}.ckpt" in (LAST, PREVIOUS):
        raise UserError(f"callbacks.best.filename={best} is the name of what a run goes on from; take another")
    _check_bottleneck(config)
    if not (isinstance(config.seed, int) and 0 <= config.seed < 2**32):
        raise UserError(f"seed={config.seed}: expected a number from 0 to {2**32 - 1}")
    check_parts(config)
    places = {CACHE: config.loader.cache_dir}
    if config.resume in (False, "auto"):  # else it goes on elsewhere
        hydra_ = config.hydra
        places |= {"hydra.sweep.dir": hydra_.sweep.dir} if sweep else {"hydra.run.dir": hydra_.run.dir}
    check_places(places)


def _check_bottleneck(config: DictConfig) -> None:
    """Refuse parts of an attention where there is none."""
    if config.decoder._target_.endswith("BottleneckDecoder"):
        for key, file in NO_ATTENTION.items():
            if config.get(key) not in (None, OmegaConf.load(config_folder() / f"{file}.yaml")):
                usual = f"{key}={file.rpartition('/')[2]}"
                raise UserError(
                    f"a bottleneck asks nothing, so {key} would change nothing; leave it out, or say {usual}"
                )


def _run(overrides: list[str], place: Meeting, *, sweep: bool, precision: Precision | None) -> list[Path]:
    """Train once; of a sweep each job settles its precision where it runs, else it is that of process 0.

    Returns the folders of what was trained here.
    """
    failure: list[Exception] = []
    folders: list[Path] = []

    def job(config: DictConfig) -> float | list[float] | None:
        try:
            # With these Lightning starts the other processes of a host: one run of a sweep each, not the sweep.
            sys.argv = [program, "train", *(HydraConfig.get().overrides.task if sweep else overrides)]
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
    with _hydra_raises(), composed_once():
        # Hydra's parser takes overrides together only, so options come before them all.
        given = sorted(overrides, key=lambda given: not given.startswith("-") and ("=" in given or given[0] == "~"))
        # Hydra itself would write its account of the command before it is known whose the folder is.
        sys.argv = ["seq2seq train", *given, f"{SUBFOLDER}=null"]
        hydra.main(config_path=str(config_folder()), config_name="train", version_base="1.3")(job)()
    if failure:
        raise failure[0]
    return folders


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
