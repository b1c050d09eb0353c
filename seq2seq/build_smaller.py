"""The model of a checkpoint without some of its heads."""

import copy
from typing import Any

import torch
from omegaconf import OmegaConf

from seq2seq.build import MODEL_KEYS, build_model
from seq2seq.checkpoint import Checkpoint
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.models import EncoderDecoder
from seq2seq.pruning import Kept, cut, kept_options


def build_smaller(
    model: EncoderDecoder, checkpoint: Checkpoint, tokenizers: Tokenizers, kept: Kept
) -> tuple[EncoderDecoder, dict[str, Any]]:
    """Return a model with some heads alone, and the whole configuration that describes it.

    Args:
        model: the larger one.
        checkpoint: where it was loaded from: so its configuration names nothing foreign.
        tokenizers: of both.
        kept: heads that stay, by the attention's module name.

    Raises:
        UserError: a head cannot be taken out of this model.
    """
    config = copy.deepcopy(checkpoint.config)
    for (side, key), heads in kept_options(model, kept).items():
        config[side][key] = heads
    made = OmegaConf.create({key: config[key] for key in MODEL_KEYS if key in config})
    with torch.random.fork_rng(devices=[]):
        small = build_model(made, tokenizers)
    return cut(model, small, kept), config
