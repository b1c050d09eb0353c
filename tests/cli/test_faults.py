"""What befalls a training from outside, in a line that says what to do about it."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.cli.training import run, runs
from seq2seq.cli.training.faults import explain_fault
from seq2seq.data.batching import collate
from seq2seq.training.module import TranslationModule

Command = Callable[..., Any]

FULL = OSError(errno.ENOSPC, "No space left on device")
UNLOGGED = ValueError("you tried to log 2.5 which is currently not supported. Try a dict or a scalar/tensor.")
UNLOGGED.__cause__ = FULL  # as Lightning's logger has it


class BackendCompilerFailed(RuntimeError):
    """As PyTorch calls it, in a module that takes a second to import."""


UNCOMPILED = BackendCompilerFailed(
    "backend='inductor' raised:\nCppCompileError: C++ compile error\n\nCommand:\ng++ main.cpp -Wno-error -O3\n\n"
    "Output:\nmain.cpp:1:10: fatal error: Python.h: No such file or directory\n    1 | #include <Python.h>\n"
)

BATCH = collate([([4, 5, 6], [7, 8], 0), ([4], [9, 10, 7, 8, 5], 1)])
MEMORY = "out of memory on a batch of 2 sentences, 4 source and 6 target pieces long: lower loader.tokens_per_batch=64 "


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MEMORY),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), MEMORY),
        (MemoryError(), MEMORY),
        (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), "died (exited unexpectedly)"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "died (killed by signal: Killed)"),
        (
            RuntimeError("[/b/gloo/pair.cc:5] Connection closed by peer [10.0.0.2]:4711. This is typically caused by"),
            "lost another process of this training (Connection closed by peer [10.0.0.2]:4711): see what befell it",
        ),
        (FULL, "no space left on the disk of run: make some"),
        (UNLOGGED, "no space left on the disk of run: make some"),
        (RuntimeError("unable to write to file </torch_7>: No space left on device (28)"), None),  # shared memory
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (OSError(errno.EACCES, "Permission denied"), None),
        (UNCOMPILED, "could not compile the model (fatal error: Python.h: No such file or directory): see whether a"),
        (
            BackendCompilerFailed("CppCompileError: C++ compile error\n\nOutput:\nFehler: x"),
            "model (C++ compile error): ",
        ),
        (
            BackendCompilerFailed("backend='inductor' raised:\nOSError: [Errno 28] No space left on device"),
            "say TMPDIR=",
        ),
        (BackendCompilerFailed("AssertionError: in PyTorch itself"), None),
    ],
)
def test_fault_is_explained(error: Exception, line: str | None) -> None:
    said = explain_fault(error, BATCH, 64, Path("run"))
    assert said is None if line is None else said is not None and line in said


def test_memory_that_ran_out_before_the_first_batch() -> None:
    assert (explain_fault(MemoryError(), None, 64, Path()) or "").startswith("out of memory: lower loader")


@pytest.mark.parametrize(
    ("owner", "name", "more"),
    [
        (TranslationModule, "validation_step", ["trainer.limit_train_batches=1"]),
        (run, "evaluate", ["trainer.limit_val_batches=0"]),
    ],
    ids=["validation", "test"],
)
def test_memory_that_runs_out_in_an_evaluation_names_its_own_batches(
    command: Command, text: list[str], monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, more: list[str]
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(owner, name, full)
    said = command("train", *text, "trainer.max_steps=1", "hydra.run.dir=run", *more)
    line = "error: out of memory in an evaluation: lower loader.eval_tokens_per_batch="
    assert said.status == 1 and said.err.splitlines()[-1].startswith(line)
    assert said.err.splitlines()[-1].endswith("; then go on with resume=run and the same overrides")


def test_reason_that_cannot_be_kept_is_said_all_the_same(
    command: Command, text: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full."""

    def fails(*_: Any) -> None:
        raise RuntimeError("the reason")

    monkeypatch.setattr(runs, "run_training", fails)
    (tmp_path / "run" / "error.txt").mkdir(parents=True)
    said = command("train", *text, "hydra.run.dir=run")
    assert said.status == 1 and said.err.startswith("error: RuntimeError: the reason ")
