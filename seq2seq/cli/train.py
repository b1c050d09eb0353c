"""`seq2seq train`: data, model, training, test. Hydra composes, Lightning runs."""

import json
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import hydra
import lightning
from omegaconf import DictConfig, ListConfig, OmegaConf

from seq2seq.build import build_data, build_module, build_trainer
from seq2seq.checkpoint import LAST, PREVIOUS, load_content, read_checkpoint
from seq2seq.cli.faults import explain_fault, requeue
from seq2seq.cli.messages import explain
from seq2seq.cli.options import check_types, compose_defaults, config_folder, quote
from seq2seq.cli.output import from_here, write_whole
from seq2seq.cli.processes import agreed, rank
from seq2seq.cli.report import count_parameters, describe_run, report_results
from seq2seq.cli.resume import begin_from, resumed
from seq2seq.cli.run_folder import FAILED, claimed, keep_results, mark_failed
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.errors import Interrupted, UserError
from seq2seq.evaluation.evaluator import Evaluation, evaluate
from seq2seq.training.callbacks import Throughput, log_hyperparameters
from seq2seq.training.gradients import GRADIENTS
from seq2seq.training.last_checkpoint import rewind_events
from seq2seq.training.memory import peak_mib, reset_peak
from seq2seq.training.module import TranslationModule

log = logging.getLogger(__name__)

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
    runs: list[list[str] | None] = [[*overrides, *variant] for variant in variants]
    if not options:  # else there are several, or Hydra only shows what there would be
        for variant in variants:
            _check_run([*overrides, *variant])
        runs = agreed(lambda: [resumed([*overrides, *variant], variant=bool(variant)) for variant in variants], runs)
    failures: list[Exception] = []
    for run, variant in zip(runs, variants, strict=True):
        try:
            if run is None:
                print(f"finished already: {' '.join(variant[:-1])}")
            else:
                _run(run, sweep=sweep)
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


def _check_run(overrides: list[str]) -> None:
    """Refuse now what would else be found when other variants have been trained, or never."""
    check_types("train", overrides)
    config = compose_defaults("train", overrides)
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


def _run(overrides: list[str], *, sweep: bool) -> None:
    failure: list[Exception] = []

    def job(config: DictConfig) -> dict[str, float]:
        folder = Path(config.output)
        try:
            # With these Lightning starts the other processes of a host.
            sys.argv = [program, "train", *overrides]
            _full_error(before)
            with claimed(folder) if rank() == 0 else nullcontext():
                if rank() == 0:  # the others come when it may have begun to write
                    _check_folder(folder, resume=bool(config.resume))
                else:
                    logging.disable(logging.WARNING)
                try:
                    return train(config)
                except Exception as error:
                    mark_failed(folder, error)
                    raise
        except Exception as error:
            if sweep:
                raise  # Hydra goes on with the other runs, and raises at the end
            failure.append(error)
            return {}
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


def train(config: DictConfig) -> dict[str, float]:
    """Train, test with the best checkpoint, and return what `metrics.json` holds."""
    _quiet()
    folder = Path(config.output)
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    if not sys.stdout.isatty():  # a bar that redraws itself would fill a log file
        config.trainer.enable_progress_bar = False
        config.callbacks.progress_bar = None
    data = build_data(config)
    splits = _test_splits(config, data)
    start = begin_from(folder, data) if config.resume else None
    module = build_module(config, data, plain)
    trainer = build_trainer(config)
    before = (folder / "config.yaml").read_text(encoding="utf-8") if start else None
    if trainer.is_global_zero:
        if config.resume:
            rewind_events(folder, load_content(start) if start else {})
        _write_config(folder, OmegaConf.to_yaml(OmegaConf.create(plain)))
    describe_run(folder, data, module, trainer)

    device = trainer.strategy.root_device
    reset_peak(device)
    try:
        _fit(trainer, module, data, folder, start)
    except BaseException:
        if before is not None and module.batch is None and trainer.is_global_zero:
            _write_config(folder, before)  # what it was resumed with does not fit the run
        raise

    best = folder / "checkpoints" / "best.ckpt"
    if best.exists():
        checkpoint = read_checkpoint(best)
        module.model.load_state_dict(checkpoint.weights)
        module.alignment = checkpoint.alignment
    metrics = {
        "parameters": count_parameters(module),
        "seed": config.seed,
        "epochs": trainer.current_epoch,
        "steps": trainer.global_step,
    }
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Throughput):
            metrics["train/seconds"] = round(callback.seconds, 3)
            metrics["train/target_tokens_per_second"] = round(callback.target_tokens_per_second, 1)
            metrics["train/waiting_share"] = round(callback.waiting / max(callback.seconds, 1e-9), 5)
    metrics["train/peak_memory_mib"] = round(peak_mib(device), 1)
    gradients = {name: value for name, value in trainer.callback_metrics.items() if name.startswith(GRADIENTS)}
    metrics |= {name: float(value) for name, value in gradients.items()}
    evaluations = _test(splits, data, module)
    for split, evaluation in evaluations.items():
        metrics |= {f"{split}/{name}": value for name, value in evaluation.metrics.items()}
    if trainer.is_global_zero:
        log_hyperparameters(trainer, plain, metrics)
        keep_results(folder, config.pinned, data, module, evaluations)
        with write_whole(folder / "metrics.json") as file:
            json.dump(metrics, file, indent=2)
        report_results(folder, data, evaluations)
    return metrics


def _write_config(folder: Path, text: str) -> None:
    with write_whole(folder / "config.yaml") as file:
        file.write(text)
    (folder / FAILED).unlink(missing_ok=True)  # of an attempt that is resumed now


def _check_folder(folder: Path, *, resume: bool) -> None:
    """Refuse a folder in which another run lies: its results would be lost, or taken for those of this one."""
    kept = [name for name in ("config.yaml", "metrics.json", "checkpoints") if (folder / name).exists()]
    if kept and not resume:
        raise UserError(
            f"{folder} holds another run ({kept[0]}); give another folder, or go on with it: resume={folder}"
        )


def _test_splits(config: DictConfig, data: TranslationDataModule) -> list[str]:
    """Return the splits to score in the end, each read once now: a mistake in one must not cost a training."""
    splits = config.training.test_splits
    if splits is None:
        splits = [split for split in data.corpus.splits() if split.startswith("test")]
    elif not isinstance(splits, ListConfig):
        raise UserError(f"training.test_splits={splits}: expected a list, such as [{splits}]")
    for split in splits:
        data.dataset(split)
    if not isinstance(config.pinned, ListConfig):
        raise UserError(f"pinned={config.pinned}: expected a list of validation sentences, such as [0,1]")
    wrong = [number for number in config.pinned if type(number) is not int or number < 0]
    if wrong:
        raise UserError(f"pinned: {wrong[0]} is no sentence of the validation set; they are counted from 0")
    absent = [number for number in config.pinned if number >= len(data.dataset("val"))]
    if absent:
        log.warning("pinned: there are %d validation sentences, so %s is not shown", len(data.dataset("val")), absent)
    return list(splits)


def _fit(
    trainer: lightning.Trainer,
    module: TranslationModule,
    data: TranslationDataModule,
    folder: Path,
    start: Path | None,
) -> None:
    last = folder / "checkpoints" / LAST
    remedy = f"go on with resume={from_here(folder)} and the same overrides"
    try:
        trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True)
    except Interrupted as interruption:
        if interruption.number == signal.SIGUSR1 and trainer.is_global_zero:
            requeue()
        if not trainer.is_global_zero:
            interruption.args = ()  # one of several processes speaks for all
            raise
        raise interruption.saying(remedy) from None
    except SystemExit:  # what Lightning makes of a second Ctrl-C, once it has closed its loggers
        if not trainer.interrupted:
            raise
        raise KeyboardInterrupt(remedy if last.exists() else "no checkpoint yet") from None
    except Exception as error:
        fault = explain_fault(error, module.batch, data.tokens_per_batch, from_here(folder))
        if fault is None and not isinstance(error, UserError):
            raise
        if last.exists() and module.batch is not None:  # else it is a mistake that was made before the first step
            raise UserError(f"{fault or error}; then {remedy}") from error
        raise UserError(fault or str(error)) from error


def _test(splits: list[str], data: TranslationDataModule, module: TranslationModule) -> dict[str, Evaluation]:
    """Return the scores of val and the test splits, each whole on every process."""
    data.trainer = None  # with a trainer, its processes would share a split out among them
    return {
        split: evaluate(module.model, data.test_dataloader(split), module.make_evaluator(split, module.alignment))
        for split in ["val", *splits]
    }


def _quiet() -> None:
    """Leave out what the libraries say that a user cannot act on."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
