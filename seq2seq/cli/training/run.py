"""A run: data, model, training, test. Lightning runs it."""

import json
import logging
import os
import shutil
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from seq2seq.build_training import build_data, build_module, build_trainer
from seq2seq.checkpoint import BEST, LAST, load_content, read_checkpoint
from seq2seq.cli.process.crowding import sharing_cores
from seq2seq.cli.process.output import from_here, write_whole
from seq2seq.cli.process.quota import share_quota
from seq2seq.cli.training.begin import packages_of, start_from, start_of
from seq2seq.cli.training.faults import explain_fault
from seq2seq.cli.training.processes import Meeting
from seq2seq.cli.training.report import count_parameters, describe_run, report_results
from seq2seq.cli.training.resume import WholeCheckpoint, begin_from, whole_checkpoint
from seq2seq.cli.training.run_folder import Record, go_on_with, keep_results
from seq2seq.cli.training.same_run import as_earlier
from seq2seq.data.cache import content_sum
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.errors import Interrupted, UserError
from seq2seq.evaluation.evaluator import Evaluation, evaluate
from seq2seq.options import plain_data
from seq2seq.training.attached import callbacks_of
from seq2seq.training.callbacks import Throughput, log_hyperparameters
from seq2seq.training.gradients import GRADIENTS
from seq2seq.training.last_checkpoint import rewind_events
from seq2seq.training.loggers import appended_files
from seq2seq.training.memory import peak_mib, reset_peak
from seq2seq.training.module import TranslationModule
from seq2seq.training.precision import Precision
from seq2seq.training.settings import check_monitors

log = logging.getLogger(__name__)
print_trace = threading.excepthook


def run_training(
    config: DictConfig, precision: Precision, meeting: Meeting, record: Record | None = None
) -> dict[str, float]:
    """Train, test with the best checkpoint, and return what `metrics.json` holds.

    The process that has the record writes; in the others it is None.
    """
    _quiet()
    folder = Path(config.output)
    config.trainer.precision = precision.value
    plain = plain_data(config)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    if not sys.stdout.isatty():  # a bar that redraws itself would fill a log file
        config.trainer.enable_progress_bar = False
        config.callbacks.progress_bar = None
    with meeting.alike() as ours:
        found = whole_checkpoint(folder) if config.resume else WholeCheckpoint()
        origin = start_of(config, found)
        data = build_data(config, origin.tokenizers, grows=origin.grows)
        splits = _test_splits(config, data)
        start = begin_from(found, data)
        ours |= data.contents() | {"the checkpoint to go on from": content_sum(start) if start else None}
    module = build_module(config, data, plain)
    if origin.weights:
        start_from(module.model, origin, data.tokenizers, config)
    trainer = build_trainer(config)
    if threads := share_quota(trainer.num_devices):
        torch.set_num_threads(threads)
    if start:
        as_earlier(plain, OmegaConf.to_container(OmegaConf.load(folder / "config.yaml")))
    for doubt in _check_monitors(config, data, module):
        log.warning(doubt)
    describe_run(folder, data, module, trainer, precision)
    events = appended_files(folder)

    def begin(*_: Any) -> None:
        """Write into the folder: only now is it known that the run goes on there, with these settings."""
        if record and not record.begun:
            if config.resume:
                rewind_events(events, load_content(start) if start else {})
            record.begin(OmegaConf.to_yaml(OmegaConf.create(plain)))

    callbacks_of(trainer).append(LambdaCallback(on_train_start=begin))
    device = trainer.strategy.root_device
    reset_peak(device)
    try:
        with sharing_cores(device, processes=trainer.num_devices):
            _fit(trainer, module, data, folder, start)
    except BaseException:
        if record and not record.begun:
            for new in set(appended_files(folder)) - set(events):
                new.unlink()
        raise
    begin()  # where no step was left to make

    module.float()  # in which any other command computes, whatever the training's precision was
    _take_best(trainer, module, folder)
    metrics = {"parameters": count_parameters(module), "seed": config.seed} | _training_metrics(trainer, device)
    module.to(device)  # Lightning has taken it back to the CPU
    with sharing_cores(device), _explaining(module, data, folder, testing=True):
        evaluations = _test(splits, data, module)
    for split, evaluation in evaluations.items():
        metrics |= {f"{split}/{name}": value for name, value in evaluation.metrics.items()}
    if trainer.is_global_zero:
        log_hyperparameters(trainer, plain, metrics)
        keep_results(folder, config.pinned, data, module, evaluations)
        with write_whole(folder / "metrics.json") as file:
            json.dump(metrics, file, indent=2)
        report_results(folder, data, evaluations, packages_of(config))
    return metrics


def _check_monitors(config: DictConfig, data: TranslationDataModule, module: TranslationModule) -> list[str]:
    watchers = {f"callbacks.{name}": options for name, options in config.callbacks.items() if options}
    schedule = config.scheduler
    watchers["scheduler"] = {"monitor": schedule.get("monitor")}
    watchers["scheduler.scheduler"] = {"monitor": schedule.get("monitor"), "mode": schedule.scheduler.get("mode")}
    return check_monitors(watchers, module.model, data.dataset("val")["links"])


def _test_splits(config: DictConfig, data: TranslationDataModule) -> list[str]:
    """Return the splits to score in the end, each read once now: a mistake in one must not cost a training."""
    splits = config.training.test_splits
    if splits is None:
        splits = [split for split in data.corpus.splits() if split.startswith("test")]
    for split in splits:
        data.dataset(split)
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
    try:
        with _explaining(module, data, folder):
            trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True)
    except Interrupted as interruption:
        if not trainer.is_global_zero:
            interruption.args = ()  # one of several processes speaks for all
        raise
    except SystemExit:  # what Lightning makes of a second Ctrl-C, once it has closed its loggers
        if not trainer.interrupted:
            raise
        saved = (folder / "checkpoints" / LAST).exists()
        raise KeyboardInterrupt(go_on_with(folder) if saved else "no checkpoint yet") from None


@contextmanager
def _explaining(
    module: TranslationModule, data: TranslationDataModule, folder: Path, *, testing: bool = False
) -> Iterator[None]:
    """Say of an error what befell the run, and how it goes on where it can."""
    try:
        yield
    except Exception as error:
        evaluating = testing or not module.training
        batch, tokens = module.batch, data.loader.tokens_per_batch
        if evaluating:  # whose batches are others
            batch, tokens = None, data.loader.eval_tokens_per_batch
        fault = explain_fault(error, batch, tokens, from_here(folder), evaluating=evaluating)
        if fault is None and (testing or not isinstance(error, UserError)):
            raise
        begun = testing or module.batch is not None  # else it is a mistake that was made before the first step
        if begun and (folder / "checkpoints" / LAST).exists():
            raise UserError(f"{fault or error}; then {go_on_with(folder)}") from error
        raise UserError(fault or str(error)) from error


def _take_best(trainer: lightning.Trainer, module: TranslationModule, folder: Path) -> None:
    """Give the module the weights and the alignment of the best checkpoint; where there is none, say so."""
    best = _best(trainer, folder)
    if best:
        checkpoint = read_checkpoint(best)
        module.model.load_state_dict(checkpoint.weights)
        module.alignment = checkpoint.alignment
    elif trainer.checkpoint_callback:
        log.warning("no validation chose a best checkpoint: the scores are those of the last weights")


def _training_metrics(trainer: lightning.Trainer, device: torch.device) -> dict[str, float]:
    """Return how long the training was, how fast, how much memory it took, and its gradients where they were asked."""
    metrics: dict[str, float] = {"epochs": trainer.current_epoch, "steps": trainer.global_step}
    for callback in callbacks_of(trainer):
        if isinstance(callback, Throughput):
            metrics["train/seconds"] = round(callback.seconds, 3)
            metrics["train/target_tokens_per_second"] = round(callback.target_tokens_per_second, 1)
            metrics["train/waiting_share"] = round(callback.waiting / max(callback.seconds, 1e-9), 5)
    metrics["train/peak_memory_mib"] = round(peak_mib(device), 1)
    gradients = {name: value for name, value in trainer.callback_metrics.items() if name.startswith(GRADIENTS)}
    return metrics | {name: float(value) for name, value in gradients.items()}


def _best(trainer: lightning.Trainer, folder: Path) -> Path | None:
    """Return the best checkpoint, as best.ckpt also where several are kept by other names; None where there is none."""
    best = folder / "checkpoints" / BEST
    for callback in callbacks_of(trainer):
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
    # What it warns of, such as a loader without workers, was decided by us and not by the user.
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    threading.excepthook = _trace


def _trace(of: threading.ExceptHookArgs) -> None:
    """Print the trace of an error in a thread; TensorBoard's tells the training, which says what is the matter."""
    if not type(of.thread).__module__.startswith("tensorboard."):
        print_trace(of)
