"""`trainer.precision`: what a run takes is said, stored, the same in all commands, and possible."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from seq2seq.cli.training import precision as machine
from seq2seq.cli.training import runs
from seq2seq.errors import UserError
from seq2seq.training import precision
from seq2seq.training.callbacks import ValidationReport

Command = Callable[..., Any]
BRIEF = [
    *("callbacks.pinned=null", "training.test_splits=[]", "search.max_length=5"),
    *("trainer.limit_train_batches=1", "trainer.limit_val_batches=1"),
]
AUTO = "trainer.precision=auto"


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`processor(0.1, lstm=False)`: one that is a tenth as fast in bfloat16, and has no LSTM in it."""

    def set_(speed: float, *, lstm: bool = True) -> None:
        monkeypatch.setattr(precision, "bfloat16_speed", lambda: speed)
        monkeypatch.setattr(precision, "lstm_runs_in", lambda _: lstm)

    return set_


def stored(run: Path) -> list[str]:
    """Return what config.yaml and the checkpoint say."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["seq2seq"]["config"]
    return [OmegaConf.load(run / "config.yaml").trainer.precision, checkpoint["trainer"]["precision"]]


@pytest.mark.parametrize(("speed", "expected"), [(2.0, "bf16-mixed"), (0.1, "32-true")])
def test_run_says_which_precision_it_took_and_why_and_stores_it(
    command: Command, text: list[str], tmp_path: Path, processor: Any, speed: float, expected: str
) -> None:
    processor(speed)
    said = command("train", *text, *BRIEF, "trainer.max_epochs=1", AUTO, "hydra.run.dir=run")
    assert said.status == 0, said.err
    line = next(line for line in said.out.splitlines() if "training pairs" in line)
    assert line.endswith(
        f"precision {expected} (a product in bfloat16 is {speed:.2g} times as fast as in float32 here)"
    )
    assert stored(tmp_path / "run") == [expected, expected]


def test_runs_of_a_sweep_settle_it_each(command: Command, text: list[str], tmp_path: Path, processor: Any) -> None:
    processor(2.0)
    assert command("train", "-m", *text, *BRIEF, "trainer.max_epochs=1", "trainer.precision=auto,32-true").status == 0
    runs = sorted(path.parent for path in tmp_path.glob("outputs/*/*/*/config.yaml"))
    assert [stored(run)[0] for run in runs] == ["bf16-mixed", "32-true"]


def test_other_processes_of_a_run_of_a_sweep_take_what_the_first_has_settled(
    command: Command, text: list[str], processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []  # with what Lightning would start them

    def run_training(*_: Any) -> dict[str, float]:
        started.append(sys.argv[-1])
        return {"val/loss": 1.0}

    monkeypatch.setattr(runs, "run_training", run_training)
    processor(2.0)
    assert command("train", "-m", *text, AUTO, "seed=1,2").status == 0
    assert started == ["trainer.precision=bf16-mixed"] * 2


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=luong", "trainer.precision=bf16-mixed"],
        ["trainer.precision=16-mixed"],
        ["trainer.precision=16-true"],
        ["-m", "trainer.precision=32-true,16-mixed"],
        ["variants=['model=bottleneck','model=luong trainer.precision=bf16-mixed']"],
    ],
    ids=" ".join,
)
def test_precision_that_cannot_train_is_refused_before_anything_is_written(
    command: Command, text: list[str], tmp_path: Path, processor: Any, overrides: list[str]
) -> None:
    processor(0.1, lstm=False)
    said = command("train", *text, *BRIEF, *overrides)
    assert said.status == 1 and said.err.startswith("error: trainer.precision=") and said.err.count("\n") == 1
    assert "trainer.precision=auto" in said.err
    assert list(tmp_path.iterdir()) == []


def test_slow_precision_is_warned_of_in_one_line(command: Command, text: list[str], processor: Any) -> None:
    processor(0.1)
    said = command("train", *text, *BRIEF, "trainer.max_epochs=1", "trainer.precision=bf16-mixed")
    assert said.status == 0
    (line,) = (line for line in said.out.splitlines() if "slow, since" in line)
    assert line.startswith("trainer.precision=bf16-mixed: slow, since") and line.endswith(
        "precision=auto takes 32-true"
    )


@pytest.fixture
def interrupted(command: Command, text: list[str], tmp_path: Path) -> Callable[..., Path]:
    """`interrupted("seed=2")`: the folder of a run that ended in an error at its second validation of two."""

    def run(*overrides: str) -> Path:
        def crash(_: Any, trainer: Any, __: Any) -> None:
            if trainer.current_epoch == 1:
                raise RuntimeError("the lights went out")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ValidationReport, "on_validation_end", crash)
            said = command("train", *text, *BRIEF, *overrides)
        assert said.status == 1 and "the lights went out" in said.err
        (config,) = tmp_path.glob("outputs/*/*/*/config.yaml")
        return config.parent

    return run


@pytest.mark.parametrize("asked", [AUTO, "trainer.precision=bf16-mixed"])
def test_run_of_another_machine_is_found_and_goes_on_in_what_works_here(
    command: Command, text: list[str], interrupted: Callable[..., Path], processor: Any, asked: str
) -> None:
    processor(2.0)
    folder = interrupted("model.rnn=LSTM", asked)
    assert stored(folder) == ["bf16-mixed"] * 2
    processor(0.1, lstm=False)
    said = command("train", *text, *BRIEF, "model.rnn=LSTM", asked, "resume=true")
    assert said.status == 0, said.err
    assert "cannot run an LSTM in bfloat16; the run goes on in 32-true" in said.out
    assert (folder / "metrics.json").exists() and stored(folder) == ["32-true"] * 2


def test_run_is_found_again_after_it_went_on_elsewhere(
    command: Command, text: list[str], interrupted: Callable[..., Path], processor: Any
) -> None:
    processor(0.1, lstm=False)
    folder = interrupted("model.rnn=LSTM")
    asked = ["model.rnn=LSTM", "trainer.precision=bf16-mixed", "resume=true"]
    assert command("train", *text, *BRIEF, *asked).status == 0
    assert (folder / "metrics.json").exists()


def test_run_goes_on_as_it_was_begun_where_another_precision_would_be_taken(
    command: Command, text: list[str], interrupted: Callable[..., Path], processor: Any
) -> None:
    processor(0.1)
    folder = interrupted(AUTO)
    processor(2.0)
    said = command("train", *text, *BRIEF, AUTO, f"resume={folder}")
    assert said.status == 0 and "precision 32-true (as the run was begun)" in said.out
    assert stored(folder) == ["32-true"] * 2


def test_run_of_another_precision_is_not_continued(
    command: Command, text: list[str], interrupted: Callable[..., Path], processor: Any
) -> None:
    processor(2.0)
    interrupted("trainer.precision=bf16-mixed")
    said = command("train", *text, *BRIEF, "trainer.precision=32-true", "resume=true")
    assert said.status == 1 and said.err.startswith("error: resume=true: there is no unfinished run")


@pytest.mark.parametrize(
    ("device", "compilers", "variables", "said"),
    [
        ("cpu", ["g++", "clang++"], {}, None),
        (
            "cpu",
            ["gcc", "my-c++"],
            {},
            r"needs a C\+\+ compiler, and there is no (g|clang)\+\+ on the path; install one",
        ),
        ("cpu", ["my-c++"], {"CXX": "my-c++"}, None),
        ("cpu", ["g++", "clang++"], {"CXX": "my-c++"}, "there is no my-c.. on the path.*name one by CXX=FILE"),
        ("cuda", ["cc"], {}, None),
        ("cuda", [], {}, "needs a C compiler, and there is no gcc or clang or cc on the path"),
        ("mps", [], {}, None),
    ],
)
def test_what_is_to_be_compiled_needs_a_compiler(
    device: str,
    compilers: list[str],
    variables: dict[str, str],
    said: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in compilers:
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("CC", "CXX"):
        monkeypatch.delenv(variable, raising=False)
    for variable, name in variables.items():
        monkeypatch.setenv(variable, name)
    monkeypatch.setattr(machine, "check_devices", lambda *_: None)
    monkeypatch.setattr(machine, "device_of", lambda _: device)
    config = OmegaConf.create({"trainer": {"accelerator": "auto", "devices": 1}, "training": {"compile": True}})
    with pytest.raises(UserError, match=said) if said else nullcontext():
        machine.check_machine(config)


def test_run_without_a_compiler_is_refused_before_it_has_a_folder(
    command: Command, text: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    said = command("train", *text, "training.compile=true", "trainer=cpu")
    assert said.status == 1 and "training.compile=true needs a C++ compiler" in said.err
    assert not (tmp_path / "outputs").exists()
