"""Write questions as text files: what the embedded grammar lacks, to fine-tune a model of it on.

    python scripts/grammar_questions.py questions --pairs 2000
    seq2seq train data=text begin_with=FILE data.train.source=questions/train.source ...

The grammar only states; here it asks. The finite verb goes first in both languages, English takes "do", and half of
the questions have a word that the grammar does not know: really, wirklich. `mixed` is the questions for training and as
many of the grammar's own sentences, which are of its train split.
"""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

from arguments import above_0, mistakes_in_a_line

from seq2seq.cli.process.output import check_folder, write_whole
from seq2seq.data.grammar import LONGEST, Sentence, generate, held_out, pharaoh, punctuate, split_of, text
from seq2seq.data.grammar.clauses import verb_named
from seq2seq.data.grammar.draw import FUTURE, PAST, PERFECT, PRESENT
from seq2seq.data.grammar.inflection import THIRD
from seq2seq.data.grammar.order import Clause
from seq2seq.data.grammar.phrases import English, one_to_one
from seq2seq.data.grammar.sentences import SentenceDraw

TENSES = (PAST, PRESENT, PERFECT, FUTURE)


def question(clause: Clause, *, really: bool) -> Sentence:
    """Return a clause that was not negated as a question: `Did the dog sleep ?`, `Schlief der Hund ?`."""
    finite, subject = clause.finite, clause.subject.phrase
    verb = finite.sure[0]
    if clause.tense in (PERFECT, FUTURE):
        first = verb
        rest = [word for word in clause.english if word is not verb]
    else:
        third = "does" if clause.subject.agreement == THIRD else "do"
        first = English("did" if clause.tense is PAST else third)
        verb.text = verb_named(clause.verb).forms[0]
        finite, rest = finite._replace(possible=[first]), clause.english
    middle = clause.middle
    if really:
        word = one_to_one("really", "wirklich")
        after = len(subject.english)
        rest = [*rest[:after], *word.english, *rest[after:]]
        middle = [*word.german, *middle]
    stop = one_to_one("?", "?")
    source = [first, *rest, *stop.english]
    german = [finite, *subject.german, *subject.after, *middle, *clause.right, *clause.after, *stop.german]
    target = punctuate(german)
    return Sentence(text(source), text(target), pharaoh(source, target), "question")


def questions(split: str, *, seed: int) -> Iterator[Sentence]:
    """Yield questions of train, val or test, all different; none is in two of them, whatever the seeds."""
    random, known = Random(f"questions {split} {seed}"), set[str]()
    while True:
        draw = SentenceDraw(random)
        clause = draw.clause(negated=False)
        pronouns = {"ihn", "sie", "es", "ihm", "ihr", "ihnen"}  # before which no "wirklich" stands
        really = draw.chance(0.5) and not (clause.middle and clause.middle[0].text in pronouns)
        if clause.tense not in TENSES:  # a modal verb
            continue
        made = question(clause, really=really)
        unseen = any(held_out(lemma, phenomenon) for lemma, phenomenon in draw.pairs)
        words = made.source[:-2]
        if not unseen and len(made.source.split()) <= LONGEST and split_of(words) == split and words not in known:
            known.add(words)
            yield made


def write(folder: Path, name: str, sentences: list[Sentence]) -> None:
    """Write sentences as `name`.source, .target and .links."""
    for kind in ("source", "target", "links"):
        lines = "".join(f"{getattr(sentence, kind)}\n" for sentence in sentences)
        with write_whole(folder / f"{name}.{kind}") as file:
            file.write(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the files go")
    parser.add_argument("--pairs", type=above_0, default=2000, help="questions to train on (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the questions (%(default)s)")
    options = parser.parse_args()
    check_folder(options.folder, key="")
    options.folder.mkdir(parents=True, exist_ok=True)
    sizes = {"train": options.pairs, "val": 200, "test": 300}
    made = {split: list(islice(questions(split, seed=options.seed), size)) for split, size in sizes.items()}
    for split, sentences in made.items():
        write(options.folder, split, sentences)
    write(options.folder, "mixed", made["train"] + generate("train")[: options.pairs])
    print(f"{options.folder}: {', '.join(f'{size} {split}' for split, size in sizes.items())}")


if __name__ == "__main__":
    with mistakes_in_a_line():
        main()
