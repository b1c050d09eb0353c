"""Multi-head attention: projections around the one `Attention` (Vaswani et al. 2017, 3.2.2)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from seq2seq.attention.attention import Attention
from seq2seq.attention.heads import Heads
from seq2seq.attention.memory import Memory, Sums
from seq2seq.attention.normalizers import Normalizer, Softmax
from seq2seq.attention.patterns import Full, Pattern
from seq2seq.attention.positions import Positions
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
        normalizer: called as normalizer(num_heads=h, d_value=d_model / h, layer=layer).
        pattern: called as pattern(d_head, num_heads=h).
        positions: of the stack, for self-attention; None where queries and keys are of different sequences.
        num_key_heads: heads of keys and values, each of which h / num_key_heads query heads share (Ainslie et al.
            2023; 1: multi-query, Shazeer 2019); None: as many as query heads.
        gate: whether each head's context is multiplied by σ(w · query), a number a head (Qiu et al. 2025).
        kept_heads: those of the h that there are; the others are pruned, and their parameters gone. The sizes of heads
            stay. None: all.
        dropout: on the weights, in training.
        d_memory: size of keys and values before projection; d_model by default.
        layer: of the stack that it is in, from 0.

    Raises:
        UserError: parts that do not go together.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        score: Callable[..., Score] = ScaledDot,
        normalizer: Callable[..., Normalizer] = Softmax,
        pattern: Callable[..., Pattern] = Full,
        positions: Positions | None = None,
        num_key_heads: int | None = None,
        gate: bool = False,
        kept_heads: Sequence[int] | None = None,
        dropout: float = 0.0,
        d_memory: int | None = None,
        layer: int = 0,
    ) -> None:
        super().__init__()
        if num_heads < 1 or d_model % num_heads:
            raise UserError(f"d_model={d_model} is not a multiple of num_heads={num_heads}; change one of them")
        self.heads = heads = Heads.of(num_heads, num_key_heads, kept_heads)
        self.num_heads, self.num_key_heads = heads.left, heads.keys_left
        self.d_value = d_value = d_model // num_heads
        made = heads.part(lambda n: normalizer(num_heads=n, d_value=d_value, layer=layer))
        if d_value % made.streams:
            raise UserError(f"{type(made).__name__} needs heads of even size, not {d_value}; change num_heads")
        self.d_head = d_head = d_value // made.streams
        d_memory = d_memory or d_model
        self.query = nn.Linear(d_model, heads.left * d_value)
        self.key = nn.Linear(d_memory, heads.keys_left * d_value)
        self.value = nn.Linear(d_memory, heads.keys_left * d_value)
        self.output = nn.Linear(heads.left * d_value, d_model)
        self.gate = nn.Linear(d_model, heads.left) if gate else None
        # Positions that only join the embeddings are none of an attention's business.
        self.positions = positions if positions is not None and (positions.turns or positions.biases) else None
        self.attention = Attention(
            heads.part(lambda n: score(d_head, d_head, num_heads=made.streams * n)),
            made,
            pattern=heads.part(lambda n: pattern(d_head, num_heads=n)),
            dropout=dropout,
            biased=self.positions is not None and self.positions.biases,
        )
        self.placed = self.attention.placed or self.positions is not None
        _check_parts(self)
        for linear in (self.query, self.key, self.value, self.output):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        self._drop_unasked()

    def _drop_unasked(self) -> None:
        """Leave out the projections that the score does not ask for, and what comes for heads that were pruned."""
        score, heads = self.attention.score, self.heads
        # What nobody looks at would get no gradient, which several processes that train together wait for. As modules
        # that are None they are passed over in the checkpoints of earlier versions, which had them.
        for name, asked in (("query", score.asks_query), ("key", score.asks_key)):
            if not asked:
                self.register_module(name, None)
        # Positions are of the whole stack, and queries that are not projected are of all streams of all heads.
        of_stack = self.positions is not None and self.positions.per_head
        streams = self.attention.normalizer.streams
        every_stream = [stream * heads.total + head for stream in range(streams) for head in heads.kept]
        self.bias_heads: Tensor | None
        self.query_heads: Tensor | None
        for name, index, wanted in (
            ("bias_heads", heads.kept, of_stack),
            ("query_heads", every_stream, not score.asks_query),
        ):
            chosen = torch.tensor(index) if wanted and heads.pruned else None
            self.register_buffer(name, chosen, persistent=False)

    def memory(self, key: Tensor, value: Tensor, mask: Tensor | None = None, *, places: Tensor | None = None) -> Memory:
        """Return projected keys and values, (batch, key heads, key, d), of key and value (batch, key, d_memory).

        Args:
            key: states.
            value: the same states, or others.
            mask: broadcastable to (batch, heads, query, key), of padding with one head and one query.
            places: where the keys stand, (key,); None: at 0, 1, ...
        """
        values, project = _split(self.value(value), self.d_value), self.key
        # Keys that nobody looks at only say how many there are.
        keys = values[..., :1] if project is None else _split(project(key), self.d_head)
        if self.positions is not None:
            keys = self.positions.turn(keys, _places(places, keys))
        return self.attention.memory(keys, values, mask)

    def nothing(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the empty cache of self-attention before the first token, for x (batch, 1, d_model)."""
        return self.attention.nothing(self.memory(x, x))

    def extend(self, cache: tuple[Tensor, ...], x: Tensor, places: Tensor | None) -> Memory | Sums:
        """Return what a cache holds and one more token x (batch, 1, d_model) at its place (1,), all of it visible."""
        return self.attention.extend(cache, self.memory(x, x, places=places))

    def forward(
        self,
        query: Tensor,
        memory: Memory | Sums,
        *,
        places: Tensor | None = None,
        causal: bool = False,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return (batch, query, d_model), and the weights per head (batch, heads, query, key) or None.

        Args:
            query: (batch, query, d_model).
            memory: from `memory`.
            places: where the queries stand, (query,); None: at 0, 1, ...
            causal: query i sees keys 0..i only.
            need_weights: return the weights; else they may never exist.
        """
        project: nn.Linear | None = self.query
        heads, bias = _split(query if project is None else project(query), self.d_head), None
        if project is None and self.query_heads is not None:
            heads = heads.index_select(-3, self.query_heads)
        if self.positions is not None:
            at = _places(places, heads)
            bias = self.positions.bias(heads, at, memory.keys.shape[-2])
            if bias is not None and self.bias_heads is not None:
                bias = bias.index_select(-3, self.bias_heads)
            heads = self.positions.turn(heads, at)
        context, weights = self.attention(
            heads, memory, bias=bias, places=places, causal=causal, need_weights=need_weights
        )
        if self.gate is not None:
            context = context * torch.sigmoid(self.gate(query)).mT[..., None]
        return self.output(context.transpose(-3, -2).flatten(-2)), weights

    def contributions(self, value: Tensor) -> Tensor:
        """Return what each key would bring to the output with a weight of 1, (batch, heads, key, d_model).

        That is value · W_O^h, W_O^h the rows of W_O that read head h (Kobayashi et al. 2020, eq. 3); a gate is apart.

        Args:
            value: of `memory`, (batch, key heads, key, d_value).
        """
        value = value.repeat_interleave(self.num_heads // value.shape[-3], dim=-3)
        return value @ self.output.weight.unflatten(1, (self.num_heads, self.d_value)).movedim(0, -1)


def _check_parts(made: MultiHeadAttention) -> None:
    """Refuse parts that do not go together."""
    score, normalizer, positions = made.attention.score, made.attention.normalizer, made.positions
    if made.attention.remembers:
        part = score if score.remembers else normalizer
        raise UserError(
            f"{type(part).__name__} goes on from what earlier steps looked at, which heads that run all at once do "
            "not know; use it with model=bahdanau or model=luong"
        )
    if positions is not None:
        positions.check(made.d_head)
    if positions is not None and positions.turns and not score.turns:
        raise UserError(
            f"{type(positions).__name__} turns queries and keys, which {type(score).__name__} does not see; "
            "use self_score=scaled_dot, dot or cosine, or positions that join the scores or the embeddings"
        )
    pattern = made.attention.pattern
    if positions is not None and positions.biases and pattern is not None and pattern.decides:
        raise UserError(
            f"{type(positions).__name__} joins the scores, which must be equal under {type(pattern).__name__}; "
            "use positions that join the embeddings"
        )
    if normalizer.streams > 1 and pattern is not None and pattern.moves:
        raise UserError(
            f"{type(normalizer).__name__} makes one row of weights of {normalizer.streams} rows of scores, each of "
            f"which {type(pattern).__name__} would weigh in its own way; use another pattern, or normalizer=softmax"
        )
    if made.heads.total_keys < made.heads.total and score.key_parameters:
        raise UserError(
            f"{type(score).__name__} has parameters for each head's own keys, so heads cannot share keys; "
            "leave num_key_heads out, or use the score scaled_dot, dot or cosine"
        )


def _split(x: Tensor, d: int) -> Tensor:
    """Return (batch, heads, length, d) of x (batch, length, heads · d)."""
    return x.unflatten(-1, (-1, d)).transpose(-3, -2)


def _places(places: Tensor | None, x: Tensor) -> Tensor:
    """Return the places of x (..., length, d): those given, or 0, 1, ..."""
    return torch.arange(x.shape[-2], device=x.device) if places is None else places
