"""Readings: which numbers of a forced pass say what source word a target word comes from.

reading.py    a row (of the step that predicts a word, or that reads it) of a quantity (weights, or norms)
norms.py      the size of what a source state contributes, a head and a layer
"""

from seq2seq.reading.norms import ForcedPass, norms, record_pass
from seq2seq.reading.reading import NAMES, Best, Reading, fed_in, norm_shares

__all__ = ["NAMES", "Best", "ForcedPass", "Reading", "fed_in", "norm_shares", "norms", "record_pass"]
