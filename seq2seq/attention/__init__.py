"""Attention in four choices, a file each. Needs torch and entmax alone.

    weights = normalise(score(query, key) + bias, visible) · factor        context = weights · value

scores.py       what query and key say to each other   Dot, ScaledDot, General, Cosine
  additive.py                                          Additive, Coverage
  place_scores.py     without a look at the key        Location, Synthesizer, Uniform
  feature_scores.py   a product of features            Linear, Performer
positions.py    where they stand                       Sinusoidal, Learned, NoPositions
patterns.py     who sees whom                          Full, Window
normalizers.py  how a row shares itself out            Softmax, Sparsemax, Entmax15

attention.py    the choices put together               Attention; memory.py: Memory, Past; masks.py: padding, causal
multihead.py    several at once, projected             MultiHeadAttention
kernels.py      the same, faster, without weights      linear_attention.py: in O(n)
recorder.py     look at the weights of any model       record_attention
invariants.py   what must hold on a live model         check_attention, check_model, ...

Where the query comes from (self, causal self, cross; before or after the recurrent step) is the caller's choice.
A new variant is one class and one YAML of its group in configs/; every test of the group then finds it.
"""

from seq2seq.attention.additive import Additive, Concat, Coverage
from seq2seq.attention.attention import Attention
from seq2seq.attention.feature_scores import Linear, Performer
from seq2seq.attention.masks import causal_mask, combine_masks, padding_mask
from seq2seq.attention.memory import Memory, Past, Sums
from seq2seq.attention.multihead import MultiHeadAttention
from seq2seq.attention.normalizers import Entmax15, Normalizer, Softmax, Sparsemax
from seq2seq.attention.patterns import Full, Pattern, Sight, Window
from seq2seq.attention.place_scores import Location, Synthesizer, Uniform
from seq2seq.attention.positions import LearnedPositions, NoPositions, Positions, SinusoidalPositions
from seq2seq.attention.recorder import record_attention
from seq2seq.attention.scores import Cosine, Dot, General, NoScore, ScaledDot, Score

__all__ = [
    "Additive",
    "Attention",
    "Concat",
    "Cosine",
    "Coverage",
    "Dot",
    "Entmax15",
    "Full",
    "General",
    "LearnedPositions",
    "Linear",
    "Location",
    "Memory",
    "MultiHeadAttention",
    "NoPositions",
    "NoScore",
    "Normalizer",
    "Past",
    "Pattern",
    "Performer",
    "Positions",
    "ScaledDot",
    "Score",
    "Sight",
    "SinusoidalPositions",
    "Softmax",
    "Sparsemax",
    "Sums",
    "Synthesizer",
    "Uniform",
    "Window",
    "causal_mask",
    "combine_masks",
    "padding_mask",
    "record_attention",
]
