"""The most memory that a run held."""

import torch

from seq2seq.training.memory import peak_mib, reset_peak


def test_gpu_that_nothing_has_used_has_no_peak_to_forget() -> None:
    # As at the begin of every run: Lightning has chosen the device, and nothing is there yet. PyTorch refuses that.
    assert not torch.cuda.is_initialized()
    reset_peak(torch.device("cuda", 0))
    assert not torch.cuda.is_initialized()


def test_peak_is_that_since_it_was_reset() -> None:
    cpu, mebibytes = torch.device("cpu"), 64
    reset_peak(cpu)
    before = peak_mib(cpu)
    torch.ones(mebibytes << 18).add_(1)
    assert peak_mib(cpu) >= before + mebibytes / 2
