"""Freed memory is kept, so that training does not fetch it from the system page by page; old kernels are not."""

import os
import resource
import subprocess
import sys
from functools import partial

import pytest
import torch
import yaml

from seq2seq.cli.main import main
from seq2seq.cli.process.native import keep_few_kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems' C libraries are left as they are")

CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"

FAULTS = """
import resource, sys
from seq2seq.cli.process.native import keep_freed_memory

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
from seq2seq.cli.process.native import KEPT_BYTES, keep_freed_memory

keep_freed_memory()
blocks = [bytearray(1 << 20) for _ in range(2 * KEPT_BYTES >> 20)] + [bytearray(KEPT_BYTES + 1)]
resident = lambda: int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10
before = resident()
blocks.clear()
print((before - resident()) / KEPT_BYTES)
"""


# The growth over products of ever other shapes. The first of its kind brings what is needed once.
KERNELS = """
import re, sys
from pathlib import Path
from seq2seq.cli.process.native import keep_few_kernels

if sys.argv[1] == "few":
    keep_few_kernels()
import torch

torch.set_num_threads(1)
resident = lambda: int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10
rows, weight = torch.ones(2500, 64, dtype=torch.bfloat16), torch.ones(64, 128, dtype=torch.bfloat16)
rows @ weight
before = resident()
for count in range(1, len(rows)):
    rows[:count] @ weight
print(resident() - before)
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


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no half precision on this CPU")
def test_kernels_of_old_shapes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CAPACITY, raising=False)
    many, few = output(KERNELS, "many"), output(KERNELS, "few")
    assert 0 < few < 0.75 * many


def test_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPACITY, "500")
    keep_few_kernels()
    assert os.environ[CAPACITY] == "500"


def test_every_command_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[str] = []
    for name in ("keep_freed_memory", "keep_few_kernels"):
        monkeypatch.setattr(f"seq2seq.cli.main.{name}", partial(calls.append, name))
    assert main(["aer"]) == 1 and "gold" in capsys.readouterr().err
    assert calls == ["keep_freed_memory", "keep_few_kernels"]


@pytest.mark.parametrize("arguments", [["aer"], ["train", "--help"]])
def test_commands_and_their_help_read_yaml_in_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    monkeypatch.setattr(yaml, "SafeLoader", yaml.loader.SafeLoader)
    main(arguments)
    assert yaml.SafeLoader is yaml.CSafeLoader
