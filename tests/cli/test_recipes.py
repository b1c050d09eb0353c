"""Recipes of data from models: each step is done once, and what they train on is what they say."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seq2seq.build import tokenizers_of
from seq2seq.checkpoint import read_checkpoint
from seq2seq.cli import translate
from seq2seq.cli.training import run
from seq2seq.data.corpus import TextCorpus

Script = Callable[..., tuple[int, str, str]]


@pytest.fixture
def settings(text: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What all recipes are told here: a tiny text, two steps."""
    monkeypatch.chdir(tmp_path)
    own = ("loader.cache_dir=", "trainer.max_epochs=")
    brief = [
        "search.max_length=5",
        "callbacks.pinned=null",
        "trainer.limit_val_batches=1",
        "trainer.limit_train_batches=2",
    ]
    return [*(o for o in text if not o.startswith(own) and ".links=" not in o), *brief, "--steps", "2"]


def lines(file: Path) -> list[str]:
    return file.read_bytes().decode().split("\n")[:-1]


def vocabulary(run: Path) -> list[bytes]:
    return read_checkpoint(run / "checkpoints" / "best.ckpt").tokenizers


def test_distillation_goes_on_where_it_was_stopped(script: Script, settings: list[str], tmp_path: Path) -> None:
    command = ["distill.py", "made", *settings, "--pairs", "30", "--teacher", "model.d_model=24 model.d_embedding=24"]
    status, out, err = script(*command)
    assert status == 0, err
    made = tmp_path / "made"
    assert len(lines(made / "distilled.target")) == 30 == len(lines(made / "text" / "train.source"))
    assert vocabulary(made / "teacher") == vocabulary(made / "student") == vocabulary(made / "student-distilled")
    table = lines(made / "table.txt")
    assert [line.split("  ")[0] for line in table[1:]] == [
        "teacher", "student, from the text", "student, from what the teacher says",
    ]  # fmt: skip
    assert table[2].split()[4:6] == table[3].split()[6:8]  # parameters and steps
    (made / "student-distilled" / "metrics.json").unlink()  # as if it had been stopped
    status, out, err = script(*command)
    assert status == 0 and out.count("$ seq2seq") == 1 and "resume=made/student-distilled" in out, err
    status, out, err = script(*command)
    assert status == 0 and "$ seq2seq" not in out and lines(made / "table.txt") == table, err
    status, out, err = script("distill.py", "made", *settings)
    assert status == 1 and not out


def stop(number: int) -> Callable[..., Any]:
    def stopped(*_: Any, **__: Any) -> Any:
        if number == signal.SIGINT:  # which shells let their background jobs ignore
            raise KeyboardInterrupt
        os.kill(os.getpid(), number)
        return iter(())

    return stopped


@pytest.mark.parametrize(
    ("number", "owner", "name"),
    [
        (signal.SIGTERM, TextCorpus, "pairs"),  # before any command
        (signal.SIGINT, json, "dump"),  # while the text is written
        (signal.SIGINT, run, "_test"),  # of a training that has begun
        (signal.SIGTERM, run, "_test"),
        (signal.SIGHUP, translate, "read_checkpoints"),
    ],
)
def test_recipe_that_is_stopped_says_that_the_same_command_goes_on(
    script: Script,
    settings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    owner: Any,
    name: str,
) -> None:
    monkeypatch.setattr(owner, name, stop(number))
    brief = [*settings, "trainer.limit_val_batches=0", "training.test_splits=[]", "--pairs", "30"]
    status, _, err = script("distill.py", "made", *brief)
    who = "interrupted" if number == signal.SIGINT else f"stopped by {number.name}"
    assert status == 128 + number
    assert [line for line in err.splitlines() if "go on" in line or "goes on" in line] == [
        f"{who}; the same command goes on there"
    ]
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "--steps: 0: expected a whole number, 1 or more"),
        (["--pairs", "-1"], "--pairs: -1: expected a whole number, 1 or more"),
        (["--parallel", "40"], "error: the text has 40 training pairs, but more than 40 are needed; give more text"),
        (["trainer.max_steps=9"], "error: trainer.max_steps=9: the recipe sets that itself; leave it out"),
        (["model=lung"], "error: model=lung does not exist"),
        (["model.d_model=x"], "error: model.d_model=x: expected a whole number"),
        (["data.train.source=none"], "error: none does not exist"),
        (["output=elsewhere"], "error: output=elsewhere: the recipe sets that itself; leave it out"),
        (["--search", "beem"], "error: search=beem does not exist; did you mean beam?"),
        (["experiment=idle"], "a recipe trains one model at a time; leave them out"),
    ],
)
def test_mistake_is_a_line_and_leaves_nothing(
    script: Script, settings: list[str], tmp_path: Path, options: list[str], message: str
) -> None:
    status, out, err = script("back_translate.py", "made", *settings, *options)
    assert status and not out and message in err and not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("option", "overrides", "message"),
    [
        ("--student", "model.d_modle=8", "error: there is no key model.d_modle; did you mean model.d_model?"),
        ("--student", "label=a/b", "error: label=a/b: a run is kept in a folder of its name"),
        ("--teacher", "hydra.run.dir=x", "error: hydra.run.dir=x: the recipe sets that itself; leave it out"),
        ("--teacher", "model='lung", "No closing quotation; close every quotation mark"),
    ],
)
def test_mistake_about_a_later_training_is_said_before_the_first(
    script: Script, settings: list[str], tmp_path: Path, option: str, overrides: str, message: str
) -> None:
    status, out, err = script("distill.py", "made", *settings, option, overrides)
    assert status == 1 and not out and message in err and not (tmp_path / "made").exists()


def test_folder_of_something_else_stays_as_it_is(script: Script, settings: list[str], tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "text.part").mkdir()  # of a recipe that was killed
    (tmp_path / "made" / "metrics.json").write_text("{}")
    assert script("diversify.py", "made", *settings)[0] == 1
    (tmp_path / "made" / "metrics.json").rename(tmp_path / "made" / "recipe.json")
    assert script("diversify.py", "made", *settings)[0] == 1
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["recipe.json", "text.part"]
    status, _, said = script("diversify.py", "made/recipe.json", *settings)
    assert status == 1 and said == "error: cannot write made/recipe.json: made/recipe.json is a file; give a folder\n"


def test_text_with_tags_is_refused_as_a_recipe_would_lose_them(
    script: Script, settings: list[str], tmp_path: Path
) -> None:
    plain = [option for option in settings if not option.startswith("data")]
    tagged = ["data=mixture", "data.corpora.one=grammar", "data.corpora.one.tag=2de"]
    status, out, err = script("distill.py", "made", *plain, *tagged)
    assert status == 1 and not out and not (tmp_path / "made").exists()
    assert "data.corpora: a recipe's text has no tags, but these sources have 2de; give one corpus" in err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["back_translate.py", "--search", "nbest"],
            "--search=nbest says several translations of a sentence; take one",
        ),
        (["distill.py", "training.guided_alignment.weight=0.05"], "a recipe's text has no word links; leave it out"),
        (["distill.py", "--student", "training.guided_alignment.weight=0.05"], "a recipe's text has no word links"),
    ],
)
def test_what_a_recipe_cannot_do_is_refused_before_its_first_training(
    script: Script, settings: list[str], tmp_path: Path, options: list[str], expected: str
) -> None:
    status, out, err = script(options[0], "made", *settings, *options[1:])
    assert status == 1 and not out and expected in err and not (tmp_path / "made").exists()


def test_back_translations_are_tagged_and_of_text_that_was_held_back(
    script: Script, settings: list[str], text_folder: Path, tmp_path: Path
) -> None:
    source = (text_folder / "train.source").read_bytes()
    (tmp_path / "train.source").write_bytes(source.replace(b" ", b" \r", 1))  # which ends no line
    settings = [*settings, f"data.train.source={tmp_path / 'train.source'}"]
    status, out, err = script("back_translate.py", "made", *settings, "--parallel", "25")
    assert status == 0, err
    made = tmp_path / "made"
    for side in ("source", "target"):
        assert lines(made / f"parallel.{side}") == lines(made / "text" / f"train.{side}")[:25]
    assert "\r" in lines(made / "parallel.source")[0]
    assert lines(made / "lone.target") == lines(made / "text" / "train.target")[25:]
    assert set(lines(made / "back-translated.target")) <= set(lines(made / "lone.target"))
    checkpoint = read_checkpoint(made / "tagged" / "checkpoints" / "best.ckpt")
    corpora = checkpoint.config["data"]["corpora"]
    assert corpora["back"]["tag"] == "bt" and corpora["parallel"]["train"]["source"] == "made/parallel.source"
    tagged, plain = tokenizers_of(checkpoint).source, vocabulary(made / "parallel-alone")
    assert list(tagged.tag_ids) == ["bt"] and len(tagged) == len(tokenizers_of(checkpoint).target)
    assert vocabulary(made / "backward") == plain


def test_experiment_with_data_of_its_own_is_a_recipes_training(
    script: Script, settings: list[str], text_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "multi30k" / "tokenized"
    folder.mkdir(parents=True)
    for split, name in (("train", "train"), ("val", "val"), ("test", "test_2016_flickr")):
        for side, language in (("source", "en"), ("target", "de")):
            (folder / f"{name}.{language}").write_bytes((text_folder / f"{split}.{side}").read_bytes())
    plain = [option for option in settings if not option.startswith("data")]
    experiment = ["experiment=multi30k_transformer_tiny", f"data.root={folder.parent}", "training.r_drop=0"]
    tiny = ["model.num_layers=1", "encoder.d_feedforward=8", "decoder.d_feedforward=8", "trainer.precision=32-true"]
    status, out, err = script("back_translate.py", "made", *plain, *experiment, *tiny, "--parallel", "25")
    assert status == 0, err
    found = {
        name: read_checkpoint(tmp_path / "made" / name / "checkpoints" / "last.ckpt").config["data"]
        for name in ("backward", "tagged")
    }
    assert all("form" not in data and "root" not in data for data in found.values())
    assert list(found["tagged"]["corpora"]) == ["parallel", "back"]
    (tmp_path / "made" / "tagged" / "metrics.json").unlink()  # as if it had been stopped
    status, out, err = script("back_translate.py", "made", *plain, *experiment, *tiny, "--parallel", "25")
    assert status == 0 and out.count("$ seq2seq") == 1, err


def test_diversified_text_has_what_every_model_says(script: Script, settings: list[str], tmp_path: Path) -> None:
    status, out, err = script("diversify.py", "made", *settings, "--models", "1")
    assert status == 0, err
    made = tmp_path / "made"
    texts = [lines(made / "text" / f"train.{side}") for side in ("source", "target")]
    merged = set(zip(lines(made / "merged.source"), lines(made / "merged.target"), strict=True))
    expected = {*zip(*texts, strict=True), *zip(texts[0], lines(made / "forward-1.target"), strict=True)}
    expected |= set(zip(lines(made / "backward-1.source"), texts[1], strict=True))
    assert merged == {pair for pair in expected if all(pair)}
    assert vocabulary(made / "diversified") == vocabulary(made / "backward-1")
