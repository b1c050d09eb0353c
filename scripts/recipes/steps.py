"""Steps of a recipe in one folder: a step whose result is there is skipped, and one that was killed leaves none."""

import argparse
import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from arguments import above_0
from omegaconf import DictConfig, OmegaConf

from seq2seq.build_mixture import make_corpus
from seq2seq.checkpoint import BEST, LAST
from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.shorthand import expand
from seq2seq.cli.keys.values import check_types
from seq2seq.cli.main import main as seq2seq
from seq2seq.cli.process.output import check_folder, write_whole
from seq2seq.cli.training.check_run import check_run
from seq2seq.cli.training.processes import as_program
from seq2seq.data.files import read_lines
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults, compose_hydra

SIDES = ("source", "target")
SETTINGS = "recipe.json"
PART = "text.part"

BROUGHT = ("tokenizer.vocab_size", "loader.tokens_per_batch", "training.label_smoothing")
"""Keys that a group `data` may set; its text has them, too."""

OWN = (
    *("trainer.max_steps", "trainer.max_epochs", "hydra.run.dir", "output", "resume", "loader.cache_dir"),
    "tokenizer.checkpoint",
)
"""Keys that a recipe sets."""

GOES_ON = "the same command goes on there"
"""What a recipe says that was stopped, in whatever step."""


def parser(documentation: str | None) -> argparse.ArgumentParser:
    """Return a parser of what every recipe is told."""
    made = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folder", type=Path, help="where all of it goes; the same command goes on there")
    made.add_argument("overrides", nargs="*", help="of every training, as seq2seq train takes them: data=grammar ...")
    made.add_argument("--pairs", type=above_0, help="the first so many training pairs; all without it")
    made.add_argument("--steps", type=above_0, default=2000, help="of every training, so that none learns for longer")
    return made


class Recipe:
    """A folder, and the commands that fill it.

    Args:
        options: what the recipe was told; it may not change while the folder is there.
        pairs_above: how many training pairs are too few.
        of_some: overrides that some trainings have beside those of all; they are looked at now, not hours later.

    Raises:
        UserError: an option is wrong, or the folder is not that of this recipe; then nothing was written.
    """

    def __init__(self, options: argparse.Namespace, *, pairs_above: int = 0, of_some: Iterable[list[str]] = ()) -> None:
        self.folder: Path = options.folder
        told = {key: value for key, value in vars(options).items() if key != "folder"}
        settings = self.folder / SETTINGS
        _check_folder(self.folder, told)
        for more in ([], *of_some):
            self._check_training([*options.overrides, *more])
        composed = compose_defaults("train", expand(quote(options.overrides))[0])
        if not composed.tokenizer.joint:
            raise UserError("tokenizer.joint=false: both directions share one vocabulary here; leave it out")
        self.corpus = make_corpus(composed.data)
        if self.corpus.tags:
            raise UserError(
                f"data.corpora: a recipe's text has no tags, but these sources have {', '.join(self.corpus.tags)}; "
                "give one corpus, or leave data.corpora.NAME.tag out"
            )
        try:
            text = self._write_text(options.pairs, pairs_above)
            with write_whole(settings) as file:
                json.dump(told, file, indent=2)
            if text is not None:
                os.replace(text, self.folder / "text")
        finally:
            shutil.rmtree(self.folder / PART, ignore_errors=True)
        self.steps: int = options.steps
        self.own = [each for each in options.overrides if each.partition("=")[0].partition(".")[0] != "data"]
        self.settings = [f"{key}={OmegaConf.select(composed, key)}" for key in BROUGHT] + self.own
        if self.corpus.tokenized:
            self.settings.append("metrics.tokenize=none")

    def _check_training(self, given: list[str]) -> None:
        """Refuse now what a training would be refused for when others have been trained."""
        for override in given:
            if override.partition("=")[0].lstrip("+~") in OWN:
                raise UserError(
                    f"{override}: the recipe sets that itself; leave it out (--steps is how long each trains)"
                )
        overrides = expand(quote([*given, f"loader.cache_dir={self.folder}", f"hydra.run.dir={self.folder}"]))[0]
        check_types("train", overrides)
        config = compose_hydra("train", overrides)
        if config.variants:
            raise UserError(f"variants={config.variants}: a recipe trains one model at a time; leave them out")
        weight = config.training.guided_alignment.weight
        if weight > 0:
            raise UserError(
                f"training.guided_alignment.weight={weight}: a recipe's text has no word links; leave it out"
            )
        check_run(overrides, config, sweep=False)

    def _write_text(self, pairs: int | None, pairs_above: int) -> Path | None:
        """Write the splits of the corpus as files, the first `pairs` of train, to a folder; None: they are there."""
        if (self.folder / "text").exists():
            return None
        part = self.folder / PART
        shutil.rmtree(part, ignore_errors=True)
        texts = {
            name: [pair[:2] for pair in islice(self.corpus.pairs(split), pairs if split == "train" else None)]
            for split, name in self._splits().items()
        }
        if len(texts["train"]) <= pairs_above:
            raise UserError(
                f"the text has {len(texts['train'])} training pairs, but more than {pairs_above} are needed; give more "
                "text, or smaller numbers as options"
            )
        part.mkdir(parents=True)
        for name, found in texts.items():
            for number, side in enumerate(SIDES):
                (part / f"{name}.{side}").write_text("".join(f"{text[number]}\n" for text in found), encoding="utf-8")
        return part

    def _splits(self) -> dict[str, str]:
        tests = [split for split in self.corpus.splits() if split.startswith("test")]
        return {"train": "train", "val": "val", **({tests[0]: "test"} if tests else {})}

    def text(self, name: str, side: str) -> Path:
        """Return a file of the corpus."""
        return self.folder / "text" / f"{name}.{side}"

    def part(self, name: str, *, start: int = 0, end: int | None = None) -> tuple[Path, Path]:
        """Return two files of that name with some of the training pairs."""
        files = self.folder / f"{name}.source", self.folder / f"{name}.target"
        for side, file in zip(SIDES, files, strict=True):
            if not file.exists():
                with write_whole(file) as output:
                    output.writelines(f"{line}\n" for line in _lines(self.text("train", side))[start:end])
        return files

    def files(self, train: tuple[Path, Path] | None = None, *, reverse: bool = False, key: str = "data") -> list[str]:
        """Return overrides that name the files of a text: those of the corpus, or others to train on.

        Args:
            train: source and target to train on.
            reverse: from target to source.
            key: of the text.
        """
        found = {name: (self.text(name, "source"), self.text(name, "target")) for name in self._splits().values()}
        if train:
            found["train"] = train
        ordered = {name: pair[::-1] if reverse else pair for name, pair in found.items()}
        return [f"{key}=text", *(f"{key}.{name}.{side}={file}" for name, pair in ordered.items()
                                 for side, file in zip(SIDES, pair, strict=True))]  # fmt: skip

    def train(self, name: str, data: Iterable[str], *overrides: str) -> Path:
        """Train in a folder of that name, or go on there; return the checkpoint that validation chose, or the last."""
        run = self.folder / name
        if not (run / "metrics.json").exists():
            where = f"resume={run}" if (run / "config.yaml").exists() else f"hydra.run.dir={run}"
            length = ["trainer.max_epochs=-1", f"trainer.max_steps={self.steps}"]
            cache = f"loader.cache_dir={self.folder / 'cache'}"
            kind, *files = data
            away = self._without_its_own(kind, overrides)
            _command("train", kind, *files, *away, *self.settings, *length, cache, *overrides, where)
        best, last = (run / "checkpoints" / name for name in (BEST, LAST))
        return best if best.exists() else last

    def _without_its_own(self, kind: str, overrides: Iterable[str]) -> list[str]:
        """Return overrides that take away what an experiment says of data of its own, where `kind` is `data=text`."""
        told = expand(quote([*self.own, *overrides, kind]))[0]
        return _taken_away("data", compose_defaults("train", told).data, compose_defaults("train", [kind]).data)

    def translate(self, name: str, checkpoint: Path, source: Path, *overrides: str) -> Path:
        """Translate a file into one of that name."""
        output = self.folder / name
        if not output.exists():
            _command("translate", f"checkpoint={checkpoint}", f"input={source}", f"output={output}", *overrides)
        return output

    def merge(self, name: str, pairs: Iterable[tuple[Path, Path]]) -> tuple[Path, Path]:
        """Write files of sentence pairs one after another, each pair once, as two files of that name."""
        files = self.folder / f"{name}.source", self.folder / f"{name}.target"
        if not all(file.exists() for file in files):
            lines = [pair for two in pairs for pair in zip(*map(_lines, two), strict=True)]
            for side, file in enumerate(files):
                with write_whole(file) as output:
                    output.writelines(f"{pair[side]}\n" for pair in dict.fromkeys(lines) if all(pair))
        return files

    def table(self, rows: Mapping[str, str]) -> None:
        """Print and keep what each training gave; rows are folders and what they are."""
        lines = [f"{'':<44}{'parameters':>12}{'steps':>8}{'val BLEU':>10}{'test BLEU':>11}{'test chrF':>11}"]
        for name, what in rows.items():
            found = json.loads((self.folder / name / "metrics.json").read_text(encoding="utf-8"))
            scores = "".join(f"{found.get(key, float('nan')):>{width}.2f}" for key, width in
                             (("val/bleu", 10), ("test/bleu", 11), ("test/chrf", 11)))  # fmt: skip
            lines.append(f"{what:<44}{found['parameters']:>12,}{found['steps']:>8,}{scores}")
        with write_whole(self.folder / "table.txt") as file:
            file.write("\n".join(lines) + "\n")
        print("\n" + "\n".join(lines))


def _taken_away(key: str, config: DictConfig, usual: DictConfig) -> list[str]:
    """Return overrides that make a configuration the usual one."""
    overrides: list[str] = []
    for name, value in config.items():
        inner = f"{key}.{name!s}"
        if name not in usual:
            overrides.append(f"~{inner}")
        elif isinstance(value, DictConfig) and isinstance(usual[name], DictConfig):
            overrides += _taken_away(inner, value, usual[name])
        elif value != usual[name]:
            overrides.append(f"{inner}={'null' if usual[name] is None else usual[name]}")
    return overrides


def split_overrides(text: str) -> list[str]:
    """Return the overrides in one argument, which are separated by spaces as on a command line."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(f"{text}: {error}; close every quotation mark") from None


def _check_folder(folder: Path, told: dict[str, Any]) -> None:
    """Refuse a folder that is not that of this recipe."""
    settings = folder / SETTINGS
    check_folder(folder, key="")
    if settings.exists():
        try:
            before = json.loads(settings.read_text(encoding="utf-8"))
        except ValueError:
            raise UserError(f"{settings} is damaged; give another folder") from None
        if before != told:
            raise UserError(f"{folder} has results of other settings, see {settings}; give another folder")
    elif folder.exists() and any(not path.name.endswith(".part") for path in folder.iterdir()):
        raise UserError(f"{folder} is not empty, and no recipe made it; give a new folder")


def _command(*arguments: str) -> None:
    print(f"\n$ seq2seq {shlex.join(arguments)}", flush=True)
    with as_program():
        status = seq2seq(list(arguments), hand_on=True)
    if status:
        sys.exit(status)


def _lines(file: Path) -> list[str]:
    return list(read_lines(str(file)))
