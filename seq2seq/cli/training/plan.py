"""What `seq2seq train` will do: each variant checked before any is trained, and where each run goes on."""

import re
from typing import NamedTuple

from omegaconf import OmegaConf

from seq2seq.cli.training.check_run import check_run
from seq2seq.cli.training.precision import check_machine, settle_here, settled
from seq2seq.cli.training.processes import Meeting, meeting, refuse_several
from seq2seq.cli.training.resume import resumed
from seq2seq.cli.training.run_folder import bears_time
from seq2seq.cli.training.sweep import configurations
from seq2seq.cli.training.variants import Variant
from seq2seq.errors import UserError
from seq2seq.options import composed
from seq2seq.training.precision import Precision

OF_EACH = re.compile(r"\$\{(now:|hydra[:.]job\.)")
"""What gives each run of a sweep a folder of another name: the time, for which there is another name, or its number."""


class Planned(NamedTuple):
    """A variant that was looked at: what is to be run of it, and how."""

    variant: Variant
    overrides: list[str] | None  # those of the run that it goes on with, or its own; None: it is finished already
    precision: Precision | None = None  # None: each job settles its own where it runs


def plan_runs(variants: list[Variant]) -> tuple[Meeting, list[Planned]]:
    """Return where the processes of this launch meet, and what each variant's run is, once none is refused."""
    folders: set[str] = set()
    for variant in variants:
        config = composed("train", tuple(variant.overrides))
        check_run(variant.overrides, config, sweep=False)
        check_machine(config)
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


def check_sweeps(variants: list[Variant]) -> None:
    """Refuse now what a run of a sweep would be refused for when others have been trained."""
    overrides = [override for variant in variants for override in variant.overrides]
    launcher = any(override.startswith("hydra/launcher=") for override in overrides)  # which may start it elsewhere
    refuse_several("--multirun", handed_on=launcher)
    folders: set[str] = set()
    for variant in variants:
        for config in configurations(variant.overrides):
            check_run(variant.overrides, config, sweep=True)
            if not OF_EACH.search(str(OmegaConf.to_container(config.hydra.sweep, resolve=False))):
                subdir = str(config.hydra.sweep.subdir)
                if subdir in folders:
                    raise UserError(
                        f"hydra.sweep.subdir={subdir}: a folder is for one run, and several would have it; leave it "
                        f"out, or say 'hydra.sweep.subdir={subdir}/${{hydra:job.num}}'"
                    )
                folders.add(subdir)
            if not launcher:
                settle_here(config)
