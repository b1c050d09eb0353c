"""Configuration to a model and what surrounds it: with `build_training`, the only caller of Hydra's instantiate."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from seq2seq.alignment.words import LinkExtraction
from seq2seq.attribution import Method
from seq2seq.build_mixture import make_corpus
from seq2seq.build_tags import check_needless
from seq2seq.checkpoint import AlignmentChoice, Checkpoint
from seq2seq.data.corpus import Corpus
from seq2seq.data.tokenizer import PAD, Tokenizers
from seq2seq.data.units import tokenizer_of
from seq2seq.decoding.search import Search
from seq2seq.errors import UserError
from seq2seq.evaluation.metrics import bleu_metric
from seq2seq.models import EncoderDecoder
from seq2seq.models.embedding import embedding_table
from seq2seq.reading import Best, Reading

LINKS = "seq2seq.alignment.words"
"""Where the link extractions are, which are functions."""

PARTS = ("seq2seq.attention.", "seq2seq.models.", "seq2seq.data.corpus.", "seq2seq.data.mixture.", f"{LINKS}.")
"""How names of parts begin."""

MODEL_KEYS = ("model", "encoder", "decoder", "score", "normalizer", "cross_pattern")


def build_corpus(options: DictConfig | None, checkpoint: Checkpoint, *, tag: str | None = None) -> Corpus:
    """Return the corpus of a `data` group; without one, that of the data the checkpoint was trained on.

    Args:
        options: None: those of the checkpoint.
        checkpoint: of the model that is to read it.
        tag: that will stand before its sources.

    Raises:
        UserError: the model needs a tag, and there is none.
    """
    if options is None:
        if checkpoint.config["data"] is None:
            raise UserError(
                f"{checkpoint.path} was trained elsewhere, on data that it does not name; say which are meant, such as "
                "data=text data.test.source=FILE data.test.target=FILE"
            )
        options = OmegaConf.create(checkpoint.config["data"])
        _check_targets(options, checkpoint)
    made = make_corpus(options)
    if tag is None and not made.tags:
        check_needless([checkpoint], "")
    return made


def build_search(options: DictConfig) -> Search:
    """Return the search of a `search` group.

    Raises:
        UserError: its keys are out of range, or contradict each other.
    """
    return _made(options)


def build_method(options: DictConfig) -> Method:
    """Return the method of attribution of a `method` group.

    Raises:
        UserError: a key is out of range.
    """
    return _made(options)


def _made(options: DictConfig) -> Any:
    """Return what a group's `_target_` makes; a user's mistake is told as it is, and not as Hydra's error."""
    try:
        return instantiate(options)
    except InstantiationException as error:
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise


def build_extraction(options: DictConfig | None, checkpoint: Checkpoint | None = None) -> LinkExtraction:
    """Return the link extraction of a `links` group; without one, that of the training behind the checkpoint."""
    if options is None:
        assert checkpoint is not None
        options = OmegaConf.create(checkpoint.config["links"])
        _check_targets(options, checkpoint)
    threshold = options.get("threshold")
    if threshold is not None and not 0 < threshold <= 1:
        raise UserError(f"links.threshold={threshold}: expected a share of the weight, above 0 and at most 1")
    return _made(options)


def build_readings(options: DictConfig, model: nn.Module) -> tuple[Reading, ...]:
    """Return how the attention of a model is read: in the way of a `reading` group, or in several.

    Raises:
        UserError: the model cannot be read so.
    """
    made: Reading | Best = _made(options)
    return made.of(model)


def read_as(choice: AlignmentChoice, options: DictConfig | None, model: nn.Module) -> AlignmentChoice:
    """Return a choice of layer and head, read in the way of a `reading` group; without one, as it was chosen.

    Raises:
        UserError: the model cannot be read so, or the group is of several ways.
    """
    if options is None:
        return choice
    readings = build_readings(options, model)
    if len(readings) > 1:
        raise UserError(
            f"reading={', '.join(map(str, readings))}: here one is used; say which, such as reading={readings[0]}"
        )
    return choice._replace(row=readings[0].row, quantity=readings[0].quantity)


def how_to_read(
    options: DictConfig | None, alignment: AlignmentChoice | None, model: nn.Module
) -> tuple[tuple[Reading, ...], AlignmentChoice | None]:
    """Return the readings of a `reading` group, and what counts as the alignment, of which one of them is.

    The layer and head are those that validation chose, in any reading: to choose them here would be to look at what is
    to be scored.
    """
    readings = () if options is None else build_readings(options, model)
    if alignment is None:
        return readings or (Reading(row="output", quantity="weights"),), None
    if len(readings) == 1:
        alignment = read_as(alignment, options, model)
    return tuple(dict.fromkeys((*readings, alignment.reading))), alignment


def build_model(config: DictConfig, tokenizers: Tokenizers) -> EncoderDecoder:
    """Return the untrained model that `MODEL_KEYS` of a configuration describe."""
    # On a GPU, cuDNN makes a plan for each new shape of attention. Here nearly every batch has one, and a training of
    # the base Transformer ran at a fifth of its speed. The other kernels need no plans.
    torch.backends.cuda.enable_cudnn_sdp(False)
    options = config.model
    if options.tie_embeddings and not tokenizers.one_vocabulary:
        raise UserError(
            "model.tie_embeddings=true needs one vocabulary; set tokenizer.joint=true, or tie_embeddings=false"
        )
    source_table = embedding_table(len(tokenizers.source), options.d_embedding, padding_index=PAD)
    target_table = source_table
    if not options.tie_embeddings:
        target_table = embedding_table(len(tokenizers.target), options.d_embedding, padding_index=PAD)
    encoder = instantiate(config.encoder)(source_table)
    decoder = instantiate(config.decoder)(
        target_table,
        d_encoder=encoder.d_model,
        d_summary=encoder.d_summary,
        score=instantiate(config.score),
        normalizer=instantiate(config.normalizer),
        **({"cross_pattern": instantiate(config.cross_pattern)} if "cross_pattern" in config else {}),
    )
    return EncoderDecoder(
        encoder,
        decoder,
        vocab_size=len(tokenizers.target),
        output_table=target_table if options.tie_output else None,
        # Earlier checkpoints have neither.
        output_bias="output_bias" in options and options.output_bias,
        first_token=options.first_token if "first_token" in options else None,
    )


def bleu_tokenizer(config: DictConfig, corpus: Corpus) -> str:
    """Return sacreBLEU's tokeniser for a corpus: that of the configuration, or what the form of the text asks for.

    Raises:
        UserError: it cannot be used here.
    """
    tokenize = str(config.metrics.tokenize or ("none" if corpus.tokenized else "13a"))
    bleu_metric(tokenize, lowercase=config.metrics.lowercase)  # now, not after an epoch or a search
    return tokenize


def load_model(checkpoint: Checkpoint, device: torch.device) -> tuple[EncoderDecoder, Tokenizers]:
    """Return the trained model of a checkpoint in evaluation mode, and its tokenizers.

    Raises:
        UserError: its configuration names code outside this package, or does not fit its weights.
    """
    tokenizers = tokenizers_of(checkpoint)
    model = untrained_model(checkpoint, tokenizers)
    try:
        model.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise UserError(f"{checkpoint.path}: the weights do not fit the configuration beside them: {reason}") from None
    return model.to(device).eval(), tokenizers


def untrained_model(checkpoint: Checkpoint, tokenizers: Tokenizers) -> EncoderDecoder:
    """Return a model of the configuration of a checkpoint, without its weights.

    Raises:
        UserError: it names code outside this package.
    """
    config = OmegaConf.create({key: checkpoint.config[key] for key in MODEL_KEYS if key in checkpoint.config})
    _check_targets(config, checkpoint)
    return build_model(config, tokenizers)


def build_smaller(
    checkpoint: Checkpoint, tokenizers: Tokenizers, kept: Mapping[tuple[str, str], list[list[int]]]
) -> tuple[EncoderDecoder, dict[str, Any]]:
    """Return an untrained model as that of a checkpoint but for the heads it has, and its whole configuration.

    Args:
        checkpoint: of the larger model, which was loaded before: so its configuration names nothing foreign.
        tokenizers: of the model.
        kept: heads of each layer, by side and key.
    """
    config = copy.deepcopy(checkpoint.config)
    for (side, key), heads in kept.items():
        config[side][key] = heads
    made = OmegaConf.create({key: config[key] for key in MODEL_KEYS if key in config})
    with torch.random.fork_rng(devices=[]):
        return build_model(made, tokenizers), config


def tokenizers_of(checkpoint: Checkpoint) -> Tokenizers:
    """Return the tokenizers that a checkpoint holds: one a side, or a joint one.

    Raises:
        UserError: it holds none, or one that is damaged.
    """
    if not checkpoint.tokenizers:
        raise UserError(f"{checkpoint.path} holds no vocabulary, so it cannot be used with text")
    try:
        made = [tokenizer_of(model) for model in checkpoint.tokenizers]
    except UserError as error:
        raise UserError(f"{checkpoint.path}: its vocabulary is {error}; use another checkpoint") from None
    return Tokenizers(made[0], made[-1])


def find_device(name: str) -> torch.device:
    """Return the device of a name, `auto` meaning a GPU where there is one."""
    if name != "auto":
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"device={name} cannot be used here ({reason}); use device=auto or device=cpu") from None
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator or torch.device("cpu")


def _check_targets(config: Any, checkpoint: Checkpoint) -> None:
    """Refuse to build from a checkpoint what is no part of a model: a checkpoint is data, and must run no code.

    A name is judged by where the thing was defined: `seq2seq.data.cache.os.mkdir` is not part of seq2seq.
    """
    if not isinstance(config, DictConfig | ListConfig):
        return
    keys: Any = config.keys() if isinstance(config, DictConfig) else range(len(config))
    for key in keys:
        if OmegaConf.is_interpolation(config, key):
            raise UserError(f"{checkpoint.path}: {key} in its configuration is no plain value, so it is not loaded")
        value: Any = config[key]
        if key == "_target_" and not _is_part(str(value), checkpoint.trusted):
            package = str(value).partition(".")[0]
            remedy = "" if package == "seq2seq" else f"; if it is code of yours: trusted=[{package}]"
            raise UserError(
                f"{checkpoint.path} asks for {value}, which is no part of a seq2seq model, so it is not loaded{remedy}"
            )
        _check_targets(value, checkpoint)


def _is_part(target: str, trusted: Sequence[str]) -> bool:
    """Return whether a name is that of a module, a corpus or a link extraction of this or of a trusted package."""
    packages = ("seq2seq.", *(f"{package}." for package in trusted))
    if not target.startswith((*PARTS, *packages[1:])):  # to look for a name is to import modules
        return False
    try:
        found = get_object(target)
    except (ImportError, ValueError, AttributeError):
        return False
    home = f"{getattr(found, '__module__', '')}."
    made = isinstance(found, type) and issubclass(found, nn.Module | Corpus)
    return home.startswith(packages) and (made or home == f"{LINKS}." or not home.startswith("seq2seq."))
