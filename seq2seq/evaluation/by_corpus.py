"""The scores of each corpus of a mixture by itself."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from datasets import Dataset
from torch import Tensor

from seq2seq.alignment.links import AlignmentScore
from seq2seq.evaluation.link_counts import LinkCounts
from seq2seq.evaluation.metrics import score_translations

MARK = "_by_corpus/"
"""What stands between the name of a metric and that of a corpus."""


def without_links(corpora: Sequence[str], links: Sequence[str]) -> set[int]:
    """Return the pairs of corpora none of whose pairs has links: nobody knows theirs, so they are not aligned.

    Args:
        corpora: of each pair its corpus in a mixture, else "".
        links: the gold links of each, else "".
    """
    linked = {name for name, found in zip(corpora, links, strict=True) if found}
    return {i for i, name in enumerate(corpora) if name not in linked} if any(corpora) else set()


def unlinked_rows(dataset: Dataset) -> set[int]:
    """Return the rows of a data set of which that is so; of data that are no mixture none."""
    return without_links(dataset["corpus"][:], dataset["links"][:]) if "corpus" in dataset.column_names else set()


class CorpusScores:
    """Collects how likely references are; scores each corpus at the end. Of data that are no mixture it does nothing.

    Args:
        dataset: whose column `corpus`, where there is one, says which corpus a pair is from.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.corpora: list[str] = dataset["corpus"][:] if "corpus" in dataset.column_names else []
        self.active = any(self.corpora)
        self.losses: dict[int, tuple[float, int]] = {}  # by pair: the negative log-likelihood in nats, and its tokens

    def add(self, indices: Sequence[int], log_likelihood: Tensor, lengths: Sequence[int]) -> None:
        """Add pairs: the log-likelihood of each of their target tokens (tokens,), and how many each has."""
        if self.active:
            for index, part in zip(indices, log_likelihood.split(list(lengths)), strict=True):
                self.losses[index] = -part.sum().item(), len(part)

    def metrics(
        self,
        indices: Sequence[int],
        said: Sequence[str],
        expected: Sequence[str],
        sentences: Sequence[Mapping[str, Any]],
        **options: Any,
    ) -> dict[str, float]:
        """Return loss, BLEU, chrF and, where there are links, AER of each corpus.

        Args:
            indices: of the pairs.
            said: their hypotheses.
            expected: their references.
            sentences: their counts of links, where they have some.
            options: of BLEU and chrF.
        """
        if not self.active:
            return {}
        found: dict[str, float] = {}
        for name in dict.fromkeys(self.corpora[i] for i in indices):
            own = [place for place, index in enumerate(indices) if self.corpora[index] == name]
            sums = [sum(values) for values in zip(*(self.losses[indices[place]] for place in own), strict=True)]
            scores = score_translations(
                [said[place] for place in own], [expected[place] for place in own], with_ter=False, **options
            )
            metrics = {"loss": sums[0] / max(1, sums[1]), "bleu": scores.bleu, "chrf": scores.chrf}
            counts = [[sentences[place][n] for n in LinkCounts._fields] for place in own if "sure" in sentences[place]]
            if counts and any(map(any, counts)):
                total = LinkCounts(*map(sum, zip(*counts, strict=True)))
                if total.sure:
                    metrics["aer"] = AlignmentScore.of(**total._asdict()).aer
            found |= {f"{metric}{MARK}{name}": value for metric, value in metrics.items()}
        return found


def scores_line(scores: Mapping[str, float]) -> str:
    """Return the metrics of a corpus, by their plain names, in a line."""
    line = f"loss {scores['loss']:6.3f}   BLEU {scores['bleu']:5.2f}   chrF {scores['chrf']:5.2f}"
    return line + (f"   AER {100 * scores['aer']:4.1f} %" if "aer" in scores else "")


def lines_by_corpus(metrics: Mapping[str, float]) -> Iterable[tuple[str, dict[str, float]]]:
    """Yield each corpus with its metrics by their plain names."""
    names = dict.fromkeys(name.partition(MARK)[2] for name in metrics if MARK in name)
    for corpus in names:
        yield (
            corpus,
            {name.partition(MARK)[0]: value for name, value in metrics.items() if name.partition(MARK)[2] == corpus},
        )
