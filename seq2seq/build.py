"""Configuration to a model and what surrounds it: with the other `build_*`, the only caller of Hydra's instantiate."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from seq2seq.alignment.words import LinkExtraction
from seq2seq.attribution import Method
from seq2seq.build_mixture import make_corpus
from seq2seq.build_tags import check_needless
from seq2seq.build_targets import check_targets
from seq2seq.checkpoint import Checkpoint
from seq2seq.data.corpus import Corpus
from seq2seq.data.tokenizer import PAD, Tokenizers
from seq2seq.data.units import tokenizer_of
from seq2seq.decoding.search import Search
from seq2seq.errors import UserError
from seq2seq.evaluation.metrics import bleu_metric
from seq2seq.models import EncoderDecoder
from seq2seq.models.embedding import embedding_table

MODEL_KEYS = ("model", "encoder", "decoder", "score", "normalizer", "cross_pattern")
ONE_VOCABULARY = (
    "model.tie_embeddings=true needs one vocabulary; set tokenizer.joint=true, or model.tie_embeddings=false"
)


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
        check_targets(options, checkpoint)
    made = make_corpus(options)
    if tag is None and not made.tags:
        check_needless([checkpoint], "")
    return made


def build_search(options: DictConfig) -> Search:
    """Return the search of a `search` group.

    Raises:
        UserError: its keys are out of range, or contradict each other.
    """
    return instantiated(options)


def build_method(options: DictConfig) -> Method:
    """Return the method of attribution of a `method` group.

    Raises:
        UserError: a key is out of range.
    """
    return instantiated(options)


def instantiated(options: DictConfig) -> Any:
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
        check_targets(options, checkpoint)
    threshold = options.get("threshold")
    if threshold is not None and not 0 < threshold <= 1:
        raise UserError(f"links.threshold={threshold}: expected a share of the weight, above 0 and at most 1")
    return instantiated(options)


def build_model(config: DictConfig, tokenizers: Tokenizers) -> EncoderDecoder:
    """Return the untrained model that `MODEL_KEYS` of a configuration describe."""
    # On a GPU, cuDNN makes a plan for each new shape of attention. Here nearly every batch has one, and a training of
    # the base Transformer ran at a fifth of its speed. The other kernels need no plans.
    torch.backends.cuda.enable_cudnn_sdp(False)
    options = config.model
    if options.tie_embeddings and not tokenizers.one_vocabulary:
        raise UserError(ONE_VOCABULARY)
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


class BleuOptions(NamedTuple):
    """How sacreBLEU compares two texts."""

    tokenize: str  # its tokeniser
    lowercase: bool  # whether case is ignored


def bleu_options(
    config: DictConfig, corpus: Corpus, *, trained: Mapping[str, Any] = MappingProxyType({})
) -> BleuOptions:
    """Return how sacreBLEU compares: as the configuration says, else as the training did, else by the text's form.

    Args:
        config: of a command; what is null in its `metrics` is left open.
        corpus: whose references are compared with.
        trained: the configuration of the model's training.

    Raises:
        UserError: that tokeniser cannot be used here.
    """
    before, lowercase = trained.get("metrics") or {}, config.metrics.lowercase
    tokenize = config.metrics.tokenize or before.get("tokenize") or ("none" if corpus.tokenized else "13a")
    lowercase = before.get("lowercase", False) if lowercase is None else lowercase
    options = BleuOptions(str(tokenize), bool(lowercase))
    bleu_metric(options.tokenize, lowercase=options.lowercase)  # now, not after an epoch or a search
    return options


@torch.inference_mode(False)  # in which a caller may be, and whose weights could have no gradient for ever
def load_model(checkpoint: Checkpoint, device: torch.device) -> tuple[EncoderDecoder, Tokenizers]:
    """Return the trained model of a checkpoint in evaluation mode, and its tokenizers.

    Raises:
        UserError: its configuration names code outside this package, or makes no model that its weights fit.
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
        UserError: it names code outside this package, or none that makes a model of it.
    """
    config = OmegaConf.create({key: checkpoint.config[key] for key in MODEL_KEYS if key in checkpoint.config})
    check_targets(config, checkpoint)
    try:
        return build_model(config, tokenizers)
    except UserError as error:
        raise UserError(f"{checkpoint.path}: {error}") from error
    except Exception as error:  # whatever a part says of keys that it does not know, as those of a newer version
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        reason = " ".join(str(cause).split())
        raise UserError(
            f"{checkpoint.path}: its configuration makes no model in this version ({reason}); use another checkpoint, "
            "or the version that wrote it"
        ) from error


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
    if str(name).partition(":")[0] == "meta":
        raise UserError(f"device={name} cannot be used here (it holds no numbers); use device=auto or device=cpu")
    if name != "auto":
        try:
            return torch.empty(0, device=name).device
        except (RuntimeError, AssertionError, TypeError) as error:
            reason = "expected a name" if isinstance(error, TypeError) else str(error).splitlines()[0]
            reason = "there is no such kind" if reason.startswith("Expected one of") else reason
            raise UserError(f"device={name} cannot be used here ({reason}); use device=auto or device=cpu") from None
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator or torch.device("cpu")
