"""Attention = score × normaliser × mask, asked from some place. Needs torch and entmax alone.

scores.py       how well a query fits a key          Additive, Dot, ScaledDot, General, Cosine, Location
normalizers.py  scores to weights                    Softmax, Sparsemax, Entmax15
masks.py        which keys a query may see           padding_mask, causal_mask
attention.py    the three together                   Attention, Memory
multihead.py    several at once, projected           MultiHeadAttention
recorder.py     look at the weights of any model     record_attention
invariants.py   what must hold on a live model       check_attention, check_model, ...

Where the query comes from (self, causal self, cross; before or after the recurrent step) is the caller's choice.
"""

from seq2seq.attention.attention import Attention, Memory
from seq2seq.attention.masks import causal_mask, combine_masks, padding_mask
from seq2seq.attention.multihead import MultiHeadAttention
from seq2seq.attention.normalizers import Entmax15, Normalizer, Softmax, Sparsemax
from seq2seq.attention.recorder import record_attention
from seq2seq.attention.scores import Additive, Concat, Cosine, Dot, General, Location, NoScore, ScaledDot, Score

__all__ = [
    "Additive",
    "Attention",
    "Concat",
    "Cosine",
    "Dot",
    "Entmax15",
    "General",
    "Location",
    "Memory",
    "MultiHeadAttention",
    "NoScore",
    "Normalizer",
    "ScaledDot",
    "Score",
    "Softmax",
    "Sparsemax",
    "causal_mask",
    "combine_masks",
    "padding_mask",
    "record_attention",
]
