"""Attention in four choices, a file each. Needs torch and entmax alone.

    weights = normalise(score(query, key) + bias, visible) · factor        context = weights · value

scores.py       what query and key say to each other   Additive, Dot, ScaledDot, General, Cosine, Location
positions.py    where they stand                       Sinusoidal, Learned, NoPositions
patterns.py     who sees whom                          Full, Window, Dilated, Chunked, BigBird
                                                       with weights, in weighing_patterns.py: LocalP, Fixed
normalizers.py  how a row shares itself out            Softmax, Sparsemax, Entmax15

attention.py    the choices put together               Attention; memory.py: Memory, Past; masks.py: padding, causal
multihead.py    several at once, projected             MultiHeadAttention
kernels.py      the same, faster, without weights
recorder.py     look at the weights of any model       record_attention
invariants.py   what must hold on a live model         check_attention, check_model, ...

Where the query comes from (self, causal self, cross; before or after the recurrent step) is the caller's choice.
A new variant is one class and one YAML of its group in configs/; every test of the group then finds it.
"""

from seq2seq.attention.attention import Attention
from seq2seq.attention.masks import causal_mask, combine_masks, padding_mask
from seq2seq.attention.memory import Memory, Past
from seq2seq.attention.multihead import MultiHeadAttention
from seq2seq.attention.normalizers import Entmax15, Normalizer, Softmax, Sparsemax
from seq2seq.attention.patterns import BigBird, Chunked, Dilated, Full, LocalM, Pattern, Sight, Window
from seq2seq.attention.positions import LearnedPositions, NoPositions, Positions, SinusoidalPositions
from seq2seq.attention.recorder import record_attention
from seq2seq.attention.scores import Additive, Concat, Cosine, Dot, General, Location, NoScore, ScaledDot, Score
from seq2seq.attention.weighing_patterns import Fixed, LocalP

__all__ = [
    "Additive",
    "Attention",
    "BigBird",
    "Chunked",
    "Concat",
    "Cosine",
    "Dilated",
    "Dot",
    "Entmax15",
    "Fixed",
    "Full",
    "General",
    "LearnedPositions",
    "LocalM",
    "LocalP",
    "Location",
    "Memory",
    "MultiHeadAttention",
    "NoPositions",
    "NoScore",
    "Normalizer",
    "Past",
    "Pattern",
    "Positions",
    "ScaledDot",
    "Score",
    "Sight",
    "SinusoidalPositions",
    "Softmax",
    "Sparsemax",
    "Window",
    "causal_mask",
    "combine_masks",
    "padding_mask",
    "record_attention",
]
