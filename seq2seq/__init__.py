"""Sequence-to-sequence training made to see and to compare attention."""

__version__ = "0.1.0"
