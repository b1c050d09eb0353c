"""Checkpoints of random models, for tests that need no training."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from seq2seq.build import build_model
from seq2seq.checkpoint import KEY, AlignmentChoice, pack
from seq2seq.cli.keys.shorthand import expand
from seq2seq.data.tokenizer import EOS, Tokenizers
from seq2seq.options import compose_defaults


def write_random(
    file: Path,
    tokenizers: Tokenizers,
    *overrides: str,
    alignment: AlignmentChoice | None = None,
    corpora: dict[str, Any] | None = None,
) -> Path:
    """Write a checkpoint of a random model whose sentences end at several lengths.

    Args:
        file: to be written.
        tokenizers: of the model.
        overrides: of `seq2seq train`.
        alignment: the attention and head that count as its alignment.
        corpora: those of a mixture that it claims to be trained on, with their tags.
    """
    config = compose_defaults("train", expand(["output=null", *overrides])[0])
    model = build_model(config, tokenizers)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.1 * torch.randn_like(parameter))
        if model.output.bias is not None:
            model.output.bias[EOS] = 4.5
    models = [tokenizer.model_proto for tokenizer in tokenizers]
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    plain: Any = OmegaConf.to_container(config, resolve=True)
    if corpora is not None:
        plain["data"] = {"corpora": corpora}
    stored = models[:1] if tokenizers.source is tokenizers.target else models
    torch.save({"state_dict": weights, KEY: pack(plain, stored, alignment)}, file)
    return file
