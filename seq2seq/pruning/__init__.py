"""Which heads of multi-head attention matter, and models without the others.

masks.py       each head's context times a number, from outside       mask_heads
importance.py  how much the loss hangs on each head                   head_importance, normalized, forced_loss
units.py       what can be cut by itself, and what goes first         Unit, units_of, in_order, removed_for
cut.py         the weights of a smaller model                         kept_after, kept_options, cut, check_cut
curve.py       scores without each unit, and with ever fewer          without_each, with_fewer, fewest_within
picture.py     all that as a figure                                   heads_figure
"""

from seq2seq.pruning.curve import Point, fewest_within, with_fewer, without_each
from seq2seq.pruning.cut import KEYS, Kept, check_cut, cut, kept_after, kept_options
from seq2seq.pruning.importance import forced_loss, head_importance, normalized
from seq2seq.pruning.masks import mask_heads, multihead_attentions
from seq2seq.pruning.picture import heads_figure
from seq2seq.pruning.units import Unit, at_random, by_importance, in_order, removed_for, units_of

__all__ = [
    "KEYS",
    "Kept",
    "Point",
    "Unit",
    "at_random",
    "by_importance",
    "check_cut",
    "cut",
    "fewest_within",
    "forced_loss",
    "head_importance",
    "heads_figure",
    "in_order",
    "kept_after",
    "kept_options",
    "mask_heads",
    "multihead_attentions",
    "normalized",
    "removed_for",
    "units_of",
    "with_fewer",
    "without_each",
]
