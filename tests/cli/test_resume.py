"""`resume=`: an interrupted run goes on where it stood, and ends as if nothing had happened."""

import importlib.util
import os
import shlex
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from seq2seq.cli.training.run_folder import claimed
from seq2seq.training.callbacks import Throughput, ValidationReport
from seq2seq.training.module import TranslationModule
from tests.cli.conftest import _command

CRASH_TEST = Path(__file__).parents[2] / "scripts" / "crash_test.py"

Command = Callable[..., Any]
BRIEF = ["callbacks.pinned=null", "training.test_splits=[]", "search.max_length=5", "trainer.limit_train_batches=2"]


def differences(one: Path, other: Path) -> list[str]:
    """Return in what two runs differ, as the crash test compares them."""
    spec = importlib.util.spec_from_file_location("crash_test", CRASH_TEST)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.differences(one, other)


def runs(folder: Path) -> list[Path]:
    return sorted(folder.glob("outputs/*/*/*/config.yaml"))


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def crash(command: Command, text: list[str], folder: Path, *overrides: str) -> Path:
    """Return the folder of a run that ended in an error at its second validation of two."""

    def fail(_: Any, trainer: Any, __: Any) -> None:
        if trainer.current_epoch == 1:
            raise RuntimeError("the lights went out")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ValidationReport, "on_validation_end", fail)
        said = command("train", *text, *BRIEF, *overrides)
    assert said.status == 1 and "the lights went out" in said.err
    (config,) = runs(folder)
    assert not (config.parent / "metrics.json").exists()
    return config.parent


@pytest.fixture(scope="module")
def crashed(text: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a run crashed; tests work on copies."""
    folder = tmp_path_factory.mktemp("crashed")
    return crash(partial(_command, folder=folder), text, folder)


@pytest.fixture
def interrupted(command: Command, text: list[str], tmp_path: Path, crashed: Path) -> Callable[..., Path]:
    """`interrupted("seed=2")`: the folder of a run that crashed."""

    def run(*overrides: str) -> Path:
        if overrides:
            return crash(command, text, tmp_path, *overrides)
        return shutil.copytree(crashed, tmp_path / crashed.relative_to(crashed.parents[3]))

    return run


@pytest.fixture(scope="module")
def whole(text: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing befell; tests only read it."""
    folder = tmp_path_factory.mktemp("whole")
    said = _command("train", *text, *BRIEF, f"hydra.run.dir={folder}", folder=folder)
    assert said.status == 0, said.err
    return folder


@pytest.mark.parametrize("options", [[], ["training.r_drop=1"]], ids=" ".join)
def test_named_folder_is_resumed(command: Command, text: list[str], train: Any, options: list[str]) -> None:
    brief = [*BRIEF, *options, "scheduler=constant"]  # the default's rate depends on the number of epochs
    run = train(*brief, "trainer.max_epochs=1", folder="a run, (old)")
    whole = train(*brief, folder="whole")
    assert command("train", *text, *brief, "resume=a run, (old)").status == 0
    assert run.metrics["steps"] == 4
    expected = weights(whole.folder)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(run.folder).items())


def test_run_of_another_configuration_is_not_continued(
    command: Command, text: list[str], interrupted: Callable[..., Path]
) -> None:
    folder = interrupted()
    said = command("train", *text, *BRIEF, "optimizer.lr=0.5", "resume=true")
    assert said.status == 1 and said.err.startswith("error: resume=true: there is no unfinished run")
    assert said.err.count("\n") == 1
    assert not (folder / "metrics.json").exists()


def test_finished_run_is_not_continued(command: Command, text: list[str], tmp_path: Path) -> None:
    assert command("train", *text, *BRIEF).status == 0
    said = command("train", *text, *BRIEF, "resume=true")
    assert said.status == 1 and said.err.startswith("error: resume=true") and said.err.count("\n") == 1
    assert len(runs(tmp_path)) == 1


def test_folder_without_a_run_is_named(command: Command, text: list[str], tmp_path: Path) -> None:
    said = command("train", *text, "resume=no such run")
    assert said.status == 1 and said.err.count("\n") == 1
    assert said.err.startswith("error: resume=no such run: ")
    assert list(tmp_path.iterdir()) == []


def test_newest_of_several_unfinished_runs_is_continued(
    command: Command, text: list[str], interrupted: Callable[..., Path], tmp_path: Path
) -> None:
    first = interrupted()
    newer = first.with_name("9999-12-31_23-59-59")
    config = (first / "config.yaml").read_text()
    (newer / "checkpoints").mkdir(parents=True)
    (newer / "config.yaml").write_text(
        config.replace(str(first.relative_to(tmp_path)), str(newer.relative_to(tmp_path)))
    )
    (newer / "checkpoints" / "last.ckpt").write_bytes((first / "checkpoints" / "last.ckpt").read_bytes())
    assert command("train", *text, *BRIEF, "resume=true").status == 0
    assert (newer / "metrics.json").exists() and not (first / "metrics.json").exists()


def test_run_with_brackets_in_its_name_is_found(
    command: Command, text: list[str], interrupted: Callable[..., Path]
) -> None:
    folder = interrupted("label=-k[x]*")
    assert command("train", *text, *BRIEF, "label=-k[x]*", "resume=true").status == 0
    assert (folder / "metrics.json").exists()


def test_damaged_checkpoint_gives_way_to_the_one_before(
    command: Command, text: list[str], interrupted: Callable[..., Path], whole: Path
) -> None:
    folder = interrupted()
    last = folder / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    said = command("train", *text, *BRIEF, f"resume={folder}")
    assert said.status == 0
    assert f"{last} is damaged" in said.out and "going on from" in said.out and "previous.ckpt" in said.out
    expected = weights(whole)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(folder).items())


@pytest.mark.parametrize("resume", ["true", None])
def test_two_damaged_checkpoints_are_named(
    command: Command, text: list[str], interrupted: Callable[..., Path], resume: str | None
) -> None:
    folder = interrupted()
    for name in ("last.ckpt", "previous.ckpt"):
        file = folder / "checkpoints" / name
        file.write_bytes(file.read_bytes()[:5000])
    before = (folder / "error.txt").read_text()
    said = command("train", *text, *BRIEF, f"resume={resume or folder}")
    assert said.status == 1 and said.err.count("\n") == 1
    assert "last.ckpt" in said.err and "cut off" in said.err
    assert (folder / "error.txt").read_text() == before


def test_run_that_was_killed_before_its_first_checkpoint_begins_anew(
    command: Command, text: list[str], interrupted: Callable[..., Path], whole: Path
) -> None:
    folder = interrupted()
    shutil.rmtree(folder / "checkpoints")
    assert command("train", *text, *BRIEF, "resume=true").status == 0
    assert differences(whole, folder) == []


@pytest.mark.parametrize("unfinished", [False, True])
def test_auto_goes_on_or_begins(
    command: Command, text: list[str], interrupted: Callable[..., Path], tmp_path: Path, unfinished: bool
) -> None:
    if unfinished:
        interrupted()
    assert command("train", *text, *BRIEF, "resume=auto").status == 0
    assert len(runs(tmp_path)) == 1


STEPS = ["trainer.limit_train_batches=null", "callbacks.last.every_n_steps=1", "trainer.log_every_n_steps=1"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.dropout=0.3", "callbacks=ema", "tokenizer.sampling=0.2", "callbacks.best.save_top_k=2",
         "callbacks.best.filename=best-{step}", "trainer.val_check_interval=2", "loader.num_workers=1",
         "logger=[tensorboard,csv]"],
        ["scheduler=plateau", "scheduler.scheduler.patience=0", "trainer.accumulate_grad_batches=2",
         "callbacks.early_stopping.patience=1", "trainer.max_epochs=4"],
        ["data.streaming=true", "scheduler=inverse_square_root", "tokenizer.sampling=0.2", "loader.num_workers=2"],
    ],
    ids=["averaged", "accumulated", "streamed"],
)  # fmt: skip
def test_run_that_fails_at_any_step_goes_on_at_that_very_step(
    command: Command, text: list[str], train: Any, tmp_path: Path, overrides: list[str]
) -> None:
    """Weights, optimizer, schedule, averages, best list, loops, curves and metrics are the same to the last bit."""
    settings = [*BRIEF, *STEPS, *overrides]
    whole = train(*settings, folder="whole")
    training_step = TranslationModule.training_step
    together = 2 if "trainer.accumulate_grad_batches=2" in overrides else 1
    for stop in (4, 9):  # at a validation or within the first epoch, and within the second
        made: list[int] = []

        def fail(module: TranslationModule, batch: Any, number: int, stop: int = stop, made: list[int] = made) -> Any:
            made.append(number)
            if len(made) == stop + 1:
                raise RuntimeError("the lights went out")
            return training_step(module, batch, number)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TranslationModule, "training_step", fail)
            said = command("train", *text, *settings, f"hydra.run.dir=killed-{stop}")
            assert said.status == 1 and "the lights went out" in said.err
            assert command("train", *text, *settings, f"resume=killed-{stop}").status == 0
        # Made again is the batch that failed, and those before it that belong to the same step.
        assert len(made) == together * whole.metrics["steps"] + 1 + stop % together
        assert differences(whole.folder, tmp_path / f"killed-{stop}") == []
        assert logged(whole.folder) == logged(tmp_path / f"killed-{stop}")


def test_run_that_fails_after_a_validation_within_a_step_makes_the_whole_step_again(
    command: Command, text: list[str], train: Any, tmp_path: Path
) -> None:
    settings = [*BRIEF, "trainer.limit_train_batches=6", "trainer.max_epochs=1", "scheduler=constant"]
    settings += ["trainer.accumulate_grad_batches=3", "trainer.val_check_interval=2"]
    whole = train(*settings, folder="whole")
    training_step = TranslationModule.training_step

    def fail(module: TranslationModule, batch: Any, number: int) -> Any:
        if number == 4:  # the second batch of the second step, after a validation
            raise RuntimeError("the lights went out")
        return training_step(module, batch, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TranslationModule, "training_step", fail)
        assert command("train", *text, *settings, "hydra.run.dir=killed").status == 1
    assert command("train", *text, *settings, "resume=killed").status == 0
    assert differences(whole.folder, tmp_path / "killed") == []


def logged(run: Path) -> list[str]:
    """Return the rows of metrics.csv, where there is one, but for times."""
    file = run / "metrics.csv"
    rows = file.read_text().splitlines() if file.exists() else []
    return [row for row in rows if not any(time in row for time in ("second", "waiting", "utilization"))]


@pytest.mark.parametrize(
    ("number", "while_"),
    [
        (signal.SIGTERM, "on_train_batch_end"),
        (signal.SIGHUP, "on_validation_batch_end"),
        (signal.SIGINT, "on_train_batch_end"),
    ],
)
def test_signal_saves_stops_and_says_how_to_go_on(
    command: Command, text: list[str], whole: Path, tmp_path: Path, number: signal.Signals, while_: str
) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Throughput, while_, lambda *_: os.kill(os.getpid(), number), raising=False)
        said = command("train", *text, *BRIEF, "hydra.run.dir=stopped")
    assert said.status == 128 + number
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    assert said.err.startswith(f"stopped by {name} at ") and "go on with resume=stopped and" in said.err
    assert said.err.count("\n") == 1 and not (tmp_path / "stopped" / "error.txt").exists()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)] == handlers
    assert command("train", *text, *BRIEF, "resume=stopped").status == 0
    assert differences(whole, tmp_path / "stopped") == []


def test_run_of_a_sweep_that_is_stopped_says_the_command_of_this_one_run(
    command: Command, text: list[str], whole: Path, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Throughput, "on_train_batch_end", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        said = command("train", *text, *BRIEF, "--multirun", "seed=1,2", "hydra.sweep.dir=sweep of 2")
    assert said.status == 128 + signal.SIGTERM
    (line,) = said.err.splitlines()
    program, *arguments = shlex.split(line.partition("go on with ")[2])
    assert (program, arguments[0]) == ("seq2seq", "train") and "seed=1" in arguments and "--multirun" not in arguments
    assert command(*arguments).status == 0
    (run,) = (tmp_path / "sweep of 2").rglob("metrics.json")
    assert differences(whole, run.parent) == []


def test_slurm_is_asked_to_start_the_job_again(
    command: Command, text: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setattr(Throughput, "on_train_batch_end", lambda *_: os.kill(os.getpid(), signal.SIGUSR1))
    assert command("train", *text, *BRIEF).status == 128 + signal.SIGUSR1
    assert (tmp_path / "asked").read_text() == "requeue 17\n"


def test_run_goes_on_with_the_tokenizers_of_its_checkpoint(
    command: Command, text: list[str], interrupted: Callable[..., Path], tmp_path: Path
) -> None:
    folder = interrupted(f"loader.cache_dir={tmp_path / 'first'}")
    config = folder / "config.yaml"  # as an earlier version wrote it, which had no choice of the normalisation
    config.write_text("".join(line for line in config.read_text().splitlines(True) if "normalization:" not in line))
    said = command("train", *text, *BRIEF, f"loader.cache_dir={tmp_path / 'second'}", f"resume={folder}")
    assert said.status == 0, said.err
    assert not list((tmp_path / "second").glob("tokenizer-*"))
    assert "normalization:" not in config.read_text()


def test_run_of_a_version_with_fewer_keys_goes_on_where_they_are_as_usual(
    command: Command, text: list[str], interrupted: Callable[..., Path]
) -> None:
    folder = interrupted("model=transformer")
    path = folder / "config.yaml"
    config: Any = OmegaConf.load(path)
    del config["cross_pattern"], config.encoder["pattern"], config.encoder["gate"], config.decoder["num_key_heads"]
    config.encoder.positions._target_ = "seq2seq.models.SinusoidalPositions"  # where it was
    OmegaConf.save(config, path)
    transformer = ["model=transformer", f"resume={folder}"]
    for other in ("cross_pattern=window", "encoder.gate=true"):
        said = command("train", *text, *BRIEF, *transformer, other)
        assert said.status == 1 and "is not what that run was started with" in said.err
    said = command("train", *text, *BRIEF, *transformer)
    assert said.status == 0, said.err
    assert (folder / "metrics.json").exists()


def test_changed_data_is_refused_with_what_changed(
    command: Command, text: list[str], interrupted: Callable[..., Path], tmp_path: Path, text_folder: Path
) -> None:
    data = []
    for side in ("source", "target", "links"):
        shutil.copy(text_folder / f"train.{side}", tmp_path / side)
        data.append(f"data.train.{side}={tmp_path / side}")
    folder = interrupted(*data)
    for side in ("source", "target", "links"):
        with (tmp_path / side).open("a") as file:
            file.write("0-0\n" if side == "links" else "one more .\n")
    said = command("train", *text, *BRIEF, *data, "resume=true")
    assert said.status == 1 and said.err.count("\n") == 1
    assert "the train data has changed since the run was stopped: 40 pairs then, 41 now" in said.err
    assert not (folder / "metrics.json").exists()


def test_folder_in_which_a_process_trains_is_refused(
    command: Command, text: list[str], interrupted: Callable[..., Path], tmp_path: Path
) -> None:
    folder = interrupted()
    with claimed(folder):
        said = command("train", *text, *BRIEF, "resume=true")
    assert said.status == 1 and f"another process trains in {folder.relative_to(tmp_path)} just now" in said.err


def test_resume_that_is_refused_leaves_the_run_as_it_was(
    command: Command, text: list[str], interrupted: Callable[..., Path]
) -> None:
    folder = interrupted()
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    for wrong in (
        ["loader.max_length=5"],
        ["loader.max_ratio=1.5"],
        ["+trainer.foo=3"],
        ["trainer.accelerator=tpu"],
        ["trainer.val_check_interval=1000"],
        ["metrics.tokenize=foo"],
    ):
        said = command("train", *text, *BRIEF, *wrong, f"resume={folder}")
        assert said.status == 1 and said.err.count("\n") == 1
        assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before, wrong
    assert command("train", *text, *BRIEF, "resume=true").status == 0


@pytest.mark.parametrize("overrides", [[], ["loader.tokens_per_batch=300"], ["trainer.max_epochs=1"]], ids=str)
def test_finished_run_is_not_done_again_in_its_folder(
    command: Command, text: list[str], whole: Path, tmp_path: Path, overrides: list[str]
) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    before = (folder / "metrics.json").read_bytes(), (folder / "config.yaml").read_bytes()
    said = command("train", *text, *BRIEF, *overrides, f"resume={folder}")
    assert said.status == 1 and "that run is finished; to train it on, raise trainer.max_epochs" in said.err
    assert ((folder / "metrics.json").read_bytes(), (folder / "config.yaml").read_bytes()) == before


def test_run_that_was_moved_keeps_its_best_checkpoint(
    command: Command, text: list[str], interrupted: Callable[..., Path], whole: Path, tmp_path: Path
) -> None:
    interrupted().rename(tmp_path / "moved")
    assert command("train", *text, *BRIEF, "resume=moved").status == 0
    assert differences(whole, tmp_path / "moved") == []


def test_checkpoint_cannot_have_anything_removed_but_checkpoints_beside_it(
    command: Command, text: list[str], interrupted: Callable[..., Path], tmp_path: Path
) -> None:
    folder = interrupted("callbacks.best.save_top_k=1")
    victim = tmp_path / "victim.ckpt"
    (victim / "inside").mkdir(parents=True)
    last = folder / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    name = next(name for name in content["callbacks"] if name.startswith("ModelCheckpoint"))
    path = f"{folder}/checkpoints/../../../../../{victim.name}"
    state = {"best_k_models": {path: torch.tensor(-1.0)}, "kth_best_model_path": path, "kth_value": torch.tensor(-1.0)}
    content["callbacks"][name] |= state | {"best_model_path": path, "best_model_score": torch.tensor(-1.0)}
    torch.save(content, last)
    assert command("train", *text, *BRIEF, "callbacks.best.save_top_k=1", "resume=true").status == 0
    assert (victim / "inside").exists()


@pytest.fixture(scope="module")
def averaged(text: list[str], whole: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A finished run that began with another and keeps averaged weights, and its overrides; tests only read it."""
    folder = tmp_path_factory.mktemp("averaged")
    overrides = [*BRIEF, f"begin_with={whole / 'checkpoints' / 'best.ckpt'}", "callbacks=ema", "trainer.max_epochs=1"]
    said = _command("train", *text, *overrides, f"hydra.run.dir={folder}", folder=folder)
    assert said.status == 0, said.err
    return folder, overrides


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ("begin_with={last}", "begin_with"),
        ("begin_with=null", "begin_with"),
        ("callbacks=default", "callbacks.ema"),
        ("callbacks.ema.decay=0.5", "callbacks.ema"),
        ("callbacks.best.monitor=val/chrf", "callbacks.best.monitor"),
        ("training.label_smoothing=0", "training.label_smoothing"),
        ("training.guided_alignment.weight=0.05", "training.guided_alignment"),
        ("noise.drop=0.1", "noise"),
        ("scheduler=plateau", "scheduler"),
        ("search=beam", "search"),
        ("metrics.lowercase=true", "metrics"),
    ],
)
def test_part_whose_state_a_run_keeps_is_not_changed(
    command: Command, text: list[str], averaged: tuple[Path, list[str]], other: str, named: str
) -> None:
    folder, overrides = averaged
    other = other.format(last=folder / "checkpoints" / "last.ckpt")
    said = command("train", *text, *overrides, "trainer.max_epochs=2", other, f"resume={folder}")
    assert said.status == 1 and said.err.count("\n") == 1
    assert said.err.startswith(f"error: resume={folder}: {named} is not what that run was started with")


def test_average_does_not_begin_within_a_run(command: Command, text: list[str], whole: Path) -> None:
    said = command("train", *text, *BRIEF, "callbacks=ema", "trainer.max_epochs=3", f"resume={whole}")
    assert said.status == 1 and "callbacks.ema is not what that run was started with" in said.err


def test_what_no_state_hangs_on_may_differ(
    command: Command, text: list[str], averaged: tuple[Path, list[str]], whole: Path, tmp_path: Path
) -> None:
    folder, overrides = averaged
    run = shutil.copytree(folder, tmp_path / "run")
    begin = tmp_path / "link.ckpt"  # the same file by another name
    begin.symlink_to(whole / "checkpoints" / "best.ckpt")
    free = ["trainer.max_epochs=2", "scheduler.scheduler.total_steps=9", "callbacks.early_stopping.patience=3"]
    free += ["loader.tokens_per_batch=300", "logger=csv", "pinned=[0]", f"begin_with={begin}"]
    assert command("train", *text, *overrides, *free, f"resume={run}").status == 0


@pytest.mark.parametrize(
    ("patience", "epochs"),
    [("callbacks.early_stopping.patience=0", 2), ("callbacks.early_stopping.patience=9", 4),
     ("callbacks.early_stopping=null", 4)],
)  # fmt: skip
def test_run_that_stopped_early_goes_on_with_more_patience(
    command: Command, text: list[str], train: Any, patience: str, epochs: int
) -> None:
    never = [*BRIEF, "optimizer.lr=1e-9", "scheduler=constant"]  # so that BLEU does not rise
    run = train(*never, "callbacks.early_stopping.patience=0", "trainer.max_epochs=3")
    assert run.metrics["epochs"] == 2
    assert command("train", *text, *never, patience, "trainer.max_epochs=4", f"resume={run.folder}").status == 0
    assert run.metrics["epochs"] == epochs


VARIANTS = "variants=['model=luong score=dot','model=bottleneck','model=luong score=general']"


def test_variants_are_finished_where_they_stood(
    command: Command, text: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One was finished, one interrupted, one not begun: none is lost, and none trained twice."""
    report = ValidationReport.on_validation_end

    def crash(self: Any, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1 and "bottleneck" in trainer.log_dir:
            raise KeyboardInterrupt
        report(self, trainer, module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ValidationReport, "on_validation_end", crash)
        said = command("train", *text, *BRIEF, VARIANTS)
    assert said.status == 130 and "the same command with resume=true" in said.err
    before = {path.parent: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.json")}
    assert [run.parent.name for run in before] == ["luong-dot-s1"] and len(runs(tmp_path)) == 2
    said = command("train", *text, *BRIEF, VARIANTS, "resume=true")
    assert said.status == 0 and "finished already: model=luong score=dot" in said.out
    after = {path.parent: path.stat().st_mtime_ns for path in tmp_path.rglob("metrics.json")}
    assert before.items() <= after.items()
    assert sorted(run.parent.name for run in after) == ["bottleneck-none-s1", "luong-dot-s1", "luong-general-s1"]
    assert len(runs(tmp_path)) == 3


@pytest.mark.parametrize("damage", ["", "- a list", "output: [", "x: 1"], ids=repr)
def test_damaged_configuration_is_said_to_be_so(
    command: Command, text: list[str], whole: Path, tmp_path: Path, damage: str
) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "config.yaml").write_text(damage)
    said = command("train", *text, *BRIEF, f"resume={folder}")
    assert said.status == 1 and said.err.count("\n") == 1 and "config.yaml is missing or damaged" in said.err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--multirun", "seed=1,2", "resume=true"], "error: resume: --multirun starts new runs"),
        ([VARIANTS, "resume=somewhere"], "error: resume=somewhere: a folder holds one run"),
    ],
)
def test_what_cannot_be_resumed_is_refused(
    command: Command, text: list[str], tmp_path: Path, arguments: list[str], line: str
) -> None:
    said = command("train", *text, *BRIEF, *arguments)
    assert said.status == 1 and line in said.err and not (tmp_path / "outputs").exists()
