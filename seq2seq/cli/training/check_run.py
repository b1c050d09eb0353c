"""What is refused of a run before anything is read or written: settings that cannot be, or mean nothing."""

from omegaconf import DictConfig, OmegaConf

from seq2seq.build_checks import check_parts
from seq2seq.checkpoint import LAST, PREVIOUS
from seq2seq.cli.training.objective import check_objective
from seq2seq.cli.training.run_folder import CACHE, check_places
from seq2seq.config_files import config_folder
from seq2seq.errors import UserError

NO_ATTENTION = {"score": "score/none", "normalizer": "normalizer/softmax", "cross_pattern": "pattern/full"}
"""Keys of the parts of an attention, and the files that a bottleneck has there."""

LONGEST_NAME = 200
"""Characters of a run's name: most file systems allow 255 bytes."""


def check_run(overrides: list[str], config: DictConfig, *, sweep: bool) -> None:
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
