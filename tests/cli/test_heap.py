"""Freed memory is kept, so that training does not fetch it from the system page by page."""

import resource
import subprocess
import sys

import pytest

CODE = """
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


def faults(how: str) -> int:
    """Return how many pages were fetched while the same blocks were taken and freed ten times."""
    return int(subprocess.run([sys.executable, "-c", CODE, how], check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' C libraries are left as they are")
def test_freed_memory_is_not_fetched_again() -> None:
    pages = 10 * (124 << 20) // resource.getpagesize()
    assert faults("left") > pages // 2
    assert faults("kept") < pages // 100
