"""Every model, score and normaliser on the device beside the CPU; attention in half precision beside float64."""

import copy
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from gpu.parts import SMALL, SMALL_TRANSFORMER, Setting, compose, exact_float32, random_batches, tokenizers
from gpu.report import Report
from seq2seq.attention import (
    Attention,
    Cosine,
    Dot,
    Entmax15,
    General,
    ScaledDot,
    Softmax,
    Sparsemax,
    padding_mask,
    record_attention,
)
from seq2seq.build import build_model
from seq2seq.cli.options import config_folder
from seq2seq.data.batching import Batch
from seq2seq.models import EncoderDecoder
from seq2seq.training.loss import token_loss

VOCAB = 211
MODELS = {
    "Bahdanau, GRU": ["model=bahdanau"],
    "Bahdanau, LSTM, 2 layers": ["model=bahdanau", "model.rnn=LSTM", "model.num_layers=2"],
    "Luong, LSTM": ["model=luong"],
    "Luong, GRU, input feeding": ["model=luong", "model.rnn=GRU", "decoder.input_feeding=true"],
    "Transformer, pre-norm": ["model=transformer", *SMALL_TRANSFORMER],
    "Transformer, post-norm": [
        "model=transformer", *SMALL_TRANSFORMER, "encoder.norm_first=false", "decoder.norm_first=false"
    ],
    "bottleneck": ["model=bottleneck"],
}  # fmt: skip
SCORES = ("additive", "dot", "scaled_dot", "general", "cosine", "location")
NORMALIZERS = ("softmax", "sparsemax", "entmax15")
LIMITS = {"outputs": 1e-4, "gradients": 1e-3, "weights": 1e-4}
"""Largest differences in float32, as shares of the largest value: sums in another order."""

HALF_LIMITS = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.1}


class Found(NamedTuple):
    """What a model gives on a batch."""

    outputs: dict[str, Tensor]
    gradients: dict[str, Tensor]
    weights: dict[str, Tensor]  # none on the fused path


def run(setting: Setting, report: Report) -> None:
    """Compare, a row a model and path."""
    exact_float32()
    batch = random_batches(400, VOCAB, 1, mean_length=9)[0]
    for name, overrides in MODELS.items():
        worst: dict[str, dict[str, tuple[float, str]]] = {"fused": {}, "explicit": {}}
        count = 0
        for case, config in _variants(name, overrides, rehearsal=setting.rehearsal):
            torch.manual_seed(1)
            model = build_model(config, tokenizers(VOCAB))  # in training mode, as a GPU's recurrences want, no dropout
            twin = copy.deepcopy(model).to(setting.device)
            expected, count = _found(model, batch, recorded=True), count + 1
            for path in worst:
                try:
                    actual = _found(twin, batch.to(setting.device), recorded=path == "explicit")
                    shares = _differences(actual, expected)
                except RuntimeError as error:
                    shares, case = {"outputs": float("inf")}, f"{case} ({str(error).splitlines()[0]})"
                for what, share in shares.items():
                    if share > worst[path].get(what, (-1.0, ""))[0]:
                        worst[path][what] = share, case
        for path, largest in worst.items():
            cells: dict[str, Any] = {"model": name, "path": path, "variants": count}
            cells |= {what: share for what, (share, _) in largest.items()}
            report.row("Beside the CPU in float32: largest difference", cells)
            wrong = [f"{what} {share:.2g} of {case}" for what, (share, case) in largest.items() if share > LIMITS[what]]
            report.check(f"{name}, {path}: as on the CPU", not wrong, "; ".join(wrong) or f"{count} variants")
    _masks(setting, report)
    _dropout(setting, report)


def _variants(name: str, overrides: list[str], *, rehearsal: bool) -> Iterator[tuple[str, DictConfig]]:
    """Yield the configurations of a model with every score and normaliser, composed once."""
    plain = compose([*SMALL, "model.dropout=0", *overrides])
    if name == "bottleneck":
        yield name, plain
        return
    pairs = [("additive", "softmax"), ("cosine", "entmax15")] if rehearsal else product(SCORES, NORMALIZERS)
    for score, normalizer in pairs:
        config = copy.deepcopy(plain)
        for group, choice in (("score", score), ("normalizer", normalizer)):
            part = OmegaConf.load(config_folder() / group / f"{choice}.yaml")
            OmegaConf.update(config, group, part, merge=False)
            for side in ("encoder", "decoder"):
                if f"self_{group}" in config[side]:
                    OmegaConf.update(config, f"{side}.self_{group}", part, merge=False)
        yield f"{score}, {normalizer}", config


def _found(model: EncoderDecoder, batch: Batch, *, recorded: bool) -> Found:
    model.zero_grad()
    names = None if recorded else ()
    with record_attention(model, names=names) as record:
        features = model.features(
            batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
        )
    loss = token_loss(features, model.output.weight, batch.target_output, label_smoothing=0.1).objective
    (loss / batch.num_tokens).backward()
    gradients = {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}
    outputs = {"features": features.detach().cpu(), "loss": loss.detach().cpu() / batch.num_tokens}
    return Found(outputs, gradients, {name: weights.cpu() for name, weights in record.items()})


def _differences(actual: Found, expected: Found) -> dict[str, float]:
    """Return the largest difference of each kind, as a share of the largest value of the tensor.

    A gradient that is 0 but for rounding, as that of a key's bias under a softmax, is measured by the largest of all.
    """
    largest = max(gradient.abs().max().item() for gradient in expected.gradients.values())
    floors = {"outputs": 0.0, "gradients": 1e-2 * largest, "weights": 0.0}
    shares = {}
    for what, floor in floors.items():
        pairs = [(tensor, getattr(expected, what)[name]) for name, tensor in getattr(actual, what).items()]
        if pairs:
            shares[what] = max(_share(one, other, floor) for one, other in pairs)
    return shares


def _share(actual: Tensor, expected: Tensor, floor: float) -> float:
    share = (actual - expected).abs().max().item() / max(expected.abs().max().item(), floor, 1e-12)
    return share if share == share else float("inf")


def _masks(setting: Setting, report: Report) -> None:
    """Attention alone: each kind of mask, each precision, both paths, and rows that see nothing."""
    lengths = torch.tensor([[13, 5], [13, 0]])  # the second: a sentence of which nothing is visible
    kinds: list[tuple[str, Tensor | None, bool]] = [("none", None, False), ("causal", None, True)]
    kinds += [(name, padding_mask(row, 13)[:, None, None], causal)
              for name, row in zip(("padding", "an empty sentence"), lengths, strict=True)
              for causal in (False, True)]  # fmt: skip
    blind = padding_mask(lengths[0], 13)[:, None, None].repeat(1, 1, 13, 1)
    blind[0, :, 1] = False
    kinds.append(("a query that sees nothing", blind, False))
    scores = [Cosine] if setting.rehearsal else [Dot, ScaledDot, General, Cosine]
    for dtype, limit in HALF_LIMITS.items():
        worst, wrong = 0.0, []
        # A sparse row of rounded scores may see another key than the exact one.
        sparse = [Sparsemax, Entmax15] if dtype is torch.float32 and not setting.rehearsal else []
        normalizers = [Softmax, *sparse]
        for (kind, mask, causal), score, normalizer in product(kinds, scores, normalizers):
            torch.manual_seed(1)
            attention = Attention(score(16, 16, num_heads=2), normalizer()).to(dtype)
            x, y = ((torch.randn(2, 2, 13, 16) / 2).to(dtype) for _ in range(2))
            y[1, :, 5:] = 0  # as padding often is
            expected = _attend(copy.deepcopy(attention).double(), x.double(), y.double(), mask, causal, explicit=True)
            for explicit in (False, True):
                there = copy.deepcopy(attention).to(setting.device)
                visible = None if mask is None else mask.to(setting.device)
                try:
                    actual = _attend(
                        there, x.to(setting.device), y.to(setting.device), visible, causal, explicit=explicit
                    )
                    share = max(_share(a.double(), e, 1e-2) for a, e in zip(actual, expected, strict=True))
                except RuntimeError as error:
                    share, kind = float("inf"), f"{kind} ({str(error).splitlines()[0]})"
                worst = max(worst, share)
                if share > limit:
                    path = "explicit" if explicit else "fused"
                    wrong.append(
                        f"{score.__name__}, {normalizer.__name__}, {kind}{', causal' * causal}, {path}: {share:.2g}"
                    )
        report.check(
            f"attention in {dtype} under every mask is that in float64, and finite",
            not wrong,
            "; ".join(wrong[:8]) or f"largest difference {worst:.2g}",
        )


def _dropout(setting: Setting, report: Report) -> None:
    """Dropout of weights, as the fused kernel does it: the mean over many draws is what is without."""
    torch.manual_seed(1)
    attention = Attention(ScaledDot(16, 16), dropout=0.3)
    x, y = (torch.randn(1, 2, length, 16, device=setting.device) for length in (5, 13))
    memory = attention.memory(y.expand(4096, -1, -1, -1), y.expand(4096, -1, -1, -1))
    kept = attention.eval()(x, attention.memory(y, y))[0]
    dropped = attention.train()(x.expand(4096, -1, -1, -1), memory)[0]
    apart = (dropped.mean(0, keepdim=True) - kept).abs().max().item()
    differ = not torch.equal(dropped[0], dropped[1])
    report.check("attention with dropout has the right mean", apart < 0.1 and differ, f"{apart:.2g} apart")


def _attend(
    attention: Attention, x: Tensor, y: Tensor, mask: Tensor | None, causal: bool, *, explicit: bool
) -> tuple[Tensor, ...]:
    """Return the context, and the gradients at queries, keys and values."""
    inputs = [tensor.detach().clone().requires_grad_() for tensor in (x, y, y)]
    memory = attention.memory(inputs[1], inputs[2], mask)
    context, _ = attention(inputs[0], memory, causal=causal, need_weights=explicit)
    upstream = torch.linspace(-1, 1, context.numel(), dtype=torch.float64).view(context.shape)
    gradients = torch.autograd.grad(context, inputs, upstream.to(context))
    return tuple(tensor.detach().cpu() for tensor in (context, *gradients))
