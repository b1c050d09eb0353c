"""What befalls a training from outside, in a line that says what to do about it."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from seq2seq.cli import faults
from seq2seq.cli.faults import explain_fault, requeue
from seq2seq.data.batching import collate

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
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on the disk of run: make some"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (OSError(errno.EACCES, "Permission denied"), None),
    ],
)
def test_fault_is_explained(error: Exception, line: str | None) -> None:
    said = explain_fault(error, BATCH, 64, Path("run"))
    assert said is None if line is None else said is not None and line in said


def test_memory_that_ran_out_before_the_first_batch() -> None:
    assert (explain_fault(MemoryError(), None, 64, Path()) or "").startswith("out of memory: lower loader")


def test_array_job_is_requeued_by_its_own_number(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(faults.subprocess, "run", lambda command, check: asked.append(command))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    requeue("stopped by SIGUSR1")
    assert asked == []
    for name, value in {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level("INFO"):
        requeue("stopped by SIGUSR1")
    assert asked == [["scontrol", "requeue", "7_2"]]
    assert caplog.messages == ["stopped by SIGUSR1; SLURM is asked to start job 7_2 again"]


def test_slurm_that_does_not_answer_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.setenv("PATH", str(tmp_path))
    requeue("stopped by SIGUSR1")
    assert "job 9 could not be requeued" in caplog.text and os.environ["SLURM_JOB_ID"] == "9"
