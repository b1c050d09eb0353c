"""A run: data, model, training, test. Lightning runs it."""

import json
import logging
import os
import shutil
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, ListConfig, OmegaConf

from seq2seq.build import build_data, build_module, build_trainer
from seq2seq.checkpoint import BEST, LAST, load_content, read_checkpoint
from seq2seq.cli.faults import explain_fault, requeue
from seq2seq.cli.output import from_here, write_whole
from seq2seq.cli.processes import Meeting
from seq2seq.cli.report import count_parameters, describe_run, report_results
from seq2seq.cli.resume import begin_from
from seq2seq.cli.run_folder import FAILED, keep_results
from seq2seq.data.cache import content_sum
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.errors import Interrupted, UserError
from seq2seq.evaluation.evaluator import Evaluation, evaluate
from seq2seq.training.callbacks import Throughput, log_hyperparameters
from seq2seq.training.gradients import GRADIENTS
from seq2seq.training.last_checkpoint import rewind_events
from seq2seq.training.memory import peak_mib, reset_peak
from seq2seq.training.module import TranslationModule

log = logging.getLogger(__name__)


def run_training(config: DictConfig, meeting: Meeting) -> dict[str, float]:
    """Train, test with the best checkpoint, and return what `metrics.json` holds."""
    _quiet()
    folder = Path(config.output)
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    if not sys.stdout.isatty():  # a bar that redraws itself would fill a log file
        config.trainer.enable_progress_bar = False
        config.callbacks.progress_bar = None
    with meeting.alike() as ours:
        data = build_data(config)
        splits = _test_splits(config, data)
        start = begin_from(folder, data) if config.resume else None
        ours |= data.contents() | {"the checkpoint to go on from": content_sum(start) if start else None}
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

    best = _best(trainer, folder)
    if best:
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


def _best(trainer: lightning.Trainer, folder: Path) -> Path | None:
    """Return the best checkpoint, as best.ckpt also where several are kept by other names; None where there is none."""
    best = folder / "checkpoints" / BEST
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ModelCheckpoint) and callback.best_model_path and trainer.is_global_zero:
            found = Path(callback.best_model_path)
            if found.name != best.name and found.exists():
                whole = shutil.copyfile(found, best.with_suffix(".part"))
                os.replace(whole, best)
    trainer.strategy.barrier()
    return best if best.exists() else None


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
