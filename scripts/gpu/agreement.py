"""Every model with every part of attention on the device beside the CPU; half precision and kernels beside float64."""

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
    Chunked,
    Cosine,
    Dilated,
    Dot,
    Entmax15,
    General,
    Linear,
    Pattern,
    Performer,
    RandomPositions,
    ScaledDot,
    Score,
    Softmax,
    Sparsemax,
    Window,
    padding_mask,
    record_attention,
)
from seq2seq.build import build_model
from seq2seq.config_files import config_folder
from seq2seq.data.batching import Batch
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from seq2seq.training.loss import token_loss

VOCAB = 211
MODELS = {
    "Transformer, pre-norm": ["model=transformer", *SMALL_TRANSFORMER],
    "Transformer, post-norm": [
        "model=transformer", *SMALL_TRANSFORMER, "encoder.norm_first=false", "decoder.norm_first=false"
    ],
    "Bahdanau, GRU": ["model=bahdanau"],
    "Bahdanau, LSTM, 2 layers": ["model=bahdanau", "model.rnn=LSTM", "model.num_layers=2"],
    "Luong, LSTM": ["model=luong"],
    "Luong, GRU, input feeding": ["model=luong", "model.rnn=GRU", "decoder.input_feeding=true"],
    "bottleneck": ["model=bottleneck"],
}  # fmt: skip
SELF = {"score": "self_score", "normalizer": "self_normalizer", "pattern": "pattern", "positions": "positions"}
CROSS = {"score": "score", "normalizer": "normalizer", "pattern": "cross_pattern"}
"""Groups of files, by what they are called in a side's self-attention, and in cross-attention."""

REHEARSED = {"normalizer=entmax15", "positions=shaw"}
NEEDED = {"pattern=fixed": {"score": "uniform"}}
"""What must be beside a file."""

OPTIONS = {"num_key_heads": 1, "gate": True}
"""Parts of a Transformer's side that are no files."""

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
    torch.set_num_threads(1)  # models so small that more threads only wait for each other
    batch = random_batches(400, VOCAB, 1, mean_length=9)[0]
    missing = {f"{group}={name}" for group, name in _files()}
    for name, overrides in MODELS.items():
        worst: dict[str, dict[str, tuple[float, str]]] = {"fused": {}, "explicit": {}}
        count = 0
        for case, config in _variants(overrides, rehearsal=setting.rehearsal):
            torch.manual_seed(1)
            try:
                model = build_model(config, tokenizers(VOCAB))  # in training mode, as a GPU's recurrences want
            except UserError:
                continue  # it has no meaning there
            for part in model.modules():
                if isinstance(part, RandomPositions):
                    part.eval()
            twin = copy.deepcopy(model).to(setting.device)
            expected, count = _found(model, batch, recorded=True), count + 1
            missing.discard(case.partition(" ")[0])
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
    if not setting.rehearsal:
        report.check("every file of attention was in a model", not missing, ", ".join(sorted(missing)))
    _masks(setting, report)
    _kernels(setting, report)
    _dropout(setting, report)


def _files() -> list[tuple[str, str]]:
    """Return every file of the groups of attention, as group and name."""
    files = [(group, path.stem) for group in SELF for path in sorted((config_folder() / group).glob("*.yaml"))]
    return [file for file in files if file != ("score", "none")]


def _variants(overrides: list[str], *, rehearsal: bool) -> Iterator[tuple[str, DictConfig]]:
    """Yield the configurations of a model with every file of attention in every seat, composed once."""
    plain = compose([*SMALL, "model.dropout=0", *overrides])
    if overrides == MODELS["bottleneck"]:
        yield "no attention", plain
        return
    sides = [side for side in ("encoder", "decoder") if "self_score" in plain[side]]
    for group, name in _files():
        if rehearsal and f"{group}={name}" not in REHEARSED:
            continue
        parts = {group: name} | NEEDED.get(f"{group}={name}", {})
        seats = {"self-attention": [(side, SELF) for side in sides]} if sides else {}
        if group in CROSS:
            seats["cross-attention"] = [("", CROSS)]
        elif sides:
            seats["the encoder"] = [("encoder", SELF)]  # random ones have no meaning in a decoder
        for seat, places in seats.items():
            config = copy.deepcopy(plain)
            for (side, names), (other, choice) in product(places, parts.items()):
                part = OmegaConf.load(config_folder() / other / f"{choice}.yaml")
                OmegaConf.update(config, f"{side}.{names[other]}".strip("."), part, merge=False)
            yield f"{group}={name} in {seat}", config
    for key, value in OPTIONS.items() if sides and not rehearsal else ():
        config = copy.deepcopy(plain)
        for side in sides:
            config[side][key] = value
        yield f"{key}={value}", config


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


def _kernels(setting: Setting, report: Report) -> None:
    """Attention in O(n) and in slices, of lengths from which on they are used, beside the explicit path in float64."""
    length = 17 if setting.rehearsal else 300
    visible = padding_mask(torch.tensor([length, length // 2]), length)[:, None, None]
    parts: list[tuple[type[Score], Pattern | None]] = [(Linear, None), (Performer, None)]
    parts += [(ScaledDot, pattern) for pattern in (Window(16, width=3), Chunked(16, size=8), Dilated(16, width=2))]
    for dtype, limit in HALF_LIMITS.items():
        worst, wrong = 0.0, []
        for (score, pattern), mask, causal in product(parts, (None, visible), (False, True)):
            torch.manual_seed(1)
            attention = Attention(score(16, 16), pattern=pattern)
            x, y = ((torch.randn(2, 2, length, 16) / 2).to(dtype) for _ in range(2))
            exact = copy.deepcopy(attention).double()
            expected = _attend(exact, x.double(), y.double(), mask, causal, explicit=True)
            there = copy.deepcopy(attention).to(setting.device)
            shown = None if mask is None else mask.to(setting.device)
            actual = _attend(there, x.to(setting.device), y.to(setting.device), shown, causal, explicit=False)
            share = max(_share(a.double(), e, 1e-2) for a, e in zip(actual, expected, strict=True))
            worst = max(worst, share)
            if share > limit:
                what = score.__name__ if pattern is None else type(pattern).__name__
                wrong.append(f"{what}{', padding' * (mask is not None)}{', causal' * causal}: {share:.2g}")
        report.check(
            f"attention in O(n) and in slices in {dtype} is that of all pairs in float64",
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
