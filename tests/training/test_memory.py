"""The most memory that a run held."""

import mmap

import pytest
import torch

from seq2seq.training.memory import peak_mib, reset_peak


def test_gpu_that_nothing_has_used_has_no_peak_to_forget(monkeypatch: pytest.MonkeyPatch) -> None:
    # As at the begin of every run: Lightning has chosen the device, and nothing is there yet. PyTorch refuses that.
    asked: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", asked.append)
    device = torch.device("cuda", 0)
    for initialized in (False, True):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda found=initialized: found)
        reset_peak(device)
        assert asked == [device] * initialized


def test_peak_is_that_since_it_was_reset() -> None:
    cpu, mebibytes = torch.device("cpu"), 64
    reset_peak(cpu)
    before = peak_mib(cpu)
    with mmap.mmap(-1, mebibytes << 20) as pages:  # new ones, whatever the process keeps of what it has freed
        for start in range(0, len(pages), mmap.PAGESIZE):
            pages[start] = 1
        assert peak_mib(cpu) >= before + mebibytes / 2
    assert peak_mib(cpu) >= before + mebibytes / 2
    reset_peak(cpu)
    assert peak_mib(cpu) < before + mebibytes / 2
