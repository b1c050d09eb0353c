"""Attention and models cost a user torch, nothing else."""

import subprocess
import sys
from pathlib import Path

import seq2seq

HEAVY = ("lightning", "hydra", "omegaconf", "matplotlib", "datasets", "sentencepiece", "sacrebleu", "tensorboard")


def test_import_brings_no_framework_with_it() -> None:
    code = "import sys, seq2seq.attention, seq2seq.models; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    root = Path(seq2seq.__path__[0]).parent
    loaded = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True).stdout
    assert "torch" in loaded.split()
    assert not set(HEAVY) & set(loaded.split())
