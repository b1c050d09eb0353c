"""Configuration to a training: its data, its module, Lightning's trainer."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from hydra.utils import instantiate
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from torch import nn

from seq2seq.build import BleuOptions, bleu_options, build_extraction, build_model, build_search
from seq2seq.build_mixture import make_corpus
from seq2seq.build_readings import build_readings
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.data.growth import grown_tokenizers
from seq2seq.data.loader import LoaderConfig
from seq2seq.data.noise import Noise
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import UserError
from seq2seq.evaluation.evaluator import Evaluator
from seq2seq.models import EncoderDecoder
from seq2seq.training.coverage import cover
from seq2seq.training.freezing import freeze
from seq2seq.training.guidance import guide
from seq2seq.training.last_checkpoint import CheckpointFiles
from seq2seq.training.module import TranslationModule
from seq2seq.training.precision import AUTO, EXACT, Precision, choose_precision


def build_data(
    config: DictConfig, tokenizers: Tokenizers | None = None, *, grows: bool = False
) -> TranslationDataModule:
    """Return the data; its tokenizers and token ids are made or found in the cache first: they precede the model.

    A run that goes on, or starts from a checkpoint, has its tokenizers already; if they grow, they get new pieces.
    """
    corpus, options = make_corpus(config.data), instantiate(config.tokenizer)
    if tokenizers and grows:
        tokenizers = grown_tokenizers(tokenizers, corpus, options, Path(config.loader.cache_dir).expanduser())
    if tokenizers:
        joint = tokenizers.source is tokenizers.target
        source = tokenizers.source.with_tags(corpus.tags)  # those that the corpus has and the vocabulary has not
        tokenizers = Tokenizers(source, source if joint else tokenizers.target)
    data = TranslationDataModule(
        corpus=corpus,
        tokenizer=options,
        loader=LoaderConfig(**config.loader),
        seed=config.seed,
        with_links=config.training.guided_alignment.weight > 0,
        noise=build_noise(config),
        tokenizers=tokenizers,
    )
    data.prepare_data()
    data.setup()
    return data


def build_noise(config: DictConfig) -> Noise:
    """Return the noise on the sources of training."""
    return Noise(drop=config.noise.drop, swap=config.noise.swap, mask=config.noise.mask, typo=config.noise.typo)


def build_module(config: DictConfig, data: TranslationDataModule, plain: dict[str, Any]) -> TranslationModule:
    """Return the untrained LightningModule; plain is the configuration as plain data, for its checkpoints.

    Raises:
        UserError: every translation is to begin with a piece that the vocabulary has not; a part cannot be made so.
    """
    model = build_model(config, data.tokenizers)
    pieces = len(data.tokenizers.target)
    if model.first_token is not None and model.first_token >= pieces:
        raise UserError(
            f"model.first_token={model.first_token} is no piece of the target's vocabulary, which has {pieces}; they "
            "are counted from 0"
        )
    freeze(model, config.freeze)
    if config.training.compile:
        torch.compiler.reset()  # of one function PyTorch compiles eight forms; earlier runs must not use them up
        # Only in a training step: search and pictures would want a graph of their own at every step.
        torch.compiler.set_stance("force_eager")
        for side in (model.encoder, model.decoder):
            # Layers are alike: what is compiled for one serves all. No two batches have one shape.
            for part in getattr(side, "layers", (side,)):
                cast(nn.Module, part).compile(dynamic=True)  # `getattr` does not know what the parts are
    compared = bleu_options(config, data.corpus)
    return make_module(config, model, data.tokenizers, compared, lambda split: data.dataset(split), plain)


def make_module(
    config: DictConfig,
    model: EncoderDecoder,
    tokenizers: Tokenizers,
    compared: BleuOptions,
    dataset: Callable[[str], Dataset],
    plain: dict[str, Any],
) -> TranslationModule:
    """Return the LightningModule of a model; nothing is asked of the data yet.

    Args:
        config: of the run.
        model: untrained.
        tokenizers: its vocabularies.
        compared: how BLEU compares.
        dataset: called with a split's name.
        plain: as of `build_module`.

    Raises:
        UserError: a loss, the search, the links or the readings cannot be.
    """
    search, extraction = build_search(config.search), build_extraction(config.links)
    readings = build_readings(config.reading, model)
    optimizer = instantiate(config.optimizer)
    if config.trainer.precision == "16-mixed":
        # A fused optimizer undoes the loss scale itself, after the gradient's norm was clipped at the wrong scale.
        optimizer.keywords["fused"] = False

    def evaluator(split: str, alignment: AlignmentChoice | None = None) -> Evaluator:
        return Evaluator(
            dataset(split),
            tokenizers,
            search,
            extraction=extraction,
            tokenize=compared.tokenize,
            lowercase=compared.lowercase,
            readings=(alignment.reading,) if alignment else readings,
            alignment=alignment,
        )

    return TranslationModule(
        model,
        tokenizers=tokenizers,
        search=search,
        evaluator=evaluator,
        optimizer=optimizer,
        scheduler=instantiate(config.scheduler),
        label_smoothing=config.training.label_smoothing,
        r_drop=config.training.r_drop,
        guidance=guide(
            model,
            weight=config.training.guided_alignment.weight,
            layer=config.training.guided_alignment.layer,
            head=config.training.guided_alignment.head,
            row=readings[0].row,
        ),
        coverage=cover(model, weight=config.training.coverage.weight),
        compiled=config.training.compile,
        config=plain,
    )


def own_stance(config: DictConfig) -> AbstractContextManager[object]:
    """Return a context of a whole run, which gives back what else the process compiles.

    `build_module` has nothing compiled but training steps, and says so to PyTorch for the process.
    """
    return torch.compiler.set_stance("default") if config.training.compile else nullcontext()


def settle_precision(config: DictConfig, *, stored: str | None = None) -> Precision:
    """Return in which precision a configuration trains here; stored is that of the run which it goes on with.

    Raises:
        UserError: it asks for one that cannot train here.
    """
    options = config.trainer
    targets = (OmegaConf.select(config, f"{side}.rnn._target_") for side in ("encoder", "decoder"))
    lstm = any(str(target).endswith("LSTM") for target in targets)
    return choose_precision(options.precision or EXACT, options.accelerator, lstm=lstm, stored=stored)


def build_trainer(config: DictConfig) -> Trainer:
    """Return Lightning's trainer with the callbacks and loggers of the configuration."""
    precision = config.trainer.precision
    callbacks: list[Callback] = [instantiate(options) for options in config.callbacks.values() if options]
    chosen = config.get("logger") or {}
    single = "_target_" in chosen  # as runs of earlier versions have it
    loggers: list[Logger] = [instantiate(options) for options in ([chosen] if single else chosen.values()) if options]
    if not loggers:  # logger=[]: Lightning refuses what would have nowhere to write
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateMonitor)]
    return instantiate(
        config.trainer,
        precision=settle_precision(config).value if precision == AUTO else precision,
        callbacks=callbacks,
        logger=loggers,
        plugins=[CheckpointFiles()],
        default_root_dir=config.output,
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
    )
