"""Data loading: pairs a second of each stage, resident memory as the corpus grows, and what training waits for it.

The corpus is generated: sentences of 4 to 24 words on either side, BPE of 8,000 pieces, 4,096 padded tokens a batch.
Memory is that of a process of its own which takes `--batches` batches from the loader, once from the mapped cache and
once streaming: its largest resident set, and the share of it that is the process's own. The rest are pages of files,
the mapped corpus among them, which the system takes back when it needs them.

    python scripts/benchmark_data.py
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from arguments import above_0
from torch.utils.data import DataLoader

from seq2seq.data.batching import Batch, collate
from seq2seq.data.corpus import TextCorpus
from seq2seq.data.datamodule import TranslationDataModule
from seq2seq.data.loader import Examples, LoaderConfig, batch_loader
from seq2seq.data.tokenizer import TokenizerConfig
from seq2seq.training.memory import peak_mib, reset_peak

BLOCK = 10_000
"""Sentences that are drawn; a larger corpus repeats them."""

TOKENS_PER_BATCH = 4096
SIZES = [10_000, 100_000, 1_000_000, 5_000_000]


def write_corpus(folder: Path, pairs: int) -> Path:
    """Write train and val files of generated text; return their folder."""
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnoprstuvw", k=draw.randint(2, 9))) for _ in range(20_000)]
    ranks = [1 / (rank + 5) for rank in range(len(words))]
    source = [draw.choices(words, ranks, k=draw.randint(4, 24)) for _ in range(BLOCK)]
    folder.mkdir()
    for side, sentences in (("source", source), ("target", [[f"{word}e" for word in line] for line in source])):
        block = [" ".join(sentence) + "\n" for sentence in sentences]
        with (folder / f"train.{side}").open("w", encoding="utf-8") as file:
            for start in range(0, pairs, BLOCK):
                file.writelines(block[: pairs - start])
        (folder / f"val.{side}").write_text("".join(block[:100]), encoding="utf-8")
    return folder


def data_of(folder: Path, *, streaming: bool = False, num_workers: int = 0) -> TranslationDataModule:
    """Return the data module of a folder of `write_corpus`, ready to load."""
    files: dict[str, Any] = {
        split: {side: str(folder / f"{split}.{side}") for side in ("source", "target")} for split in ("train", "val")
    }
    config = TokenizerConfig(
        model_type="bpe",
        vocab_size=8000,
        joint=True,
        sampling=0.0,
        normalization="nfc",
        character_coverage=1.0,
        input_sentence_size=2 * BLOCK,
    )
    data = TranslationDataModule(
        corpus=TextCorpus(**files, test={}, streaming=streaming),
        tokenizer=config,
        loader=LoaderConfig(
            tokens_per_batch=TOKENS_PER_BATCH,
            eval_tokens_per_batch=TOKENS_PER_BATCH,
            max_length=100,
            max_ratio=4.0,
            num_workers=num_workers,
            cache_dir=str(folder / "cache"),
        ),
        seed=1,
    )
    data.prepare_data()
    data.setup()
    return data


def batches(data: TranslationDataModule) -> Iterator[Batch]:
    """Yield batches of one epoch after another."""
    epoch = 0
    while True:
        data.trainer = SimpleNamespace(current_epoch=epoch, global_rank=0, world_size=1)  # type: ignore[assignment]
        yield from data.train_dataloader()
        epoch += 1


def load(folder: Path, limit: int, *, streaming: bool) -> tuple[float, float, float]:
    """Return pairs a second, and the largest resident set and the process's own share at the end, in MiB."""
    data = data_of(folder, streaming=streaming)
    reset_peak(torch.device("cpu"))
    found = batches(data)
    next(found)
    begin = time.perf_counter()
    pairs = sum(map(len, islice(found, limit)))
    seconds = time.perf_counter() - begin
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    own = next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon:"))
    return pairs / seconds, peak_mib(torch.device("cpu")), own


def fresh(function: Callable[..., Any]) -> Any:
    """Return what a function returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function).result()


def rate(pairs: int, function: Callable[[], object]) -> float:
    """Return pairs a second of a function that deals with so many of them."""
    begin = time.perf_counter()
    function()
    return pairs / (time.perf_counter() - begin)


def consume(loader: DataLoader[Any]) -> None:
    for _ in loader:
        pass


def print_stages(folder: Path, pairs: int) -> None:
    """Print pairs a second of the stages alone, and of the whole way with workers."""
    data = data_of(folder)
    rows = data.dataset("train")
    texts = list(data.corpus.pairs("train"))
    encode = data.tokenizers.source.encode

    def tokenise() -> None:
        for pair in texts:
            encode(pair.source)
            encode(pair.target)

    sampler = partial(batch_loader, rows, tokens_per_batch=TOKENS_PER_BATCH, shuffle=True)
    examples = [Examples(rows).__getitems__(indices) for indices in sampler().batch_sampler]  # type: ignore[union-attr]
    stages: dict[str, Callable[[], object]] = {
        "tokenising": tokenise,
        "bucketing": sampler,
        "collating": lambda: [collate(batch) for batch in examples],
        "cache to batches": lambda: consume(sampler()),
    }
    for workers in (1, 2):
        stages[f"with {workers} worker{'s' * (workers > 1)}"] = partial(consume, sampler(num_workers=workers))
    print("| pairs a second of | |\n|---|---|")
    for name, stage in stages.items():
        print(f"| {name} | {rate(pairs, stage):,.0f} |", flush=True)


def print_memory(folder: Path, sizes: list[int], limit: int) -> None:
    """Print the memory of loading by the size of the corpus."""
    print("\n| pairs | mapped: resident | its own | pairs/s | streaming: resident | its own | pairs/s |")
    print("|---|---|---|---|---|---|---|")
    for size in sizes:
        corpus = write_corpus(folder / str(size), size)
        fresh(partial(data_of, corpus))  # fills the cache
        cells = []
        for streaming in (False, True):
            speed, resident, own = fresh(partial(load, corpus, limit, streaming=streaming))
            cells.append(f"{resident:,.0f} MiB | {own:,.0f} MiB | {speed:,.0f}")
        print(f"| {size:,} | " + " | ".join(cells) + " |", flush=True)


def print_waiting(folder: Path) -> None:
    """Print the share of training time between steps, as a training of the Transformer reports it."""
    files = [f"data.{s}.{side}={folder}/{s}.{side}" for s in ("train", "val") for side in ("source", "target")]
    command = [sys.executable, "-m", "seq2seq", "train", "data=text", *files, "model=transformer", "trainer=cpu"]
    command += ["tokenizer.vocab_size=8000", f"loader.cache_dir={folder}/cache", f"hydra.run.dir={folder}/run"]
    command += [f"loader.tokens_per_batch={TOKENS_PER_BATCH}", "trainer.max_steps=40", "trainer.limit_val_batches=0"]
    command += ["training.test_splits=[]", "callbacks.early_stopping=null", "callbacks.best=null"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    metrics = json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))
    print(f"\nA training of the Transformer waits between its steps {metrics['train/waiting_share']:.2%} of the time.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=above_0, nargs="+", default=SIZES, metavar="PAIRS", help="of the corpora (%(default)s)"
    )
    parser.add_argument("--batches", type=above_0, default=2000, help="that memory is measured over (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        corpus = write_corpus(Path(name) / "stages", 50_000)
        print_stages(corpus, 50_000)
        print_waiting(corpus)
        print_memory(Path(name), options.sizes, options.batches)


if __name__ == "__main__":
    main()
