"""Attention here beside independent implementations: the same weights and inputs, the largest difference of outputs.

Each row builds our multi-head attention and a module of another package, copies the weights over and compares what both
make of two sentences, one of them padded; only real positions count. It fails beyond 1e-5.

The packages are no part of this project; install them apart:

    python3 -m venv peers
    peers/bin/pip install torch==2.13.0 entmax==1.3 x-transformers==2.31.10 transformers==5.24.0 kornia==0.9.0
    PYTHONPATH=. peers/bin/python scripts/parity_check.py
"""

import argparse
import importlib
import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.attention import (
    AlibiPositions,
    Differential,
    Linear,
    MultiHeadAttention,
    NoPositions,
    RotaryPositions,
    ShawPositions,
    Sigmoid,
    Sink,
    T5Positions,
    padding_mask,
)

D, HEADS, LENGTH = 96, 6, 37
D_HEAD = D // HEADS
LENGTHS = torch.tensor([LENGTH, 23])
REAL = padding_mask(LENGTHS, LENGTH)
TOLERANCE = 1e-5

Module = Any
"""Ours and theirs: what is in them is known here, but not to a type checker."""
Difference = Callable[[], float]


def ours(positions: Callable[..., Any] = NoPositions, *, causal: bool = False, **options: Any) -> MultiHeadAttention:
    """Return attention with random weights and, as the peers have it, without the biases of projections."""
    made = positions(D, d_head=D_HEAD, num_heads=HEADS, two_sided=not causal)
    attention = MultiHeadAttention(D, HEADS, positions=made, **options).eval()
    for parameter in attention.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=D**-0.5 if parameter.shape[-1] == D else 0.5)
    return attention


def copy(attention: Module, *theirs: nn.Linear) -> None:
    """Give a peer's projections of query, key, value and output our weights."""
    for mine, other in zip((attention.query, attention.key, attention.value, attention.output), theirs, strict=True):
        other.weight.copy_(mine.weight)


def difference(
    attention: Module, theirs: Callable[[Tensor], Tensor], *, causal: bool = False, sentences: int = 2
) -> float:
    """Return the largest difference of outputs at real positions of the first sentences."""
    x = torch.randn(2, LENGTH, D)
    context, _ = attention(x, attention.memory(x, x, REAL[:, None, None]), causal=causal)
    return float((context - theirs(x))[:sentences][REAL[:sentences]].abs().max())


def hidden(*, causal: bool) -> Tensor:
    """Return what is added to scores, (batch, 1, query, key): nothing, or much below 0."""
    seen = REAL[:, None, None] & (torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril() if causal else True)
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)


def x_transformers(
    attention: Module, *, causal: bool = False, rotary: bool = False, bias: str = "", sigmoid: bool = False
) -> float:
    """Against `x_transformers.Attention`, with its rotary embedding, one of its biases, or its sigmoid."""
    package: Module = importlib.import_module("x_transformers.x_transformers")
    kv_heads = attention.key.out_features // D_HEAD
    theirs = package.Attention(
        D, dim_head=D_HEAD, heads=HEADS, kv_heads=kv_heads, causal=causal, sigmoid=sigmoid
    ).eval()  # fmt: skip
    copy(attention, theirs.to_q, theirs.to_k, theirs.to_v, theirs.to_out)
    options: dict[str, Any] = {"mask": REAL}
    if sigmoid:  # without - log n, which is the same number in the first sentence
        attention.attention.normalizer.bias.fill_(math.log(LENGTH))
        return difference(attention, lambda x: theirs(x, **options), sentences=1)
    if rotary:
        options["rotary_pos_emb"] = package.RotaryEmbedding(D_HEAD).forward_from_seq_len(LENGTH)
    if bias == "alibi":
        options["rel_pos"] = package.AlibiPositionalBias(HEADS)
    if bias == "t5":
        options["rel_pos"] = table = package.RelativePositionBias(1.0, causal=causal, heads=HEADS)
        table.relative_attention_bias.weight.copy_(attention.positions.weight)
    return difference(attention, lambda x: theirs(x, **options), causal=causal)


def huggingface_t5(attention: Module, *, causal: bool) -> float:
    """Against `transformers`' T5, which leaves products unscaled: its queries are ours, scaled."""
    package: Module = importlib.import_module("transformers.models.t5.modeling_t5")
    config = package.T5Config(d_model=D, d_kv=D_HEAD, num_heads=HEADS, is_decoder=causal)
    theirs = package.T5Attention(config, has_relative_attention_bias=True, layer_idx=0).eval()
    copy(attention, theirs.q, theirs.k, theirs.v, theirs.o)
    theirs.q.weight.mul_(D_HEAD**-0.5)
    theirs.relative_attention_bias.weight.copy_(attention.positions.weight)
    return difference(attention, lambda x: theirs(x, mask=hidden(causal=causal))[0], causal=causal)


def huggingface_shaw(attention: Module, *, distance: int) -> float:
    """Against `transformers`' Wav2Vec2-BERT with position_embeddings_type="relative_key"."""
    package: Module = importlib.import_module("transformers.models.wav2vec2_bert.modeling_wav2vec2_bert")
    config = package.Wav2Vec2BertConfig(
        hidden_size=D, num_attention_heads=HEADS, position_embeddings_type="relative_key",
        left_max_position_embeddings=distance, right_max_position_embeddings=distance,
        attn_implementation="eager",
    )  # fmt: skip
    theirs = package.Wav2Vec2BertSelfAttention(config).eval()
    copy(attention, theirs.linear_q, theirs.linear_k, theirs.linear_v, theirs.linear_out)
    for linear in (theirs.linear_q, theirs.linear_k, theirs.linear_v, theirs.linear_out):
        linear.bias.zero_()
    theirs.distance_embedding.weight.copy_(attention.positions.weight)
    return difference(attention, lambda x: theirs(x, attention_mask=hidden(causal=False))[0])


def huggingface_llama(attention: Module, *, rotary: bool) -> float:
    """Against `transformers`' Llama, whose rotary pairs are halves of a head: weights change places accordingly."""
    package: Module = importlib.import_module("transformers.models.llama.modeling_llama")
    key_heads = attention.key.out_features // D_HEAD
    config = package.LlamaConfig(
        hidden_size=D, num_attention_heads=HEADS, num_key_value_heads=key_heads, head_dim=D_HEAD,
        attn_implementation="eager",
    )  # fmt: skip
    theirs = package.LlamaAttention(config, layer_idx=0).eval()
    copy(attention, theirs.q_proj, theirs.k_proj, theirs.v_proj, theirs.o_proj)
    places = torch.arange(LENGTH)[None]
    cos, sin = package.LlamaRotaryEmbedding(config)(torch.zeros(1), places)
    if rotary:
        for linear in (theirs.q_proj, theirs.k_proj):
            linear.weight.copy_(linear.weight.unflatten(0, (-1, D_HEAD // 2, 2)).transpose(1, 2).flatten(0, 2))
    else:
        cos, sin = torch.ones_like(cos), torch.zeros_like(sin)
    return difference(attention, lambda x: theirs(x, (cos, sin), hidden(causal=True))[0], causal=True)


def huggingface_gpt_oss(attention: Module) -> float:
    """Against `transformers`' gpt-oss, without its rotary positions."""
    package: Module = importlib.import_module("transformers.models.gpt_oss.modeling_gpt_oss")
    config = package.GptOssConfig(
        hidden_size=D, num_attention_heads=HEADS, num_key_value_heads=attention.key.out_features // D_HEAD,
        head_dim=D_HEAD, attention_bias=False, num_hidden_layers=2, attn_implementation="eager",
    )  # fmt: skip
    theirs = package.GptOssAttention(config, layer_idx=1).eval()  # no window here
    copy(attention, theirs.q_proj, theirs.k_proj, theirs.v_proj, theirs.o_proj)
    theirs.sinks.copy_(attention.attention.normalizer.bias.flatten())
    unturned = torch.ones(1, LENGTH, D_HEAD // 2), torch.zeros(1, LENGTH, D_HEAD // 2)
    return difference(attention, lambda x: theirs(x, unturned, hidden(causal=True))[0], causal=True)


def huggingface_differential(attention: Module, *, layer: int) -> float:
    """Against `transformers`' DiffLlama, without its rotary positions; its heads are the halves of ours."""
    package: Module = importlib.import_module("transformers.models.diffllama.modeling_diffllama")
    config = package.DiffLlamaConfig(
        hidden_size=D, num_attention_heads=2 * HEADS, num_key_value_heads=2 * HEADS, head_dim=D_HEAD // 2,
        rms_norm_eps=1e-5, attn_implementation="eager",
    )  # fmt: skip
    theirs = package.DiffLlamaAttention(config, layer_idx=layer).eval()
    copy(attention, theirs.q_proj, theirs.k_proj, theirs.v_proj, theirs.o_proj)
    theirs.v_proj.weight.copy_(attention.value.weight.unflatten(0, (HEADS, 2, -1)).transpose(0, 1).flatten(0, 2))
    normalizer = attention.attention.normalizer
    for number in (1, 2):
        for side, letter in (("query", "q"), ("key", "k")):
            getattr(theirs, f"lambda_{letter}{number}").copy_(getattr(normalizer, f"{side}_{number}"))
    unturned = torch.ones(1, LENGTH, D_HEAD // 2), torch.zeros(1, LENGTH, D_HEAD // 2)
    return difference(attention, lambda x: theirs(x, unturned, hidden(causal=True))[0], causal=True)


def kornia_linear(attention: Module) -> float:
    """Against the attention of LoFTR in `kornia`, which has no projections: ours serve both."""
    package: Module = importlib.import_module("kornia.feature.loftr.loftr_module.linear_attention")
    theirs = package.LinearAttention()

    def ask(x: Tensor) -> Tensor:
        query, key, value = (
            project(x).unflatten(-1, (HEADS, D_HEAD)) for project in (attention.query, attention.key, attention.value)
        )
        return attention.output(theirs(query, key, value, kv_mask=REAL).flatten(-2))

    return difference(attention, ask)


T5 = partial(T5Positions, num_buckets=32, max_distance=128)
CHECKS: dict[str, tuple[str, Difference]] = {
    "rotary": ("x-transformers", lambda: x_transformers(ours(RotaryPositions), rotary=True)),
    "rotary, causal": ("transformers, Llama", lambda: huggingface_llama(ours(RotaryPositions), rotary=True)),
    "alibi": ("x-transformers", lambda: x_transformers(ours(AlibiPositions), bias="alibi")),
    "alibi, causal": ("x-transformers", lambda: x_transformers(ours(AlibiPositions), causal=True, bias="alibi")),
    "t5": ("transformers, T5", lambda: huggingface_t5(ours(T5), causal=False)),
    "t5, causal": ("transformers, T5", lambda: huggingface_t5(ours(T5, causal=True), causal=True)),
    "t5, two-sided": ("x-transformers", lambda: x_transformers(ours(T5), bias="t5")),
    "shaw": (
        "transformers, Wav2Vec2-BERT",
        lambda: huggingface_shaw(ours(partial(ShawPositions, max_distance=8)), distance=8),
    ),
    "two key heads": ("transformers, Llama", lambda: huggingface_llama(ours(num_key_heads=2), rotary=False)),
    "two key heads, rotary": (
        "transformers, Llama",
        lambda: huggingface_llama(ours(RotaryPositions, num_key_heads=2), rotary=True),
    ),
    "one key head": ("x-transformers", lambda: x_transformers(ours(num_key_heads=1), causal=True)),
    "sink": ("transformers, gpt-oss", lambda: huggingface_gpt_oss(ours(normalizer=Sink, num_key_heads=2))),
    "sigmoid": ("x-transformers", lambda: x_transformers(ours(normalizer=Sigmoid), sigmoid=True)),
    "differential": (
        "transformers, DiffLlama",
        lambda: huggingface_differential(ours(normalizer=Differential, layer=2), layer=2),
    ),
    "linear": ("kornia, LoFTR", lambda: kornia_linear(ours(score=Linear))),
}
"""What is compared: its peer, and how."""


@torch.no_grad()
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(CHECKS)} (all)")
    names = parser.parse_args().names or list(CHECKS)
    if unknown := [name for name in names if name not in CHECKS]:
        parser.error(f"unknown: {', '.join(unknown)}")
    print("| attention | peer | largest difference |\n|---|---|---|")
    worst = 0.0
    for name in names:
        torch.manual_seed(0)
        peer, measure = CHECKS[name]
        found = measure()
        worst = max(worst, found)
        print(f"| {name} | {peer} | {found:.1e} |", flush=True)
    return int(not worst <= TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
