"""Decoding speed beside CTranslate2, JoeyNMT 2.3 and eole 0.6, with the same weights, for many kinds of search.

All translate the same lines with the weights of one Transformer, in float32, with the same beam, number of threads and
about as many tokens a batch, in turns: one pass each, again and again; the table shows medians, and BLEU and chrF where
there are references. CTranslate2 is C++ without PyTorch: a limit, not a peer. JoeyNMT and eole are asked for with their
interpreters; each runs as a process that reads the converted weights, waits for its turn, and times its passes itself:
text to pieces, search, pieces to text. A few lines before the first pass warm each up. Where other work shares the
machine, processor time is what to look at; so the ratios are of that.

What a program's own stays. JoeyNMT ranks by Wu's penalty (alpha 1, the nearest that it has) instead of the mean
log-probability a token, fills batches with lines as they come, and stops at 1.5 times the longest source of a batch:
allowed 256 tokens like the others it would be several times slower. eole ends a search as soon as the best hypothesis
has ended; asked for as many translations as the beam holds, `--kinds nbest`, it goes on until as many have ended, as
is done here. CTranslate2's and eole's coverage penalties are of one layer's attention, CTranslate2's and JoeyNMT's
repetition penalties of logits. Samples differ from program to program and from pass to pass; BLEU is then the mean.
`differ` counts the translations that are not ours, and would show weights that were not the same: with
`--kinds greedy` next to none are.

    python3 -m venv joeynmt
    joeynmt/bin/pip install torch==2.13.0 joeynmt==2.3.0 importlib_metadata setuptools sentencepiece==0.2.0
    python3 -m venv eole
    eole/bin/pip install torch==2.13.0 eole==0.6.4 aiohttp
    seq2seq train experiment=multi30k_transformer_tiny data.root=DIR
    python scripts/benchmark_decoding.py --checkpoint outputs/.../best.ckpt --source DIR/test_2016_flickr.en \\
        --target DIR/test_2016_flickr.de --kinds greedy beam sample --eole eole/bin/python
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from arguments import above_0, mistakes_in_a_line
from peers import eole, joeynmt
from peers.comparison import interpreter
from peers.decoding import Pass, Translate, Work, ctranslate2_search, own_search, peer
from peers.kinds import kinds
from peers.place import processor
from peers.weights import shapes

from seq2seq.build import load_model
from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.files import read_lines
from seq2seq.evaluation.metrics import score_translations

WARM_UP = 20
"""Lines before the first pass that is timed."""


def beginning(reference: str) -> str:
    """Return the first half of the words of a reference, and a space: the last of them is whole."""
    words = reference.split()
    return " ".join([*words[: len(words) // 2], ""])


def rows(kind: str, passes: dict[str, list[Pass]], references: Sequence[str] | None) -> list[str]:
    """Return the rows of the table that are about a kind of search; the first program is what others stand beside."""
    first, *_ = passes.values()
    made = []
    for name, some in passes.items():
        quality = ["–", "–"]
        if references is not None:
            scores = [score_translations(one.translations, references, tokenize="none", with_ter=False) for one in some]
            both = [one.bleu for one in scores], [one.chrf for one in scores]
            quality = [f"{statistics.mean(values):.1f}" for values in both]
        cpu = [one.cpu_seconds for one in some]
        ratio = statistics.median(
            theirs.cpu_seconds / ours.cpu_seconds for ours, theirs in zip(first, some, strict=True)
        )
        # Not by spaces: programs differ in how many stand around an unknown token.
        said = [[text.split() for text in one[-1].translations] for one in (first, some)]
        differ = sum(ours != theirs for ours, theirs in zip(*said, strict=True))
        lines = len(some[-1].translations)
        speeds = f"{lines / statistics.median(one.seconds for one in some):.1f} | {lines / statistics.median(cpu):.1f}"
        spread = f"{lines / max(cpu):.1f} to {lines / min(cpu):.1f}"
        beside = ["", ""] if some is first else [f"{ratio:.2f} ×", str(differ)]
        made.append(f"| {' | '.join([kind, name, *quality, speeds, spread, *beside])} |")
    return made


def main() -> None:
    names = list(kinds(5))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="of a Transformer")
    parser.add_argument("--source", required=True, help="a sentence a line")
    parser.add_argument("--target", help="its translations, for BLEU and chrF, and for --kinds prefix")
    parser.add_argument("--kinds", nargs="+", choices=names, default=["beam"], metavar="KIND", help=f"of {names}")
    parser.add_argument("--joeynmt", metavar="PYTHON", help="interpreter of an environment with JoeyNMT")
    parser.add_argument("--eole", metavar="PYTHON", help="interpreter of an environment with eole")
    parser.add_argument("--beam", type=above_0, default=5, help="hypotheses a sentence (%(default)s)")
    parser.add_argument("--tokens", type=above_0, default=4096, help="padded source tokens a batch (%(default)s)")
    parser.add_argument("--rounds", type=above_0, default=3, help="passes of each side, in turns (%(default)s)")
    parser.add_argument("--threads", type=above_0, default=2, help="CPU threads of each side (%(default)s)")
    options = parser.parse_args()
    if options.target is None and "prefix" in options.kinds:
        parser.error("--kinds prefix takes beginnings from --target")
    torch.set_num_threads(options.threads)

    checkpoint = read_checkpoint(options.checkpoint)
    model, tokenizers = load_model(checkpoint, torch.device("cpu"))
    texts = [list(read_lines(path)) for path in (options.source, options.target) if path is not None]
    lines, *targets = zip(*(pair for pair in zip(*texts, strict=True) if pair[0].strip()), strict=True)
    references = targets[0] if targets else None  # JoeyNMT takes no empty lines
    asked = {name: kind for name, kind in kinds(options.beam).items() if name in options.kinds}
    with ExitStack() as stack:

        def folder() -> Path:
            return Path(stack.enter_context(tempfile.TemporaryDirectory()))

        limits = {"tokens": options.tokens, "threads": options.threads}
        sides: dict[str, Translate] = {
            "here": own_search(model, tokenizers, asked, tokens=options.tokens),
            "CTranslate2": ctranslate2_search(model, checkpoint, tokenizers, asked, folder(), **limits),
        }
        has = {"here": set(asked), "CTranslate2": {name for name, kind in asked.items() if kind.ctranslate2}}
        for name, given, module in (("JoeyNMT", options.joeynmt, joeynmt), ("eole", options.eole, eole)):
            if given is None:
                continue
            place = folder()
            settings = {
                "configs": module.converted(model, tokenizers, place, asked, tokens=options.tokens),
                "epsilon": shapes(model)[0].epsilon,
                "threads": options.threads,
            }
            has[name] = set(settings["configs"])
            sides[name] = stack.enter_context(peer(interpreter(parser, given), module.TRANSLATE, settings, place))
        print(
            f"{len(lines)} sentences, beam {options.beam}, {options.threads} threads, median of {options.rounds} passes"
        )
        print(f"{processor()}\n")
        print("| kind | program | BLEU | chrF | sentences/s | a CPU second | lowest, highest | our lead | differ |")
        print("|---|---|---|---|---|---|---|---|---|")
        for name, kind in asked.items():
            able = {side: translate for side, translate in sides.items() if name in has[side]}
            begun = [beginning(text) for text in references] if kind.begun and references else None
            passes: dict[str, list[Pass]] = {side: [] for side in able}
            for number in range(options.rounds + 1):
                some = slice(WARM_UP if number == 0 else None)
                work = Work(name, list(lines[some]), begun and begun[some], number)
                for side, translate in able.items():
                    passes[side].append(translate(work))
            print(*rows(name, {side: all_[1:] for side, all_ in passes.items()}, references), sep="\n", flush=True)


if __name__ == "__main__":
    with mistakes_in_a_line():
        main()
