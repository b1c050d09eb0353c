"""What `seq2seq train` is asked for: the variants, each checked before any is trained, and where each run goes on."""

from typing import NamedTuple

from omegaconf import ListConfig

from seq2seq.cli.check_run import check_run
from seq2seq.cli.precision import settle_here, settled
from seq2seq.cli.processes import Meeting, meeting, refuse_several
from seq2seq.cli.quoting import quote
from seq2seq.cli.resume import resumed
from seq2seq.cli.run_folder import bears_time
from seq2seq.cli.shorthand import expand
from seq2seq.cli.sweep import configurations
from seq2seq.cli.values import check_types
from seq2seq.errors import UserError
from seq2seq.options import composed
from seq2seq.training.precision import Precision
from seq2seq.training.settings import check_devices

LOOKED_FOR = ("begin_with", "output", "resume", "tokenizer.checkpoint", "tokenizer.grow", "variants")
"""Keys that decide, before Hydra composes a configuration, what is to be composed."""


class Variant(NamedTuple):
    """One of the runs, or sweeps, that a command asks for."""

    name: str  # what an experiment says of it; empty where there is no experiment of several
    overrides: list[str]


class Planned(NamedTuple):
    """A variant that was looked at: what is to be run of it, and how."""

    variant: Variant
    overrides: list[str] | None  # those of the run that it goes on with, or its own; None: it is finished already
    precision: Precision | None = None  # None: each job settles its own where it runs


def as_set(overrides: list[str]) -> list[str]:
    """Return overrides in which the keys that this program looks for stand as such: `++resume=true` sets `resume`."""
    return [o.lstrip("+") if o.partition("=")[0].lstrip("+") in LOOKED_FOR else o for o in overrides]


def choosing_variants(overrides: list[str]) -> list[str]:
    """Return those overrides that say which variants there are."""
    return [override for override in overrides if override.startswith(("experiment=", "variants="))]


def variants_of(overrides: list[str], *, sweep: bool) -> list[Variant]:
    """Return the variants of an experiment, else the one that the overrides are; with short names expanded."""
    config = composed("train", tuple(choosing_variants(overrides)))
    variants = config.variants
    if variants is not None and not (
        isinstance(variants, ListConfig) and all(isinstance(variant, str) for variant in variants)
    ):
        raise UserError(f"variants={variants}: expected a list, such as variants=['score=dot','score=general']")
    asking = [variant for variant in variants or [] if "resume=" in variant]
    if asking:
        raise UserError(f"variants: {asking[0]}: say resume=true beside variants, for all of them")
    added = (
        [(variant, [*quote(variant.split(), sweep=sweep), "variants=null"]) for variant in variants]
        if variants
        else [("", [])]
    )
    return [Variant(name, run) for name, more in added for run in expand([*overrides, *more], sweep=sweep)]


def plan_runs(variants: list[Variant]) -> tuple[Meeting, list[Planned]]:
    """Return where the processes of this launch meet, and what each variant's run is, once none is refused."""
    folders: set[str] = set()
    for variant in variants:
        check_types("train", variant.overrides)
        config = composed("train", tuple(variant.overrides))
        check_run(variant.overrides, config, sweep=False)
        check_devices(config.trainer.accelerator, config.trainer.devices)
        if config.resume in (False, "auto") and not bears_time(config.hydra.run):
            folder = config.hydra.run.dir
            if folder in folders:
                raise UserError(
                    f"hydra.run.dir={folder}: a folder is for one run, and several variants would have it; leave it "
                    f"out, or say 'hydra.run.dir={folder}/${{run_name}}', with a label for each variant"
                )
            folders.add(folder)
    precisions: list[Precision | None] = [None for _ in variants]  # in the others it stands in what they are told

    def decide() -> list[list[str] | None]:
        decided: list[list[str] | None] = []
        for number, variant in enumerate(variants):
            run = resumed(variant.overrides, variant=bool(variant.name))
            if run is not None:
                run, precisions[number] = settled(run)
            decided.append(run)
        return decided

    place = meeting()
    runs = place.agreed(decide, [variant.overrides for variant in variants])
    return place, [Planned(*plan) for plan in zip(variants, runs, precisions, strict=True)]


def check_sweeps(variants: list[Variant], overrides: list[str]) -> None:
    """Refuse now what a run of a sweep would be refused for when others have been trained."""
    launcher = any(override.startswith("hydra/launcher=") for override in overrides)  # which may start it elsewhere
    refuse_several("--multirun", handed_on=launcher)
    for variant in variants:
        for config in configurations(variant.overrides):
            check_run(variant.overrides, config, sweep=True)
            if not launcher:
                settle_here(config)
