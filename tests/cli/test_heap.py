"""Freed memory is kept, so that training does not fetch it from the system page by page."""

import resource
import subprocess
import sys

import pytest

from seq2seq.cli import heap
from seq2seq.cli.main import main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems' C libraries are left as they are")

FAULTS = """
import resource, sys
from seq2seq.cli.heap import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
for round in range(12):
    if round == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(size << 20) for size in (1, 3, 50, 70)]  # filled with zeros: every page is touched
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


RESIDENT = """
import re
from pathlib import Path
from seq2seq.cli.heap import KEPT_BYTES, keep_freed_memory

keep_freed_memory()
blocks = [bytearray(1 << 20) for _ in range(2 * KEPT_BYTES >> 20)] + [bytearray(KEPT_BYTES + 1)]
resident = lambda: int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
before = resident()
blocks.clear()
print((before - resident()) / KEPT_BYTES)
"""


def output(code: str, *arguments: str) -> float:
    """Return the number that a program of its own process prints."""
    return float(subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True).stdout)


def test_freed_memory_is_not_fetched_again() -> None:
    pages = 10 * (124 << 20) // resource.getpagesize()
    assert output(FAULTS, "left") > pages // 2
    assert output(FAULTS, "kept") < pages // 100


def test_memory_beyond_what_is_kept_goes_back_to_the_system() -> None:
    assert 1.9 < output(RESIDENT) < 3.1  # of three times that


def test_every_command_keeps_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[None] = []
    monkeypatch.setattr(heap, "keep_freed_memory", lambda: calls.append(None))
    assert main(["aer"]) == 1 and "gold" in capsys.readouterr().err
    assert calls == [None]
