"""What is refused of a run before anything is read or written: parts that cannot be, or do not go together."""

from typing import Any, cast

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from seq2seq.build import MODEL_KEYS, ONE_VOCABULARY, BleuOptions, build_model
from seq2seq.build_mixture import check_corpora
from seq2seq.build_options import check_options
from seq2seq.build_training import build_noise, make_module
from seq2seq.composition import copied
from seq2seq.data.tokenizer import Tokenizer, Tokenizers
from seq2seq.data.variation import Variation
from seq2seq.errors import UserError
from seq2seq.evaluation.metrics import bleu_metric
from seq2seq.training.freezing import freeze

TRIED = ("seq2seq.", "lightning.")
"""Whose callbacks are made to see whether they can be: those of a user's own may do something then."""


def check_parts(config: DictConfig) -> None:
    """Refuse parts of a run that are missing, or do not go together, before anything is read or written.

    The model is built without data, and on the meta device; where that has none of a user's own parts, for real.

    Raises:
        UserError: naming the parts and the way out.
    """
    for key in MODEL_KEYS:
        if not isinstance(config.get(key), DictConfig):
            raise UserError(
                f"{key}: a model needs it, and it is {config.get(key)}; leave it as it is, or say {key}=..."
            )
    check_options(config)
    check_corpora(config.data)
    check_places(config)
    _check_lists(config)
    tokenize = str(config.metrics.tokenize or "none")
    bleu_metric(tokenize, lowercase=config.metrics.lowercase)
    _check_text(config)
    _check_callbacks(config)
    stand_in = cast(Tokenizer, range(8))  # a vocabulary's length is all that a model wants of it
    tokenizers = Tokenizers(stand_in, stand_in)

    def build() -> None:
        model = build_model(config, tokenizers)
        make_module(config, model, tokenizers, BleuOptions(tokenize, False), cast(Any, None), {})
        freeze(model, config.freeze)

    try:
        with torch.device("meta"):
            build()
    except Exception as error:
        if isinstance(error, UserError):
            raise
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        with torch.random.fork_rng(devices=[]):
            build()


def _check_lists(config: DictConfig) -> None:
    splits, pinned = config.training.test_splits, config.pinned
    if splits is not None and not isinstance(splits, ListConfig):
        raise UserError(f"training.test_splits={splits}: expected a list, such as [{splits}]")
    if not isinstance(pinned, ListConfig):
        raise UserError(f"pinned={pinned}: expected a list of validation sentences, such as [0,1]")
    wrong = [number for number in pinned if type(number) is not int or number < 0]
    if wrong:
        raise UserError(f"pinned: {wrong[0]} is no sentence of the validation set; they are counted from 0")


def _check_text(config: DictConfig) -> None:
    """Refuse a vocabulary, and a text that varies, that cannot be, or not with links between pieces."""
    options, noise = instantiate(config.tokenizer), build_noise(config)
    if config.training.guided_alignment.weight > 0:
        loader = config.loader
        Variation(sampling=options.sampling, noise=noise, max_length=loader.max_length, seed=config.seed).check_linked()
    if config.model.tie_embeddings and _makes_two_vocabularies(config):
        raise UserError(ONE_VOCABULARY)


def _check_callbacks(config: DictConfig) -> None:
    whole = copied(config)
    OmegaConf.set_readonly(whole, None)
    whole.output = "."  # which Hydra tells when the run begins
    for options in whole.callbacks.values():
        if options and str(options.get("_target_")).startswith(TRIED):
            instantiate(options)


def _makes_two_vocabularies(config: DictConfig) -> bool:
    """Whether a run makes a vocabulary a side, of other pieces each: those of a checkpoint, and bytes, may be equal."""
    options = config.tokenizer
    given = config.begin_with or options.get("checkpoint") or options.get("_target_", "").endswith(".ByteConfig")
    return not given and not options.joint


def check_places(config: DictConfig) -> None:
    """Refuse parts that know fewer places than the longest sentence has: training would end at the first such.

    Raises:
        UserError: naming the part's key and the way out.
    """
    asked = {
        "loader.max_length": config.loader.max_length + 1,  # and the end
        "search.max_length": OmegaConf.select(config, "search.max_length") or 0,
    }
    for part in ("encoder.positions", "decoder.positions", "encoder.self_score", "decoder.self_score", "score"):
        key = f"{part}.max_positions"
        places = OmegaConf.select(config, key)
        for length, needed in asked.items():
            if length == "search.max_length" and not part.startswith("decoder"):
                continue
            if isinstance(places, int) and 0 < places < needed:
                raise UserError(
                    f"{key}={places}, but by {length} a sentence may have {needed} tokens; set it to {needed}, "
                    f"or lower {length}"
                )
