"""What it costs to see: a training with the default pictures and statistics of attention, and one without, in turns.

Each round trains the same model for an epoch on the embedded grammar, validation included, once with the default
callbacks and once without pictures; the table shows the median seconds of an epoch, what pictures add, and, where other
work on the machine drowns that, the seconds inside the callback that draws them.

    python scripts/benchmark_logging.py --model bahdanau transformer --rounds 3
"""

import argparse
import logging
import statistics
import tempfile
import time
from typing import Any

from arguments import above_0
from lightning import Callback, LightningModule, Trainer
from omegaconf import OmegaConf

from seq2seq.build_training import build_data, build_module, build_trainer
from seq2seq.options import compose_defaults
from seq2seq.training.pictures import PinnedSentences

VARIANTS = {"pictures": [], "none": ["callbacks.pinned=null"]}


class Timed(Callback):
    """Runs another callback's end of validation and counts the seconds."""

    def __init__(self, pictures: PinnedSentences) -> None:
        self.pictures = pictures
        self.seconds = 0.0

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        begin = time.perf_counter()
        self.pictures.on_validation_end(trainer, module)
        self.seconds += time.perf_counter() - begin


def seconds(model: str, overrides: list[str], epochs: int) -> tuple[float, float]:
    """Return the mean seconds of an epoch with its validation, and those of its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        given = [f"model={model}", f"output={folder}", f"trainer.max_epochs={epochs}", "callbacks.progress_bar=null"]
        config = compose_defaults("train", [*given, "trainer.enable_progress_bar=false", *overrides])
        data = build_data(config)
        plain: Any = OmegaConf.to_container(config, resolve=True)
        module = build_module(config, data, plain)
        trainer = build_trainer(config)
        callbacks = [Timed(c) if isinstance(c, PinnedSentences) else c for c in trainer.callbacks]  # type: ignore[attr-defined]
        trainer.callbacks = callbacks  # type: ignore[attr-defined]
        begin = time.perf_counter()
        trainer.fit(module, datamodule=data)
        whole = time.perf_counter() - begin
        return whole / epochs, sum(c.seconds for c in callbacks if isinstance(c, Timed)) / epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["bahdanau", "transformer"], help="files of configs/model")
    parser.add_argument("--rounds", type=above_0, default=3, help="how often each variant is timed")
    parser.add_argument("--epochs", type=above_0, default=1, help="epochs of each training")
    parser.add_argument("overrides", nargs="*", help="for every training, such as loader.cache_dir=DIR")
    options = parser.parse_intermixed_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    print(f"{'model':<14}{'with pictures':>16}{'without':>12}{'difference':>13}{'drawing':>11}{'share':>9}")
    for model in options.model:
        seconds(model, [*options.overrides, "trainer.limit_train_batches=5"], 1)  # not counted: fonts, caches, kernels
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
        for _ in range(options.rounds):
            for name, extra in VARIANTS.items():
                times[name].append(seconds(model, [*options.overrides, *extra], options.epochs))
        shown, hidden = (statistics.median(whole for whole, _ in times[name]) for name in VARIANTS)
        drawing = statistics.median(pictures for _, pictures in times["pictures"])
        difference, share = 100 * (shown / hidden - 1), 100 * drawing / (shown - drawing)
        print(
            f"{model:<14}{shown:14.1f} s{hidden:10.1f} s{difference:11.1f} %{drawing:9.2f} s{share:7.1f} %", flush=True
        )


if __name__ == "__main__":
    main()
