"""Where in a sentence of two clauses joined by "aber" a model goes wrong while it is forced to say the reference.

Of the grammar's long sentences: the share of tokens that the model thinks likeliest, before and after the first comma
of the clause before "aber" and of that after it.

    python scripts/forced_by_clause.py FILE.ckpt OTHER.ckpt
"""

import argparse
from collections import Counter

import torch
from arguments import above_0, mistakes_in_a_line

from seq2seq.build import load_model
from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.batching import collate
from seq2seq.data.grammar import generate

COMMA, JOIN = "▁,", "▁aber"


def region(pieces: list[str], place: int) -> str:
    """Return in which part of the sentence a piece stands."""
    join = pieces.index(JOIN)
    if place in (join - 1, join):
        return "the joint"
    clause, begin = ("first clause", 0) if place < join else ("second clause", join + 1)
    return f"{clause}, {'after' if COMMA in pieces[begin:place] else 'before'} its comma"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", help="of models trained on the grammar")
    parser.add_argument("--split", default="test_long", help="of the grammar (%(default)s)")
    parser.add_argument("--sentences", type=above_0, default=300, help="from its start (%(default)s)")
    options = parser.parse_args()
    for path in options.checkpoints:
        model, (source, target) = load_model(read_checkpoint(path), torch.device("cpu"))
        right, all_ = Counter[str](), Counter[str]()
        for pair in generate(options.split)[: options.sentences]:
            batch = collate([(source.encode(pair.source), target.encode(pair.target), 0)])
            pieces = target.pieces(batch.target_output.tolist())
            if JOIN not in pieces:
                continue
            with torch.no_grad():
                features = model.features(
                    batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
                )
                likeliest = model.output(features).argmax(-1)
            for place, hit in enumerate((likeliest == batch.target_output).tolist()):
                name = region(pieces, place)
                right[name] += hit
                all_[name] += 1
        print(path)
        for name, count in all_.items():
            print(f"  {name:<32} {right[name] / count:.2f} of {count:,} tokens")


if __name__ == "__main__":
    with mistakes_in_a_line():
        main()
