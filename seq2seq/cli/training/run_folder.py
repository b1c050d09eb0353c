"""A run's folder: whose it is, how the run was started, its log, why it failed, and what a comparison needs."""

import json
import logging
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from seq2seq.alignment.archive import save_attention
from seq2seq.alignment.sentence import sentences_of_row
from seq2seq.cli.keys.messages import explain
from seq2seq.cli.process.output import from_here, write_whole
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.errors import Interrupted, UserError, unwritable
from seq2seq.evaluation.evaluator import Evaluation
from seq2seq.evaluation.inspection import inspect_pairs
from seq2seq.training.module import TranslationModule
from seq2seq.training.pictures import pinned_rows

FAILED = "error.txt"
"""What a failed run leaves in its folder: the line that says why."""

COMMAND = ".hydra"
"""Where Hydra's account of a command is: configuration, overrides, and Hydra's own settings."""

LOCK = ".lock"
CACHE = "loader.cache_dir"
HELD = 1 << 20
"""Records of the log that are held until they may be written: more than there are."""


class Record:
    """What a folder says of its run beside results: how it was started, its log, and why it failed.

    Of a run that goes on, nothing is changed before it trains: what refuses it until then leaves it as it was. So the
    log is held back till then.

    Args:
        folder: of the run.
        config: the run's configuration, as Hydra composed it.
        subfolder: where Hydra's account of the command is written; None: nowhere.
    """

    def __init__(self, folder: Path, config: DictConfig, *, subfolder: str | None) -> None:
        self.folder, self.begun = folder, False
        self._account: dict[str, str] = {}
        if subfolder is not None:
            parts = {
                "config": config,
                "hydra": HydraConfig.instance().cfg,
                "overrides": HydraConfig.get().overrides.task,
            }
            self._account = {f"{subfolder}/{name}.yaml": OmegaConf.to_yaml(part) for name, part in parts.items()}
        self._fresh = not config.resume
        self._held = MemoryHandler(HELD, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
        self._log: logging.Handler = self._held
        logging.getLogger().addHandler(self._log)
        if self._fresh:
            self._start()

    def begin(self, config: str) -> None:
        """Write config.yaml, and what is not there yet; from now on it is this run's folder."""
        if not self._fresh:
            self._start()
        with write_whole(self.folder / "config.yaml") as file:
            file.write(config)
        (self.folder / FAILED).unlink(missing_ok=True)  # of an attempt that is resumed now
        self.begun = True

    def fail(self, error: Exception) -> None:
        """Leave a line that says why there is no result, for people and for a comparison."""
        if (self.begun or self._fresh) and self.folder.is_dir():
            line = explain(error, "train", list(HydraConfig.get().overrides.task))
            with suppress(OSError, UserError), write_whole(self.folder / FAILED) as file:  # the disk may be full
                file.write(f"{line}\n")

    def close(self) -> None:
        """Keep no log any more: what is said later belongs to other runs."""
        logging.getLogger().removeHandler(self._log)
        self._log.close()

    def _start(self) -> None:
        for name, text in self._account.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            with write_whole(self.folder / name) as file:
                file.write(text)
        written = logging.FileHandler(self.folder / f"{HydraConfig.get().job.name}.log", encoding="utf-8")
        self._held.setTarget(written)
        self._held.flush()
        self.close()
        self._log = written
        logging.getLogger().addHandler(written)


@contextmanager
def own_folder(config: DictConfig, *, subfolder: str | None) -> Iterator[Record]:
    """Claim the folder of a run for this process, and keep a record there; config is told where it is.

    A folder that is named after the time is another one where that is taken. Fails where another run lies in a folder
    that was given, or another process trains there: nothing in it has been changed then.
    """
    folder = Path(config.output)
    resume = bool(config.resume)
    hydra = HydraConfig.get()
    if bears_time(hydra.sweep if hydra.mode == RunMode.MULTIRUN else hydra.run):
        folder = free_folder(folder)
    _move(config, folder)
    _check_folder(folder, resume=resume)
    with claimed(folder):
        _check_folder(folder, resume=resume)  # another process may just have been done
        record = Record(folder, config, subfolder=subfolder)
        try:
            yield record
        except Exception as error:
            record.fail(error)
            raise
        except Interrupted as interruption:
            if interruption.args and record.begun:
                interruption.saying(go_on_with(folder))
            raise
        except KeyboardInterrupt as interruption:
            if record.begun and not interruption.args:
                interruption.args = (go_on_with(folder),)
            raise
        finally:
            record.close()


def go_on_with(folder: Path) -> str:
    """Return what to say of a run that was stopped after it had begun: of a sweep's, the command of this one alone."""
    resume, hydra = f"resume={from_here(folder)}", HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN:
        return f"go on with {resume} and the same overrides"
    return f"go on with seq2seq train {shlex.join([*hydra.overrides.task, resume])}"


def bears_time(options: Any) -> bool:
    """Return whether Hydra's name of a folder follows from the time: it is nobody's wish, so another will do."""
    return "${now:" in str(OmegaConf.to_container(options, resolve=False))


def free_folder(folder: Path) -> Path:
    """Make and return the first of FOLDER, FOLDER-1, ... that no run has taken: several processes get one each."""
    for number in count():
        place = folder.with_name(f"{folder.name}-{number}") if number else folder
        place.mkdir(parents=True, exist_ok=True)
        try:
            (place / LOCK).touch(exist_ok=False)
        except FileExistsError:
            continue
        return place
    raise AssertionError


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a folder meanwhile; with the process ends its claim."""
    place = from_here(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0).acquire()
    except Timeout:
        raise UserError(f"another process trains in {place} just now; give another folder, or stop it") from None
    except OSError as error:
        raise unwritable(f"to {place}", error, "give another folder, hydra.run.dir=FOLDER") from None
    with lock:
        yield


def check_places(places: Mapping[str, str | None]) -> None:
    """Refuse folders that cannot be made, or be written to; a cache that is whole is only read.

    Args:
        places: folders by their keys.

    Raises:
        UserError: naming all of them at once.
    """
    faults: dict[str, list[str]] = {}
    for key, place in places.items():
        if not place:
            raise UserError(f"{key}={place}: expected a folder, such as {key}=outputs/mine")
        path = Path(place).expanduser().absolute()
        there = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
        read = there == path and key == CACHE
        if not there.is_dir():
            faults.setdefault(f"{from_here(there)} is no folder", []).append(key)
        elif not read and not os.access(there, os.W_OK | os.X_OK):
            faults.setdefault(f"{from_here(there)} cannot be written to", []).append(key)
    if faults:
        said = "; ".join(f"{', '.join(f'{k}={places[k]}' for k in keys)}: {fault}" for fault, keys in faults.items())
        remedy = " ".join(f"{key}=FOLDER" for keys in faults.values() for key in keys)
        raise UserError(f"{said}; give other folders: {remedy}")


def _move(config: DictConfig, folder: Path) -> None:
    """Make a folder the run's, for our configuration, for Hydra, and for the processes that Lightning starts."""
    config.output = str(folder)
    hydra: Any = HydraConfig.get()
    with read_write(hydra), open_dict(hydra):
        hydra.run.dir = hydra.runtime.output_dir = str(folder)


def _check_folder(folder: Path, *, resume: bool) -> None:
    """Refuse a folder in which another run lies: its results would be lost, or taken for those of this one."""
    kept = [name for name in ("config.yaml", "metrics.json", "checkpoints") if (folder / name).exists()]
    if kept and not resume:
        raise UserError(
            f"{folder} holds another run ({kept[0]}); give another folder, or go on with it: resume={folder}"
        )


def keep_results(
    folder: Path,
    pinned: list[int],
    data: TranslationDataModule,
    module: TranslationModule,
    evaluations: dict[str, Evaluation],
) -> None:
    """Write what a comparison needs beside the metrics: sentences, heads, and all attention of pinned sentences."""
    for split, evaluation in evaluations.items():
        with write_whole(folder / f"sentences-{split}.jsonl") as file:
            file.writelines(f"{json.dumps(sentence, ensure_ascii=False)}\n" for sentence in evaluation.sentences)
    with write_whole(folder / "heads.json") as file:
        json.dump({split: evaluation.heads for split, evaluation in evaluations.items()}, file, indent=2)
    pairs = [sentences_of_row(module.tokenizers, row) for row in pinned_rows(data.dataset("val"), pinned)]
    reading = module.alignment.reading if module.alignment else None
    for number, (pair, maps) in enumerate(
        zip(pairs, inspect_pairs(module.model, pairs, reading=reading), strict=True), 1
    ):
        save_attention(folder / "alignments" / f"sentence-{number}.npz", *pair, maps)
