"""The corpus as Lightning's loaders of token-budget batches."""

from collections.abc import Sequence
from copy import deepcopy
from itertools import islice
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from seq2seq.data.batching import Batch, Example
from seq2seq.data.corpus import Corpus
from seq2seq.data.loader import LoaderConfig, batch_loader, loader_of
from seq2seq.data.mixture import MixtureCorpus
from seq2seq.data.noise import Noise
from seq2seq.data.progress import EpochProgress, Taken
from seq2seq.data.sampled_files import SampledFiles
from seq2seq.data.splits import EncodedSplits
from seq2seq.data.streaming import StreamedBatches
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.data.units import VocabularyConfig
from seq2seq.data.variation import Variation, varied_ids
from seq2seq.errors import UserError, counted

LINKS_LOOKED_FOR = 10_000
"""Training pairs among the first of which at least one must have links where training needs them."""


class TranslationDataModule(LightningDataModule):
    """Batches of a corpus, of whose splits `EncodedSplits` tells what is dropped and what is cut (`dropped` counts it).

    The order of the training batches follows from `seed` and the trainer's epoch:
    let the trainer reload the loaders every epoch, and not put a distributed sampler of its own in their place. The
    training pairs of a streaming corpus are read anew every epoch: how many batches they make is not known beforehand.
    `noise` is on the sources of training alone.
    `tokenizers` are those of a run that goes on; without them they are trained on the corpus.
    """

    def __init__(
        self,
        *,
        corpus: Corpus,
        tokenizer: VocabularyConfig,
        loader: LoaderConfig,
        seed: int,
        with_links: bool = False,
        noise: Noise | None = None,
        tokenizers: Tokenizers | None = None,
    ) -> None:
        super().__init__()
        self.corpus, self.config, self.loader = corpus, tokenizer, loader
        self.seed, self.with_links = seed, with_links
        self.variation = Variation(
            sampling=tokenizer.sampling, noise=noise or Noise(), max_length=loader.max_length, seed=seed
        )
        if with_links:
            self.variation.check_linked()
        self.tokenizers: Tokenizers
        self.dropped: dict[str, int] = {}
        self._splits = EncodedSplits(corpus, tokenizer, loader, tokenizers=tokenizers)
        self._sampled_files = SampledFiles()
        self._progress = EpochProgress()
        self._interval: int | None = None  # trainer.val_check_interval as it was given

    def prepare_data(self) -> None:
        """Fills the cache: trains the tokenizers and encodes the train and val splits."""
        self._splits.fill_cache()

    def setup(self, stage: str | None = None) -> None:
        """Opens what `prepare_data` made."""
        self.tokenizers = self._splits.open()
        if not self.corpus.streaming:
            self.dropped = self._splits.split("train").dropped
        if self.with_links:
            self._check_links()

    def _check_links(self) -> None:
        first = islice(self.corpus.pairs("train"), LINKS_LOOKED_FOR)
        if not any(pair.links for pair in first):
            raise UserError(
                "training.guided_alignment needs word links of the training pairs, and there are none: "
                "give data.train.links=FILE with data=text, or set training.guided_alignment.weight=0"
            )

    def dataset(self, split: str) -> datasets.Dataset:
        """A split as memory-mapped rows: the columns of `Pair`, and source_ids, target_ids (without BOS or EOS)."""
        return self._splits.split(split).dataset

    def contents(self) -> dict[str, Any]:
        """What a training reads, by its content: alike on two hosts that have the same, in whatever place."""
        return self._splits.contents()

    def took(self, batch: Batch) -> None:
        """Notes that the training has done with the next batch of the epoch."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        if self._progress.epoch != epoch:
            self._progress = EpochProgress(epoch)
        worker = (batch.stretch or 0) % max(1, self.loader.num_workers)
        processes, budget = self._share()["world_size"], self.loader.tokens_per_batch
        self._progress.add(processes, budget, stretch=batch.stretch, worker=worker)

    def state_dict(self) -> dict[str, Any]:
        """Where the training stands in the data, and which data it is."""
        return {
            "progress": self._progress.state_dict(),
            "num_workers": self.loader.num_workers,
            "data": self._splits.identity(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on at that place. Raises UserError where the data has changed, so that there is no such place."""
        for split, now in self._splits.identity().items():
            before = state["data"][split]
            if now != before:
                counts = "" if now[0] == before[0] else f": {counted(before[0], 'pairs')} then, {now[0]:,} now"
                raise UserError(
                    f"the {split} data has changed since the run was stopped{counts}: bring back the old data "
                    "(and loader.max_length, loader.max_ratio), or start a new run"
                )
        progress = EpochProgress.from_state_dict(state["progress"])
        workers, asked = state["num_workers"], self.loader.num_workers
        if progress.workers and workers != asked:
            raise UserError(
                f"loader.num_workers={asked}: the run stopped within an epoch of a stream that was shared out among "
                f"{workers}; go on with loader.num_workers={workers}"
            )
        self._progress = progress

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled batches of the trainer's epoch (0 without a trainer), with a segmentation of its own if sampled."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        progress = deepcopy(self._progress) if self._progress.epoch == epoch else EpochProgress(epoch)
        if self.corpus.streaming:
            self._check_unknown_length()
            return self._stream(progress)
        rows = self.dataset("train")
        drawn = self._drawn(rows, epoch)
        if self.variation:
            if drawn is not None:  # a row that comes twice is varied twice
                rows, drawn = rows.select(drawn), None
            # A file that the next epoch deletes.
            with self._sampled_files.place_of(epoch) as path:
                rows = varied_ids(rows, self.tokenizers, self.variation, epoch=epoch, path=path)
        options: dict[str, Any] = {"epoch": epoch, "with_links": self.with_links, "taken": progress.taken}
        options["drawn"] = drawn
        loader = self._loader("train", rows, self.loader.tokens_per_batch, shuffle=True, **options)
        self._check_share("limit_train_batches", len(loader))
        self._fit_interval(len(loader), epoch)
        return loader

    def _drawn(self, rows: datasets.Dataset, epoch: int) -> NDArray[np.int64] | None:
        """Which rows an epoch of a mixture has; None: each once."""
        if not isinstance(self.corpus, MixtureCorpus):
            return None
        names = pa.array(self.corpus.corpora)
        places = [pc.index_in(chunk, value_set=names).to_numpy() for chunk in rows.data.column("corpus").chunks]
        return self.corpus.drawn(np.concatenate(places), seed=self.seed, epoch=epoch)

    def _check_share(self, key: str, batches: int) -> None:
        """Refuse a share of the batches that is less than one batch; `key` is the trainer's."""
        share = getattr(self.trainer, key, None)
        if isinstance(share, float) and share > 0 and int(share * batches) < 1:
            raise UserError(
                f"trainer.{key}={share}: there are {batches:,} in all, so that is less than one batch; give a larger "
                f"share, or a number of batches, such as trainer.{key}=1"
            )

    def _fit_interval(self, batches: int, epoch: int) -> None:
        """Refuse a validation after more batches than an epoch has; a later epoch with fewer has it at its end."""
        trainer: Any = self.trainer
        if not _is_counted(trainer):
            return
        limit = trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        self._interval = self._interval or trainer.val_check_interval
        if self._interval > batches and epoch == 0:
            raise UserError(
                f"trainer.val_check_interval={self._interval}: an epoch has {batches} batches; give at most that, or "
                "trainer.check_val_every_n_epoch=null to count through all epochs"
            )
        trainer.val_check_interval = min(self._interval, batches)

    def _check_unknown_length(self) -> None:
        """Refuse shares of a stream, of which nobody knows the whole, and what its limit leaves no room for."""
        for key in ("limit_train_batches", "val_check_interval"):
            share = getattr(self.trainer, key, 1.0)
            if isinstance(share, float) and share != 1:
                raise UserError(
                    f"trainer.{key}={share}: how many batches a stream has is not known; give a number of them, such "
                    "as 1000, or null for a whole epoch"
                )
        if type(limit := getattr(self.trainer, "limit_train_batches", None)) is int:
            self._fit_interval(limit, epoch=0)

    def missed_validation(self, batches: int) -> str | None:
        """What to say of an epoch of a stream that is over before its first validation; None: it had one."""
        trainer: Any = self.trainer
        if not (self.corpus.streaming and _is_counted(trainer)) or batches >= trainer.val_check_interval:
            return None
        return (
            f"trainer.val_check_interval={trainer.val_check_interval}: the epoch had {batches} batches, so nothing is "
            f"validated; stop, and go on by resume= with at most {batches}, or with "
            "trainer.check_val_every_n_epoch=null to count through all epochs"
        )

    def _stream(self, progress: EpochProgress) -> DataLoader[Batch]:
        batches = StreamedBatches(
            self.corpus,
            self.tokenizers,
            self.loader,
            variation=self.variation,
            seed=self.seed,
            epoch=progress.epoch,
            with_links=self.with_links,
            progress=progress,
            **self._share(),
        )
        return loader_of(batches, num_workers=self.loader.num_workers, seed=self.seed, batch_size=None)

    def _share(self) -> dict[str, int]:
        """Which of how many processes this is."""
        trainer = self.trainer
        return (
            {"rank": trainer.global_rank, "world_size": trainer.world_size} if trainer else {"rank": 0, "world_size": 1}
        )

    def val_dataloader(self) -> DataLoader[Example]:
        """Batches of the val split, longest first; `Batch.indices` tells the line."""
        loader = self._evaluation("val")
        self._check_share("limit_val_batches", len(loader))
        return loader

    def test_dataloader(self, split: str = "test") -> DataLoader[Example]:
        """Batches of a test split, longest first; `Batch.indices` tells the line."""
        return self._evaluation(split)

    def _evaluation(self, split: str) -> DataLoader[Example]:
        return self._loader(split, self.dataset(split), self.loader.eval_tokens_per_batch, shuffle=False)

    def _loader(
        self,
        split: str,
        rows: datasets.Dataset,
        tokens_per_batch: int,
        *,
        shuffle: bool,
        epoch: int = 0,
        with_links: bool = False,
        taken: Sequence[Taken] = (),
        drawn: NDArray[np.int64] | None = None,
    ) -> DataLoader[Example]:
        share = self._share()
        if len(rows) < share["world_size"]:
            raise UserError(
                f"{split}: {counted(len(rows), 'pairs')}, too few for {share['world_size']} processes, each of which "
                "needs one; give more pairs, or fewer processes (trainer.devices)"
            )
        return batch_loader(
            rows,
            tokens_per_batch=tokens_per_batch,
            shuffle=shuffle,
            num_workers=self.loader.num_workers,
            seed=self.seed,
            epoch=epoch,
            linked_by=self.tokenizers if with_links else None,
            taken=taken,
            drawn=drawn,
            **share,
        )


def _is_counted(trainer: Any) -> bool:
    """Whether a trainer validates after so many batches of an epoch."""
    counts = getattr(trainer, "check_val_every_n_epoch", None) is not None
    return counts and type(trainer.val_check_interval) is int
