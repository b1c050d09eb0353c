"""Attention in four choices, a file each. Needs torch and entmax alone.

    weights = normalise(score(query, key) + bias, visible) · factor        context = weights · value

scores.py       what query and key say to each other   Dot, ScaledDot, General, Cosine; NoScore: nothing
additive.py       summed before they bend              Additive (Concat), Coverage
feature_scores.py   as a product of features           Linear, Performer
place_scores.py     without a look at the key          Location, Synthesizer, Uniform
positions.py    where they stand                       Sinusoidal, Learned, Random, NoPositions
distances.py      how far apart                        Rotary, Alibi, T5, Shaw
patterns.py     who sees whom                          Full, Window, Dilated, Chunked, BigBird, LocalM
weighing_patterns.py  and how much                     LocalP, Fixed
normalizers.py  how a row shares itself out            Softmax, LogLength
sparse_normalizers.py  among few                       Sparsemax, Entmax15, Entmax, TopK
open_normalizers.py    or not all of it                Sigmoid, Sink, OffByOne, Leaky, Differential, Monotonic

attention.py    the choices put together               Attention; memory.py: Memory, Past; masks.py: padding, causal
multihead.py    several at once, projected             MultiHeadAttention; heads.py: which of them share keys
kernels.py      the same, faster, without weights      linear_attention.py: in O(n); sliced.py: in O(n · width)
energies.py     the additive score, never held whole
recorder.py     look at the weights of any model       record_attention
replacing.py    put others in their place              replace_attention
invariants.py   what must hold on a live model         check_attention, check_model, ...

Where the query comes from (self, causal self, cross; before or after the recurrent step) is the caller's choice.
A new variant is one class and one YAML of its group in configs/; every test of the group then finds it.
"""

from seq2seq.attention.additive import Additive, Concat, Coverage
from seq2seq.attention.attention import Attention
from seq2seq.attention.distances import AlibiPositions, RotaryPositions, ShawPositions, T5Positions
from seq2seq.attention.feature_scores import Linear, Performer
from seq2seq.attention.masks import causal_mask, combine_masks, padding_mask
from seq2seq.attention.memory import Memory, Past, Sums
from seq2seq.attention.multihead import MultiHeadAttention
from seq2seq.attention.normalizers import LogLength, Normalizer, Softmax
from seq2seq.attention.open_normalizers import Differential, Leaky, Monotonic, OffByOne, Sigmoid, Sink
from seq2seq.attention.patterns import BigBird, Chunked, Dilated, Full, LocalM, Pattern, Sight, Window
from seq2seq.attention.place_scores import Location, Synthesizer, Uniform
from seq2seq.attention.positions import (
    LearnedPositions,
    NoPositions,
    Positions,
    RandomPositions,
    SinusoidalPositions,
)
from seq2seq.attention.recorder import record_attention
from seq2seq.attention.replacing import replace_attention
from seq2seq.attention.scores import Cosine, Dot, General, NoScore, ScaledDot, Score
from seq2seq.attention.sparse_normalizers import Entmax, Entmax15, Sparsemax, TopK
from seq2seq.attention.weighing_patterns import Fixed, LocalP

__all__ = [
    "Additive",
    "AlibiPositions",
    "Attention",
    "BigBird",
    "Chunked",
    "Concat",
    "Cosine",
    "Coverage",
    "Differential",
    "Dilated",
    "Dot",
    "Entmax",
    "Entmax15",
    "Fixed",
    "Full",
    "General",
    "Leaky",
    "LearnedPositions",
    "Linear",
    "LocalM",
    "LocalP",
    "Location",
    "LogLength",
    "Memory",
    "Monotonic",
    "MultiHeadAttention",
    "NoPositions",
    "NoScore",
    "Normalizer",
    "OffByOne",
    "Past",
    "Pattern",
    "Performer",
    "Positions",
    "RandomPositions",
    "RotaryPositions",
    "ScaledDot",
    "Score",
    "ShawPositions",
    "Sight",
    "Sigmoid",
    "Sink",
    "SinusoidalPositions",
    "Softmax",
    "Sparsemax",
    "Sums",
    "Synthesizer",
    "T5Positions",
    "TopK",
    "Uniform",
    "Window",
    "causal_mask",
    "combine_masks",
    "padding_mask",
    "record_attention",
    "replace_attention",
]
