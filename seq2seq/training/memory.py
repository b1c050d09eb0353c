"""The most memory that a run held at once: the device's where there is one, else the process's."""

import resource
import sys
from pathlib import Path

import torch

MIB = 1 << 20


def reset_peak(device: torch.device) -> None:
    """Forget earlier peaks, such as those of a previous run in the same process."""
    if device.type == "cuda":
        if torch.cuda.is_initialized():  # else nothing was ever held there, and PyTorch would refuse
            torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # Linux: makes VmHWM start anew from what is held now


def peak_mib(device: torch.device) -> float:
    """Return the peak since `reset_peak` in MiB; on a CPU that of resident memory, whatever it holds."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MIB
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    kilo = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo / MIB
