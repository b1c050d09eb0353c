"""Word links from the statistics of a text alone, without a trained model: fast_align, HMM, IBM model 4, eflomal.

The aligners are those of the library thot (the package sil-thot), which is imported here alone.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from thot.alignment import (
    AlignmentModel,
    EflomalAlignmentModel,
    FastAlignModel,
    HmmAlignmentModel,
    Ibm1AlignmentModel,
    Ibm3AlignmentModel,
    Ibm4AlignmentModel,
)

from seq2seq.alignment.links import Link
from seq2seq.alignment.symmetrization import SYMMETRIZATIONS

WordPair = tuple[Sequence[str], Sequence[str]]
"""The words of a source and of a target sentence."""

Progress = Callable[[str, int, int], None]
"""Is told a direction, how many of its iterations are done, and how many there are."""


class Stage(NamedTuple):
    """A model and how often it goes through the text; it begins with what the model of the stage before has learnt."""

    model: Callable[..., AlignmentModel]
    iterations: int  # 0: as many as the model itself finds right for the size of the text


ALIGNERS = {
    # Dyer et al. 2013: IBM model 2 whose places are drawn to the diagonal.
    "fast_align": [Stage(FastAlignModel, 5)],
    # Vogel et al. 1996, Och & Ney 2003: a word's place depends on that of the word before.
    "hmm": [Stage(Ibm1AlignmentModel, 5), Stage(HmmAlignmentModel, 5)],
    # Brown et al. 1993, in the order of Och & Ney 2003, 1^5 H^5 3^3 4^3, without word classes.
    "ibm4": [
        Stage(Ibm1AlignmentModel, 5),
        Stage(HmmAlignmentModel, 5),
        Stage(Ibm3AlignmentModel, 3),
        Stage(Ibm4AlignmentModel, 3),
    ],
    # Oestling & Tiedemann 2016: IBM 1, HMM and fertilities by Gibbs sampling.
    "eflomal": [Stage(EflomalAlignmentModel, 0)],
}


class Aligned(NamedTuple):
    """The links of each pair, and which pairs were too long for the aligner, by index; those have no links."""

    links: list[set[Link]]
    too_long: list[int]
    longest: int  # words of a sentence that the aligner takes


def align_text(
    pairs: Sequence[WordPair],
    *,
    aligner: str,
    symmetrize: str,
    learn_from: Iterable[WordPair] = (),
    progress: Progress = lambda direction, done, total: None,
) -> Aligned:
    """Return the word links of every pair, learnt from these pairs and from further ones; the same ones each time.

    A pair with an empty side has no links, and nothing is learnt from it.

    Args:
        pairs: to be linked.
        aligner: one of `ALIGNERS`.
        symmetrize: one of `SYMMETRIZATIONS`, by which the links of both directions become one set.
        learn_from: further pairs, which are not linked.
        progress: is told after each iteration.
    """
    longest = ALIGNERS[aligner][-1].model().max_sentence_length
    numbers: tuple[dict[str, str], dict[str, str]] = ({}, {})
    # The library sees numbers for words: in it, words such as NULL have a meaning of their own.
    numbered = [_numbered(pair, numbers) for pair in pairs]
    text = [pair for pair in (*(_numbered(pair, numbers) for pair in learn_from), *numbered) if _fits(pair, longest)]
    too_long = [i for i, pair in enumerate(numbered) if max(map(len, pair)) > longest]
    forward: list[set[Link]] = [set() for _ in pairs]
    back: list[set[Link]] = forward
    if text and symmetrize != "reverse":
        forward = _one_way(text, numbered, aligner, longest, "source to target", progress)
    if text and symmetrize != "none":
        turned = _one_way(_turned(text), _turned(numbered), aligner, longest, "target to source", progress)
        back = [{(source, target) for target, source in links} for links in turned]
    join = SYMMETRIZATIONS[symmetrize]
    return Aligned([join(*both) for both in zip(forward, back, strict=True)], too_long, longest)


def _one_way(
    text: Sequence[WordPair],
    pairs: Sequence[WordPair],
    aligner: str,
    longest: int,
    direction: str,
    progress: Progress,
) -> list[set[Link]]:
    """Return the links of one direction, in which each target word has one source word or none."""
    model = _learn(text, ALIGNERS[aligner], direction, progress)
    fitting = [i for i, pair in enumerate(pairs) if _fits(pair, longest)]
    links: list[set[Link]] = [set() for _ in pairs]
    found = model.get_best_alignments([pairs[i][0] for i in fitting], [pairs[i][1] for i in fitting])
    for i, (_, matrix) in zip(fitting, found, strict=True):
        # The library counts source words from 1; 0 is a target word without one.
        links[i] = {(source - 1, target) for target, source in enumerate(matrix.to_list()) if source}
    return links


def _learn(text: Sequence[WordPair], stages: Sequence[Stage], direction: str, progress: Progress) -> AlignmentModel:
    models: list[AlignmentModel] = []
    done = 0
    for stage in stages:
        model = stage.model(*models[-1:])
        if not models:
            for source, target in text:
                model.add_sentence_pair(source, target)
        if isinstance(model, EflomalAlignmentModel):
            model.deterministic = True
        model.start_training()
        iterations = model.scheduled_iterations if isinstance(model, EflomalAlignmentModel) else stage.iterations
        total = sum(stage.iterations for stage in stages) or iterations
        for _ in range(iterations):
            model.train()
            done += 1
            progress(direction, done, total)
        model.end_training()
        models = [model]
    return models[-1]


def _numbered(pair: WordPair, numbers: tuple[dict[str, str], dict[str, str]]) -> WordPair:
    source, target = (
        [known.setdefault(word, str(len(known))) for word in side] for side, known in zip(pair, numbers, strict=True)
    )
    return source, target


def _fits(pair: WordPair, longest: int) -> bool:
    return all(0 < len(side) <= longest for side in pair)


def _turned(pairs: Sequence[WordPair]) -> list[WordPair]:
    return [(target, source) for source, target in pairs]
