"""Training pairs encoded, filtered and batched as they are read: nothing of the corpus is stored, or held at once."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from torch.utils.data import IterableDataset, get_worker_info

from seq2seq.data.batching import Batch, Example, TokenBudgetSampler, collate
from seq2seq.data.corpus import Corpus
from seq2seq.data.encoding import REMEDIES, encode_pair, fault, nothing_left, piece_links
from seq2seq.data.loader import LoaderConfig
from seq2seq.data.pair import Pair
from seq2seq.data.progress import EpochProgress, Taken
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.data.variation import Variation

STRETCH = 1 << 14
"""Pairs that are held, bucketed and shuffled together."""

NumberedPair = tuple[int, Pair]


class StreamedBatches(IterableDataset[Batch]):
    """The batches of one epoch, stretch by stretch of the corpus; within a stretch as `TokenBudgetSampler` makes them.

    Every pair that passes the filters comes once. What a batch is made of and the order follow from seed, epoch and
    the number of workers. Of several workers each encodes its own stretches; of several ranks each gets as many
    batches of every stretch.

    Args:
        corpus: whose train split is read, from its beginning, at every iteration.
        tokenizers: make the ids.
        loader: how large batches are, and which pairs are left out.
        variation: of segmentations, and noise.
        seed: of the order, with epoch.
        epoch: counted from 0.
        with_links: examples have the links between pieces.
        rank: of this process.
        world_size: number of processes.
        progress: of the epoch so far, by as many workers.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizers: Tokenizers,
        loader: LoaderConfig,
        *,
        variation: Variation,
        seed: int,
        epoch: int,
        with_links: bool,
        rank: int,
        world_size: int,
        progress: EpochProgress | None = None,
    ) -> None:
        self.corpus, self.tokenizers, self.loader = corpus, tokenizers, loader
        self.variation, self.seed, self.epoch, self.with_links = variation, seed, epoch, with_links
        self.rank, self.world_size = rank, world_size
        self.progress = progress or EpochProgress()

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        mine = (self.progress.latest_worker + 1 + number) % workers  # a loader asks its first worker first
        begin, taken = self.progress.workers.get(mine, (-1, []))
        empty = not self.progress.workers
        dropped = dict.fromkeys(REMEDIES, 0)
        for stretch, pairs in enumerate(stretches(enumerate(self.corpus.pairs("train")), STRETCH)):
            if stretch % workers != mine:
                empty = False  # another worker's to find out
                continue
            if stretch < begin:
                continue
            examples = list(self._examples(pairs, dropped))
            if len(examples) >= self.world_size:
                empty = False
                yield from self._batches(examples, stretch, taken if stretch == begin else [])
        if empty and mine == 0:
            raise nothing_left("train", dropped)

    def _examples(self, pairs: Iterable[NumberedPair], dropped: dict[str, int]) -> Iterator[Example]:
        """Yield those that pass the filters; count the others."""
        for index, pair in pairs:
            ids = encode_pair(self.tokenizers, pair)
            if reason := fault(len(ids[0]), len(ids[1]), self.loader.max_length, self.loader.max_ratio):
                dropped[reason] += 1
                continue
            if self.variation:
                ids = self.variation.encode(self.tokenizers, pair, index=index, epoch=self.epoch)
            links = (piece_links(self.tokenizers, pair),) if self.with_links else ()
            yield (array("i", ids[0]), array("i", ids[1]), index, *links)  # a tenth of what lists would hold

    def _batches(self, examples: list[Example], stretch: int, taken: Sequence[Taken]) -> Iterator[Batch]:
        sampler = TokenBudgetSampler(
            [len(example[0]) + 1 for example in examples],
            [len(example[1]) + 1 for example in examples],
            tokens_per_batch=self.loader.tokens_per_batch,
            shuffle=True,
            seed=self.seed,
            epoch=(self.epoch, stretch),
            rank=self.rank,
            world_size=self.world_size,
            taken=taken,
        )
        for indices in sampler:
            yield replace(collate([examples[i] for i in indices]), stretch=stretch)


def stretches(pairs: Iterable[NumberedPair], size: int) -> Iterator[list[NumberedPair]]:
    """Consecutive lists of `size` pairs; the last one is longer rather than shorter, up to half as long again."""
    rest = iter(pairs)
    stretch = list(islice(rest, size))
    while stretch:
        following = list(islice(rest, size))
        if len(following) < size // 2:
            yield stretch + following
            return
        yield stretch
        stretch = following
