"""What the stages share: a device and a time, models and batches without data, trainings of Lightning's."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.utils.data import DataLoader

from seq2seq.attention import Attention
from seq2seq.build_training import build_data, build_module, build_trainer
from seq2seq.data.batching import Batch, TokenBudgetSampler, collate
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.data.grammar import generate
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.options import compose_defaults
from seq2seq.training.module import TranslationModule

FIRST_ID = 4
"""Smaller ids are control symbols."""

SMALL = ["model.d_model=16", "model.num_layers=1"]
SMALL_TRANSFORMER = [f"{side}.{key}" for side in ("encoder", "decoder") for key in ("num_heads=2", "d_feedforward=32")]
"""Sizes of a rehearsal."""


@dataclass(frozen=True)
class Setting:
    """Where and how long a stage runs."""

    device: torch.device
    folder: Path  # for files that all stages share, thrown away in the end
    data: Path | None  # Multi30k
    deadline: float  # of time.monotonic; a stage is to end a little before

    @property
    def rehearsal(self) -> bool:
        """Whether sizes are tiny and of every kind of case a few are tried: there is no GPU."""
        return self.device.type == "cpu"

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


def exact_float32() -> None:
    """Let float32 be float32: no products of TF32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


class Vocabulary:
    """Stands for a tokenizer where there is no text."""

    model_proto = b""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def tokenizers(size: int) -> Tokenizers:
    """Return a joint vocabulary of so many pieces, without text."""
    vocabulary: Any = Vocabulary(size)
    return Tokenizers(vocabulary, vocabulary)


def compose(overrides: Sequence[str]) -> DictConfig:
    """Return the configuration of a training."""
    return compose_defaults("train", ["output=none", *overrides])


def module_without_data(config: DictConfig, vocab_size: int) -> TranslationModule:
    """Return the module of a configuration; it can train on batches, and not be validated."""
    torch.manual_seed(1)
    data: Any = SimpleNamespace(tokenizers=tokenizers(vocab_size), corpus=SimpleNamespace(tokenized=True))
    return build_module(config, data, {"seed": 1})


def without_fused_attention(model: nn.Module) -> None:
    """Make every attention of a model take the explicit path, in training too."""
    for part in model.modules():
        if isinstance(part, Attention):
            part._fused = lambda *_, **__: None  # type: ignore[method-assign]


def random_batches(tokens_per_batch: int, vocab_size: int, count: int, *, mean_length: float = 26.0) -> list[Batch]:
    """Return batches of random pairs, with lengths like those of a translation corpus, made up as the product does."""
    rng = np.random.default_rng(1)
    pairs = int((count + 4) * tokens_per_batch / mean_length) + count
    source = rng.lognormal(np.log(mean_length) - 0.15, 0.55, pairs).clip(1, 200).astype(int)
    target = (source * rng.lognormal(0, 0.2, pairs)).clip(1, 200).astype(int)
    sampler = TokenBudgetSampler(source + 1, target + 1, tokens_per_batch=tokens_per_batch, shuffle=True)
    batches: list[Batch] = []
    for indices in sampler:
        ids = [[rng.integers(FIRST_ID, vocab_size, side[i]).tolist() for side in (source, target)] for i in indices]
        batches.append(collate([(one, other, i) for (one, other), i in zip(ids, indices, strict=True)]))
        if len(batches) == count:
            break
    return batches


def fit(
    module: TranslationModule,
    batches: list[Batch],
    setting: Setting,
    *,
    precision: str,
    steps: int,
    callbacks: Sequence[Callback],
) -> None:
    """Train on batches again and again, as Lightning does in a run, until so many steps or until a callback stops."""
    on_gpu = setting.device.type == "cuda"
    trainer = lightning.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=1,
        precision=cast(Any, precision),
        max_steps=steps,
        max_epochs=-1,
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        use_distributed_sampler=False,
        default_root_dir=setting.folder,
    )
    loader: DataLoader[Any] = DataLoader(cast(Any, batches), batch_size=None, pin_memory=on_gpu)
    trainer.fit(module, train_dataloaders=loader)


@dataclass(frozen=True)
class Run:
    """A training of the product, with its data and callbacks, ready to begin."""

    data: TranslationDataModule
    module: TranslationModule
    trainer: lightning.Trainer


def real_run(overrides: Sequence[str], folder: Path, setting: Setting, *callbacks: Callback) -> Run:
    """Return a run with the callbacks of the configuration and some more; without a progress bar."""
    folder.mkdir(parents=True, exist_ok=True)
    place = [f"output={folder}", f"loader.cache_dir={setting.folder / 'cache'}", "callbacks.progress_bar=null"]
    trainer = ["trainer=gpu" if setting.device.type == "cuda" else "trainer=cpu", "trainer.enable_progress_bar=false"]
    config = compose_defaults("train", [*trainer, *place, *overrides])
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    lightning.seed_everything(config.seed, verbose=False)
    data = build_data(config)
    run = Run(data, build_module(config, data, plain), build_trainer(config))
    run.trainer.callbacks += callbacks  # type: ignore[attr-defined]
    return run


def small_text(folder: Path, pairs: int) -> list[str]:
    """Write some pairs of the grammar; return the overrides that train on them, without curves and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    made, overrides = generate("val"), ["data=text", "tokenizer.vocab_size=200", "loader.tokens_per_batch=256"]
    for split, (start, end) in {"train": (20, 20 + pairs), "val": (0, 10), "test": (10, 20)}.items():
        for kind in ("source", "target", "links"):
            file = folder / f"{split}.{kind}"
            file.write_text("".join(f"{getattr(pair, kind)}\n" for pair in made[start:end]), encoding="utf-8")
            overrides.append(f"data.{split}.{kind}={file}")
    return [*overrides, "~logger", "callbacks.learning_rate=null", "callbacks.pinned=null"]
