"""`--multirun`: one run for each value, each in a folder of its own, whatever becomes of the others."""

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra.core.utils
import pytest

from seq2seq.cli.training import runs

BRIEF = [
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=1",
    "trainer.limit_val_batches=1",
    "search.max_length=5",
    "callbacks.pinned=null",
    "training.test_splits=[]",
]
Command = Callable[..., Any]


def finished(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.rglob("metrics.json"))


def test_each_value_has_a_run_with_a_readable_name(command: Command, text: list[str], tmp_path: Path) -> None:
    assert command("train", "--multirun", *text, *BRIEF, "model=bahdanau,luong").status == 0
    names = [run.relative_to(tmp_path).parts[:3] for run in finished(tmp_path)]
    assert names == [("outputs", "text", "bahdanau-additive-s1"), ("outputs", "text", "luong-general-s1")]
    assert [path.name for path in (tmp_path / "outputs").iterdir() if path.is_dir() and path.name != "cache"] == [
        "text"
    ]


@pytest.mark.parametrize(
    "said", ["++hydra.mode=MULTIRUN", "hydra.mode='MULTIRUN'", "hydra.mode=2", "-m hydra.mode=MULTIRUN"]
)
def test_mode_of_hydra_means_multirun_however_it_is_said(command: Command, said: str) -> None:
    found = command("train", *said.split(), "seed=1,two")
    assert found.status == 1 and "seed=two: expected a whole number" in found.err


def test_file_of_an_experiment_may_ask_for_a_sweep(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "configs/experiment/mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}}\n", encoding="utf-8"
    )
    trained: list[tuple[int, list[str]]] = []
    monkeypatch.setattr(runs, "run_training", lambda config, *_: trained.append((config.seed, sys.argv[2:-1])))
    monkeypatch.setattr(runs, "objective_of", lambda *_: 0.0)
    assert command("train", "experiment=mine").status == 0
    # What another process of one run is started with asks for that run alone.
    assert trained == [(seed, [f"seed={seed}", "experiment=mine", "hydra.mode=RUN"]) for seed in (1, 2)]
    assert command("train", "experiment=mine", "hydra.mode=RUN").status == 0
    assert len(trained) == 3


def test_failing_run_lets_the_later_one_run_and_is_reported(command: Command, text: list[str], tmp_path: Path) -> None:
    said = command("train", "-m", *text, *BRIEF, "model.dropout=0.2", "loader.max_length=1,100")
    assert len(finished(tmp_path)) == 1
    assert said.status == 1
    assert said.err.splitlines()[-1].startswith("error: ") and "Traceback" not in said.err


@pytest.mark.parametrize(
    "sweep, expected",
    [
        ("trainer.precision=32-true,bf16-mixd", "did you mean bf16-mixed?"),
        ("optimizer.lr=0.1,fast", "optimizer.lr=fast"),
        ("model=luong,bottleneck score=dot", "a bottleneck asks nothing"),
        ("training.guided_alignment.weight=1 noise.drop=0,0.1", "which noise changes"),
        ("seed=1,2 hydra.sweep.subdir=same", "say 'hydra.sweep.subdir=same/${hydra:job.num}'"),
        ("model.dropout=0.1,0.2 hydra.sweep.subdir=${run_name}", "hydra.sweep.subdir=bahdanau-additive-s1: a folder"),
        ("experiment=controls,attention_zoo_small", "has variants of its own; give each a command of its own"),
    ],
)
def test_value_that_one_run_cannot_have_is_refused_before_the_first(
    command: Command, text: list[str], tmp_path: Path, sweep: str, expected: str
) -> None:
    said = command("train", "-m", *text, *BRIEF, *sweep.split())
    assert said.status == 1 and expected in said.err and said.err.count("\n") == 1
    assert not finished(tmp_path)


def test_values_that_a_pattern_means_have_a_run_each(command: Command, text: list[str], tmp_path: Path) -> None:
    assert command("train", "-m", *text, *BRIEF, "model=luong", "score=glob(*dot)").status == 0
    assert len(finished(tmp_path)) == 2


@pytest.mark.parametrize(
    ("subdir", "names"),
    [("${hydra:job.num}", ["0", "1"]), ("${run_name}", ["bahdanau-additive-s1", "bahdanau-additive-s2"])],
)
def test_runs_have_the_folders_that_were_asked_for(
    command: Command, text: list[str], tmp_path: Path, subdir: str, names: list[str]
) -> None:
    said = command("train", "-m", *text, *BRIEF, "seed=1,2", "hydra.sweep.dir=all", f"hydra.sweep.subdir={subdir}")
    assert said.status == 0, said.err
    assert sorted(path.parent.name for path in tmp_path.glob("all/*/metrics.json")) == names


def test_experiments_have_a_run_each(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(runs, "run_training", lambda config, *_: names.append(config.run_name))
    monkeypatch.setattr(runs, "objective_of", lambda *_: 0.0)
    said = command("train", "-m", "experiment=multi30k_luong,multi30k_bahdanau", "trainer.precision=32-true")
    assert said.status == 0, said.err
    assert names == ["luong-general-s1", "bahdanau-additive-s1"]


def test_runs_that_begin_in_the_same_second_keep_apart(
    command: Command, text: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of a launcher that starts jobs side by side do, and those of one model with two learning rates."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Clock":
            return cls(2030, 1, 2, 3, 4, 5)

    monkeypatch.setattr(hydra.core.utils, "datetime", Clock)
    assert command("train", "-m", *text, *BRIEF, "optimizer.lr=0.1,0.2").status == 0
    assert len(finished(tmp_path)) == 2


def test_each_variant_of_an_experiment_has_a_run(command: Command, text: list[str], tmp_path: Path) -> None:
    variants = "variants=['model=luong score=dot label=-x','model=bottleneck']"
    assert command("train", *text, *BRIEF, variants).status == 0
    runs = finished(tmp_path)
    assert [run.parent.name for run in runs] == ["bottleneck-none-s1", "luong-dot-x-s1"]
    # Each is what its overrides alone would have made: it can be resumed and compared as such.
    assert all("variants: null" in (run / "config.yaml").read_text() for run in runs)


def test_variants_multiply_with_a_sweep(command: Command, text: list[str], tmp_path: Path) -> None:
    variants = "variants=['score=dot','score=additive']"
    assert command("train", "--multirun", *text, *BRIEF, "model=luong", "seed=1,2", variants).status == 0
    names = [run.parent.name for run in finished(tmp_path)]
    assert names == [f"luong-{score}-s{seed}" for score in ("additive", "dot") for seed in (1, 2)]


@pytest.mark.parametrize("resume", ["false", "auto"])
def test_variants_of_one_folder_are_refused_and_each_in_its_own_is_trained(
    command: Command, text: list[str], tmp_path: Path, resume: str
) -> None:
    variants = "variants=['model=luong label=-x','model=bottleneck']"
    given = [*text, *BRIEF, variants, f"resume={resume}"]
    said = command("train", *given, "hydra.run.dir=runs")
    assert said.status == 1 and said.err.count("\n") == 1 and not (tmp_path / "runs").exists()
    assert "leave it out, or say 'hydra.run.dir=runs/${run_name}', with a label for each variant" in said.err
    said = command("train", *given, "hydra.run.dir=runs/${run_name}")
    assert said.status == 0, said.err
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["bottleneck-none-s1", "luong-general-x-s1"]


def test_failing_variant_is_named_and_the_others_run(command: Command, text: list[str], tmp_path: Path) -> None:
    said = command("train", *text, *BRIEF, "variants=['model=luong tokenizer.vocab_size=9999','model=bottleneck']")
    assert said.status == 1 and "Traceback" not in said.err
    assert said.err.splitlines()[-1] == "error: 1 of 2 variants failed; the others are whole"
    assert "error: model=luong tokenizer.vocab_size=9999: tokenizer.vocab_size" in said.err
    assert [run.parent.name for run in finished(tmp_path)] == ["bottleneck-none-s1"]


def test_failed_run_says_why_in_its_folder(command: Command, text: list[str], tmp_path: Path) -> None:
    said = command("train", *text, *BRIEF, "model=luong", "tokenizer.vocab_size=9999", "hydra.run.dir=run")
    line = (tmp_path / "run" / "error.txt").read_text()
    assert said.status == 1 and said.err == f"error: {line}"


def test_variants_that_are_no_list_are_refused(command: Command, text: list[str]) -> None:
    said = command("train", *text, "variants=[score=dot]")
    assert said.status == 1
    assert said.err.startswith("error: variants=[score=dot]: expected a list, such as variants=['score=dot'")


@pytest.mark.parametrize(
    ("variants", "part"),
    [
        ("['score=dot','score=bogus']", "score=bogus does not exist"),
        ("['score=dot','optimiser.lr=1']", "there is no key optimiser.lr"),
        ("['score=dot','seed=abc']", "seed=abc: expected a whole number"),
        ("['score=dot','model=bottleneck score=dot']", "leave it out"),
        *(
            (f"['score=dot','{typed}']", part)
            for typed, part in (
                ("training.coverage.weight=1 training.compile=true", "leave out training.compile"),
                ("noise.drop=0.1 training.guided_alignment.weight=1", "which noise changes"),
                ("tokenizer.sampling=0.1 training.guided_alignment.weight=1", "which tokenizer.sampling changes"),
                ("training.label_smoothing=1", "training.label_smoothing=1 must be from 0 to below 1"),
                ("callbacks=ema callbacks.ema.decay=2", "callbacks.ema.decay=2 must be"),
                ("callbacks.last.every_n_steps=0", "callbacks.last.every_n_steps=0 must be above 0"),
                ("pinned=3", "pinned=3: expected a list"),
                ("training.test_splits=test", "training.test_splits=test: expected a list"),
                ("links=threshold links.threshold=7", "links.threshold=7: expected a share"),
                ("search=beam search.beam_size=0", "search.beam_size=0 must be above 0"),
                ("tokenizer=word tokenizer.min_count=0", "tokenizer.min_count=0 must be above 0"),
                ("metrics.tokenize=bogus", "metrics.tokenize=bogus"),
            )
        ),
        ("5", "variants=5: expected a list"),
        ("[5]", "variants=[5]: expected a list"),
    ],
)
def test_mistake_in_any_variant_is_found_before_the_first_is_trained(
    command: Command, text: list[str], tmp_path: Path, variants: str, part: str
) -> None:
    said = command("train", *text, *BRIEF, f"variants={variants}")
    assert said.status == 1 and said.err.count("\n") == 1 and part in said.err
    assert not (tmp_path / "outputs").exists()
