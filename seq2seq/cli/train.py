"""`seq2seq train`: a run, or many; Hydra composes each."""

import re
from pathlib import Path

from hydra.types import RunMode

from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.values import without_empty_groups
from seq2seq.cli.training.by_hydra import show
from seq2seq.cli.training.variants import as_set, check_variants, choosing_variants, is_begun, variants_of
from seq2seq.config_files import OWN
from seq2seq.errors import UserError
from seq2seq.options import composed

SWEEP = {"-m", "--multirun"}
HYDRA_OPTIONS = {*SWEEP, "-c", "--cfg", "--resolve", "-p", "--package", "-i", "--info"}

OF_FOLDERS = {"-cd", "--config-dir", "-cp", "--config-path"}
"""Other options of Hydra's, for what needs none here."""

MODE = re.compile(r"\+{0,2}hydra\.mode=(?P<value>.*)", re.DOTALL)
MULTIRUN = re.compile(r"(['\"]?)((RunMode\.)?MULTIRUN|2)\1")
"""What Hydra takes for this mode."""

PARAMS = re.compile(r"\+{0,2}hydra\.sweeper\.params[.=]")
"""Overrides of what only a file can say: Hydra merges them into nothing, and fails."""


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
    if unknown & OF_FOLDERS:
        raise UserError(f"{min(unknown & OF_FOLDERS)}: files of your own are read from {OWN}/ in the present folder")
    if unknown:
        raise UserError(f"{min(unknown)}: there is no such option; the options are {', '.join(sorted(HYDRA_OPTIONS))}")
    if params := next((override for override in overrides if PARAMS.match(override)), None):
        raise UserError(f"{params}: values of a sweep are overrides themselves, such as --multirun seed=1,2")
    if sweep and any(override.startswith("resume=") for override in overrides):
        raise UserError("resume: --multirun starts new runs; resume each of its unfinished runs without it")
    variants = variants_of(overrides, sweep=sweep)
    if single and options - SWEEP:
        raise UserError(f"{min(options - SWEEP)} is an option of the command line; give overrides alone")
    if single and (options or len(variants) > 1):
        raise UserError("these overrides ask for several runs; train one at a time, or use the command line")
    shown = bool(options - SWEEP)
    if not shown:
        check_variants(variants, sweep=sweep)
    # Imported here: what is mistyped, or only shown, does not wait for PyTorch and Lightning, which take ten seconds.
    if any(is_begun(variant) for variant in variants):
        from seq2seq.cli.training.begin import as_begun

        variants = [variant._replace(overrides=as_begun(variant.overrides, sweep=sweep)) for variant in variants]
    if shown:
        for variant in variants:
            show(variant.overrides)
        return []
    from seq2seq.cli.training.runs import run_variants

    return run_variants(variants, sweep=sweep)


def _with_multirun(arguments: list[str]) -> list[str]:
    """Return arguments in which --multirun stands where `hydra.mode`, in them or in a file, says the same."""
    modes = {argument: found["value"] for argument in arguments if (found := MODE.fullmatch(argument))}
    asking = [argument for argument, mode in modes.items() if MULTIRUN.fullmatch(mode)]
    if not modes and not any(argument.startswith("-") for argument in arguments):
        given = without_empty_groups("train", quote(choosing_variants(as_set(arguments))))
        if composed("train", tuple(given)).hydra.mode == RunMode.MULTIRUN:
            return ["--multirun", *arguments]
    return ["--multirun", *(a for a in arguments if a not in asking)] if asking else arguments
