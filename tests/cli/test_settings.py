"""Settings that never work, places that cannot be written, tools that are missing: found first, said in a line."""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from seq2seq.build import bleu_options
from seq2seq.cli.keys.messages import explain
from seq2seq.cli.keys.values import check_types, without_empty_groups
from seq2seq.errors import UserError
from seq2seq.evaluation import metrics
from seq2seq.evaluation.metrics import bleu_metric
from seq2seq.options import compose_defaults

Command = Callable[..., Any]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("optimizer.betas=[1,0.9]", "optimizer.betas=[1, 0.9]: expected two numbers from 0 to below 1"),
        ("optimizer.betas=[a,b]", "expected two numbers from 0 to below 1"),
        ("optimizer=sgd optimizer.momentum=1", "optimizer.momentum=1: expected a share from 0 to below 1"),
        ("optimizer=adamw optimizer.weight_decay=-1", "optimizer.weight_decay=-1: expected 0 or above"),
        ("scheduler=halving scheduler.scheduler.every=0", "scheduler.scheduler.every=0: expected above 0"),
        ("trainer.gradient_clip_val=0", "trainer.gradient_clip_val=0: expected above 0, or null for none"),
        ("trainer.max_epochs=0", "trainer.max_epochs=0: expected above 0, or -1"),
        ("trainer.max_steps=-2", "trainer.max_steps=-2: expected above 0, or -1"),
        ("trainer.max_time=1:00", "trainer.max_time=1:00: expected days:hours:minutes:seconds"),
        ("trainer.val_check_interval=1.5", "trainer.val_check_interval=1.5: expected a number of batches above 1, or"),
        ("trainer.val_check_interval=1", "trainer.val_check_interval=1: expected a number of batches above 1"),
        ("trainer.devices=0", "trainer.devices=0: expected a number of them"),
        ("trainer.strategy=deepspeed", "trainer.strategy=deepspeed is not known"),
        ("trainer.strategy=null", "trainer.strategy=null: expected a value, such as auto"),
        ("trainer.profiler=xla", "trainer.profiler=xla is not known"),
        ("callbacks.best.save_top_k=-2", "callbacks.best.save_top_k=-2: expected 0 or above, or -1"),
    ],
)
def test_value_that_never_works_is_refused(override: str, line: str) -> None:
    with pytest.raises(UserError) as refusal:
        check_types("train", override.split())
    assert line in str(refusal.value)


@pytest.mark.parametrize("value", ["maybe", "3"])
def test_truth_value_whose_default_is_null_is_checked(value: str) -> None:
    with pytest.raises(UserError, match=f"metrics.lowercase={value}: expected true or false, or null"):
        check_types("evaluate", ["checkpoint=x", f"metrics.lowercase={value}"])
    for right in ("true", "false", "null"):
        check_types("evaluate", ["checkpoint=x", f"metrics.lowercase={right}"])


def test_values_at_the_edge_that_do_work_are_accepted() -> None:
    edges = ["betas=[0,0.999]", "eps=0"]
    check_types("train", [f"optimizer.{edge}" for edge in edges])
    edges = ["max_epochs=-1", "max_time=00:00:10:00", "val_check_interval=0.5", "limit_val_batches=0", "devices=[0,1]"]
    check_types("train", [*(f"trainer.{edge}" for edge in edges), "trainer.gradient_clip_val=null"])


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("+hydra.swep.dir=a", "hydra.swep; did you mean hydra.sweep?"),
        ("++hydra.run.x=1", "hydra.run.x; did you mean hydra.run.dir?"),
    ],
)
def test_key_that_hydra_does_not_have_is_refused(given: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"^there is no key {re.escape(meant)}"):
        check_types("train", [given])
    check_types("train", ["+hydra.job.env_set.A=1", "+hydra.job_logging.loggers.mine.level=INFO", "hydra.verbose=true"])


@pytest.mark.parametrize("key", ["decoder.self_normalizer.temperature", "encoder.norm_first"])
def test_key_that_is_taken_away_has_no_value_to_check(key: str) -> None:
    check_types("train", ["model=transformer", f"~{key}"])


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["trainer.accelerator=tpu"], "trainer.accelerator=tpu: there is none here; use trainer=cpu"),
        (["trainer.val_check_interval=1000"], "trainer.val_check_interval=1000: an epoch has"),
        (["trainer.limit_train_batches=0.001"], "in all, so that is less than one batch; give a larger share"),
        (
            ["trainer.limit_val_batches=0.001"],
            "trainer.limit_val_batches=0.001: there are 1 in all, so that is less than one batch; give",
        ),
        (
            ["callbacks.early_stopping.monitor=val/aer", "data.val.links=null"],
            "callbacks.early_stopping.monitor=val/aer",
        ),
        (["metrics.tokenize=foo"], "metrics.tokenize=foo is no tokeniser of sacreBLEU"),
        (["+optimizer.weight_decay=abc"], "optimizer.weight_decay=abc"),
        (["scheduler=plateau", "scheduler.scheduler.factor=2"], "scheduler.scheduler.factor=2"),
        (["scheduler=plateau", "scheduler.interval=step"], "scheduler.interval=step"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_setting_that_does_not_fit_is_found_before_the_training(
    command: Command, text: list[str], tmp_path: Path, overrides: list[str], line: str
) -> None:
    said = command("train", *text, "hydra.run.dir=run", *overrides)
    assert said.status == 1 and said.err.startswith("error: ") and said.err.count("\n") == 1 and line in said.err
    assert not (tmp_path / "run" / "config.yaml").exists() and not list((tmp_path / "run").glob("events*"))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["+optimizer.foo=1"],
            "is no option of Adam; leave it out, or take it away with '~optimizer.foo'",
        ),
        (["+scheduler.scheduler.foo=1"], "scheduler.scheduler.foo is no option of cosine"),
        (["+callbacks.best.foo=1"], "callbacks.best.foo is no option of"),
        (["-m", "search=greedy,sample", "+search.beam_size=3"], "search.beam_size is no option of GreedySearch"),
        (["variants=['seed=1','+trainer.foo=1']"], "trainer.foo is no option of Trainer"),
        (
            ["experiment=multi30k_transformer_tiny"],
            "data.form is no option of TextCorpus; leave it out, or",
        ),
        (["trainer.reload_dataloaders_every_n_epochs=0"], "epochs would have the same batches in the same order"),
        (["debug=overfit", "trainer.reload_dataloaders_every_n_epochs=2"], "leave it at 1, or say debug=overfit"),
        (["trainer.use_distributed_sampler=true"], "batches are shared out among processes already"),
        (["+trainer.overfit_batches=1"], "trainer.overfit_batches=1: each epoch would take other batches; say debug="),
        (["+trainer.fast_dev_run=true"], "trainer.fast_dev_run=True: it would end as a finished run without"),
        (["+trainer.barebones=true"], "trainer.barebones=True: a run has checkpoints and curves"),
        (["+trainer.gradient_clip_algorithm=value"], "the norm of the gradient is clipped; leave it out"),
        (["-m", "seed=1,2", "+trainer.limit_test_batches=1"], "a test is whole; training.test_splits=[] leaves it out"),
        (["+trainer.callbacks=[]"], "trainer.callbacks: the run sets it itself; add them as callbacks.NAME"),
        (["+trainer.default_root_dir=x"], "trainer.default_root_dir: the run sets it itself; say hydra.run.dir="),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_option_that_a_part_does_not_take_is_refused_before_there_is_a_folder(
    command: Command, text: list[str], tmp_path: Path, overrides: list[str], line: str
) -> None:
    said = command("train", *text, *overrides)
    assert said.status == 1 and said.err.startswith("error: ") and said.err.count("\n") == 1 and line in said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("overrides", [["trainer.devices=[0,1]"], ["-m", "trainer.accelerator=cpu,tpu"]], ids=" ".join)
def test_device_that_is_not_here_is_refused_before_there_is_a_folder(
    command: Command, text: list[str], tmp_path: Path, overrides: list[str]
) -> None:
    said = command("train", *text, *overrides)
    assert said.status == 1 and said.err.startswith("error: trainer.") and said.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_score_that_is_not_there_for_want_of_validations_is_said(
    command: Command, text: list[str], tmp_path: Path
) -> None:
    brief = ["trainer.max_steps=1", "trainer.limit_val_batches=0", "callbacks.pinned=null", "training.test_splits=[]"]
    said = command("train", *text, *brief, "search.max_length=5", "callbacks.best.mode=min")
    assert said.status == 0, said.err
    assert "no validation chose a best checkpoint: the scores are those of the last weights" in said.out
    assert "callbacks.best.mode=min: this takes the worst val/bleu for the best" in said.out


MISSING = "\nJapanese tokenization requires more.\nPlease install it like so.\n\n    pip install sacrebleu[ja]\n"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (RuntimeError(MISSING), "needs a package that is not installed: pip install 'sacrebleu[ja]'"),
        (
            OSError("<urlopen error no name>"),
            "needs a file that could not be read or fetched (<urlopen error no name>)",
        ),
        (SystemExit(1), "connect to the network once"),
    ],
)
def test_tokeniser_whose_package_or_file_is_missing_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, remedy: str
) -> None:
    class Broken(metrics.BLEU):
        def __init__(self, **_: Any) -> None:
            raise error

    monkeypatch.setattr(metrics, "BLEU", Broken)
    with pytest.raises(UserError) as refusal:
        bleu_metric("ja-mecab", lowercase=False)
    assert str(refusal.value).startswith("metrics.tokenize=ja-mecab needs ") and remedy in str(refusal.value)
    config = compose_defaults("evaluate", ["checkpoint=x", "metrics.tokenize=ja-mecab"])
    with pytest.raises(UserError):  # before the search, as before the training
        bleu_options(config, None)  # type: ignore[arg-type]


def test_library_message_is_whole_and_names_the_override_it_speaks_of() -> None:
    error = MisconfigurationException("`check_val_every_n_epoch` should be whole.\nSay\n  2\nframe #0: deep inside")
    overrides = ["seed=2", "trainer.check_val_every_n_epoch=1.5"]
    assert explain(error, "train", overrides) == (
        "trainer.check_val_every_n_epoch=1.5: `check_val_every_n_epoch` should be whole. Say 2 "
        "(HYDRA_FULL_ERROR=1 shows where)"
    )
    assert explain(RuntimeError("one\ntwo"), "train", []).startswith("RuntimeError: one two (")
    assert explain(RuntimeError(), "train", []).startswith("RuntimeError (")
    full = OSError(errno.ENOSPC, "No space left on device", "out/a.png")
    assert explain(full, "explain", []) == "out/a.png: No space left on device; make some"
    for nameless in (OSError(errno.ENOSPC, "No space left on device"), RuntimeError("No space left on device")):
        said = explain(nameless, "export", ["format=onnx", "output=out"])
        assert said == "output=out: No space left on device; make some"
    assert "/proc/x: No such file or directory; give" in explain(
        FileNotFoundError(2, "No such file or directory", "/proc/x"), "explain", []
    )
    assert len(explain(RuntimeError("long " * 1000), "train", [])) < 800


@pytest.mark.parametrize("blocked", ["outputs", "somewhere"])
def test_places_that_cannot_be_made_are_named_together(command: Command, tmp_path: Path, blocked: str) -> None:
    (tmp_path / blocked).write_text("in the way")
    moved = [] if blocked == "outputs" else ["hydra.run.dir=somewhere/a", "loader.cache_dir=somewhere/b"]
    said = command("train", *moved)
    assert said.status == 1 and said.err.count("\n") == 1
    assert f": {blocked} is no folder; give other folders:" in said.err
    assert "hydra.run.dir=" in said.err and "loader.cache_dir=" in said.err
    assert os.listdir(tmp_path) == [blocked]


def test_folder_without_permission_is_named(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outputs" / "cache").mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, *_: Path(path).name not in ("outputs", "cache"))
    said = command("train")
    assert said.status == 1 and "outputs cannot be written to; give other folders: hydra.run.dir=FOLDER" in said.err
    assert "loader.cache_dir" not in said.err  # it may be whole: then it is only read


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("train", ["data=null", "links=null", "reading=null", "seed=null"]),
        ("evaluate", ["experiment=null", "seed=null"]),
    ],
)
def test_group_that_a_command_is_whole_without_may_be_null(name: str, kept: list[str]) -> None:
    given = [f"{group}=null" for group in ("data", "experiment", "links", "reading", "seed")]
    assert without_empty_groups(name, given) == kept
