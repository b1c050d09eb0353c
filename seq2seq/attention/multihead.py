"""Multi-head attention: projections around the one `Attention` (Vaswani et al. 2017, 3.2.2)."""

from collections.abc import Callable

from torch import Tensor, nn

from seq2seq.attention.attention import Attention, Memory
from seq2seq.attention.normalizers import Normalizer
from seq2seq.attention.scores import ScaledDot, Score
from seq2seq.errors import UserError


class MultiHeadAttention(nn.Module):
    """h attentions at once on d_model / h dimensions each, concatenated and projected by W_O.

    Self, causal and cross attention are arguments, not classes: self is `attend(x, attend.memory(x, x))`,
    causal self adds `causal=True`, cross takes the memory of another sequence. Any score works inside.

    Args:
        d_model: size of queries, and of what comes back; a multiple of num_heads.
        num_heads: h.
        score: called as score(d_head, d_head, num_heads=h).
        normalizer: called without arguments; the softmax by default.
        dropout: on the weights, in training.
        d_memory: size of keys and values before projection; d_model by default.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        score: Callable[..., Score] = ScaledDot,
        normalizer: Callable[[], Normalizer] | None = None,
        dropout: float = 0.0,
        d_memory: int | None = None,
    ) -> None:
        super().__init__()
        if num_heads < 1 or d_model % num_heads:
            raise UserError(f"d_model={d_model} is not a multiple of num_heads={num_heads}; change one of them")
        d_head = d_model // num_heads
        d_memory = d_memory or d_model
        self.num_heads = num_heads
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_memory, d_model)
        self.value = nn.Linear(d_memory, d_model)
        self.output = nn.Linear(d_model, d_model)
        self.attention = Attention(
            score(d_head, d_head, num_heads=num_heads), normalizer() if normalizer else None, dropout=dropout
        )
        for linear in (self.query, self.key, self.value, self.output):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def memory(self, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Memory:
        """Return projected keys and values (batch, heads, key, d_head) of key and value (batch, key, d_memory).

        The mask must be broadcastable to (batch, heads, query, key): (batch, 1, 1, key) for padding.
        """
        return self.attention.memory(self._split(self.key(key)), self._split(self.value(value)), mask)

    def forward(
        self, query: Tensor, memory: Memory, *, causal: bool = False, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return (batch, query, d_model), and the weights per head (batch, heads, query, key) or None."""
        context, weights = self.attention(
            self._split(self.query(query)), memory, causal=causal, need_weights=need_weights
        )
        return self.output(context.transpose(-3, -2).flatten(-2)), weights

    def _split(self, x: Tensor) -> Tensor:
        """Return (batch, heads, length, d_head) of (batch, length, d_model)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(-3, -2)
